//! Valid declarations: the forms, the grammar of a field, generics, visibility, initialisers, and the runtime under
//! another path. Invalid declarations are in `ui/`, and the hygiene of a declaration in `hygiene`.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::ptr;
use std::sync::Arc;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

#[test]
fn a_struct_without_fields_is_a_host_for_other_declarations() {
    #[derive(Shadow, Default)]
    struct Bare {
        shadow: ShadowFields,
    }
    shadow! { impl Bare { attach mark: u8; } }
    let host = Bare::default();
    host.attach_mark(1).unwrap();
    assert_eq!(host.mark(), Some(&1));
}

#[test]
fn generics_of_every_sort_work_on_a_struct() {
    #[derive(Shadow)]
    #[shadow_field(attach item: T)]
    #[shadow_field(get_or_attach items: [Option<T>; 3] = [const { None }; 3])]
    #[shadow_field(get_or_update words: HashMap<String, U>)]
    #[shadow_field(get_or_attach length: usize = self.text.len() + LENGTH)]
    struct Generic<'text, T, U, const LENGTH: usize>
    where
        T: Debug + Send + Sync + 'static,
        U: Clone + Send + Sync + 'static,
    {
        text: &'text str,
        _values: [Option<(T, U)>; LENGTH],
        shadow: ShadowFields,
    }
    let text = "text".to_owned();
    let mut host = Generic { text: &text, _values: [None, None], shadow: ShadowFields::new() };
    host.attach_item(1_u8).unwrap();
    host.update_words(HashMap::from([("one".to_owned(), 1.5_f32)]));
    assert_eq!((host.item(), *host.length(), host.items()), (Some(&1), 6, &[None, None, None]));
    host.items_mut()[1] = Some(2);
    assert_eq!(host.detach_items(), Some([None, Some(2), None]));
    assert_eq!(host.words().unwrap()["one"].to_bits(), 1.5_f32.to_bits());
}

#[test]
fn a_type_parameter_may_have_a_default() {
    #[derive(Shadow)]
    #[shadow_field(attach item: T)]
    struct Defaulted<T: Send + Sync + 'static = u8>(Option<T>, ShadowFields);
    let host: Defaulted = Defaulted(None, ShadowFields::new());
    host.attach_item(host.0.unwrap_or(255)).unwrap();
    assert_eq!(host.item(), Some(&255_u8));
}

#[test]
fn generics_of_every_sort_work_in_blocks() {
    #[derive(Shadow)]
    struct Pair<A, B>
    where
        B: Clone,
    {
        both: (A, B),
        shadow: ShadowFields,
    }
    shadow! {
        impl<A, B> Pair<A, B>
        where
            A: Clone + Send + Sync + 'static,
            B: Clone + Send + Sync + 'static,
        {
            get_or_attach swapped: (B, A) = (self.both.1.clone(), self.both.0.clone());
        }
        impl<B: Clone> Pair<u8, B> {
            attach only_for_bytes: u8;
        }
        trait PairFields<A, B: Clone> for Pair<A, B> where A: Send + Sync + 'static {
            attach first: A;
        }
        trait BufferFields<const LENGTH: usize> for Arc<[u8; LENGTH]> {
            get_or_attach doubled: usize = LENGTH * 2;
            attach copy: [u8; LENGTH];
        }
        trait BorrowFields<'a, T: Debug> for Shadowed<&'a T> {
            get_or_attach text: String = format!("{:?}", **self);
        }
        trait StaticFields<T: Sync + Debug> for &'static [T; 2] {
            get_or_attach text: String = format!("{self:?}");
        }
    }
    let pair = Pair { both: (1_u8, "b".to_owned()), shadow: ShadowFields::new() };
    assert_eq!(pair.swapped(), &("b".to_owned(), 1));
    pair.attach_only_for_bytes(2).unwrap();
    pair.attach_first(3).unwrap();
    assert_eq!((pair.only_for_bytes(), PairFields::first(&pair)), (Some(&2), Some(&3)));
    let buffer = Arc::new([7_u8; 5]);
    buffer.attach_copy(*buffer).unwrap();
    assert_eq!((buffer.doubled(), buffer.copy()), (&10, Some(&[7; 5])));
    let number = 5;
    assert_eq!(Shadowed::new(&number).text(), "5");
    let pair: &'static [u8; 2] = &[1, 2];
    assert_eq!(StaticFields::text(pair), "[1, 2]");
}

#[test]
fn one_macro_call_may_hold_many_blocks_and_none() {
    #[derive(Shadow, Default)]
    struct Many {
        shadow: ShadowFields,
    }
    shadow! {}
    shadow! {
        impl Many { attach one: u8; attach two: u8; }
        impl Many { attach three: u8; }
        trait ManyMore for Many { attach four: u8; }
        trait ManyOthers for Arc<Many> { attach five: u8; }
    }
    let host = Arc::new(Many::default());
    host.attach_one(1).unwrap();
    host.attach_two(2).unwrap();
    host.attach_three(3).unwrap();
    host.attach_four(4).unwrap();
    host.attach_five(5).unwrap();
    assert_eq!((host.one(), host.two(), host.three()), (Some(&1), Some(&2), Some(&3)));
    assert_eq!((host.four(), host.five()), (Some(&4), Some(&5)));
}

#[test]
fn a_raw_name_is_raw_where_it_stands_alone() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach r#type: u8)]
    #[shadow_field(get_or_attach r#fn: u8)]
    #[shadow_field(get_or_update r#loop: u8)]
    struct Keywords {
        shadow: ShadowFields,
    }
    let mut host = Keywords::default();
    host.attach_type(1).unwrap();
    assert_eq!((host.r#type(), *host.r#fn(), host.peek_fn()), (Some(&1), 0, Some(&0)));
    host.update_loop(2);
    host.update_loop_with(|before| before.unwrap() + 1);
    *host.loop_mut().unwrap() += 1;
    *host.fn_mut() += 1;
    assert_eq!((host.detach_type(), host.detach_fn(), host.detach_loop()), (Some(1), Some(1), Some(4)));
    host.attach_type(1).unwrap();
    assert_eq!(
        host.attach_type(1).unwrap_err().to_string(),
        "shadow field `type` is already attached to this `Keywords`"
    );
}

#[test]
fn fields_may_have_names_that_the_library_uses_itself() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach look: u8)]
    #[shadow_field(get_or_attach reach: u8)]
    #[shadow_field(get_or_update fields_mut: u8)]
    #[shadow_field(attach each: u8)]
    #[shadow_field(attach value: u8)]
    #[shadow_field(attach init: u8)]
    #[shadow_field(get_or_attach empty: u8)]
    struct Namesakes {
        shadow: ShadowFields,
    }
    let host = Namesakes::default();
    host.attach_look(1).unwrap();
    host.attach_each(2).unwrap();
    host.attach_value(3).unwrap();
    host.attach_init(4).unwrap();
    host.update_fields_mut(5);
    assert_eq!((host.look(), host.each(), host.value(), host.init()), (Some(&1), Some(&2), Some(&3), Some(&4)));
    assert_eq!((host.fields_mut(), *host.reach(), *host.empty()), (Some(5), 0, 0));
}

mod inner {
    use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

    /// Private to this module, and the value of a field.
    #[derive(Clone, Default)]
    struct Secret(u8);

    #[derive(Shadow, Default)]
    #[shadow_field(get_or_attach secret: Secret)]
    #[shadow_field(pub(super) attach shown: u8)]
    #[shadow_field(pub(crate) get_or_update shown_to_the_crate: u8)]
    #[shadow_field(pub(in crate::macros::grammar::inner) attach kept_in: u8)]
    pub(crate) struct Mixed {
        shadow: ShadowFields,
    }

    impl Mixed {
        pub(crate) fn tell_secret(&mut self) -> u8 {
            self.secret_mut().0 += 1;
            self.attach_kept_in(self.secret().0).unwrap();
            *self.kept_in().unwrap()
        }
    }

    shadow! {
        pub(crate) trait Visible for Shadowed<char> { get_or_attach width: usize = self.len_utf8(); }
        trait Hidden for Shadowed<char> { get_or_update hidden: Secret; }
    }

    pub(crate) fn tell_hidden(of: &Shadowed<char>) -> u8 {
        of.update_hidden(Secret(7));
        of.hidden().unwrap().0
    }
}

/// An inherent method with the name of an accessor of `Visible`, for a type outside of the trait: no clash.
impl inner::Mixed {
    fn width(&self) -> Option<&u8> {
        self.shown()
    }
}

#[test]
fn each_field_is_seen_where_it_says() {
    use inner::Visible;
    let mut mixed = inner::Mixed::default();
    mixed.attach_shown(1).unwrap();
    mixed.update_shown_to_the_crate(2);
    assert_eq!((mixed.width(), mixed.shown_to_the_crate()), (Some(&1), Some(2)));
    assert_eq!(mixed.tell_secret(), 1);
    let letter = Shadowed::new('ß');
    assert_eq!((*letter.width(), inner::tell_hidden(&letter)), (2, 7));
}

/// Stands for a crate that re-exports the runtime.
mod reexported {
    pub(crate) mod deep {
        pub(crate) use shadow_runtime as runtime;
    }
}

#[test]
fn the_runtime_may_be_found_under_another_path() {
    mod shadow_runtime {}
    use crate::macros::grammar::reexported::deep::runtime::{Shadow, ShadowFields, shadow};

    #[derive(Shadow, Default)]
    #[shadow(crate = crate::macros::grammar::reexported::deep::runtime)]
    #[shadow_field(attach one: u8)]
    #[shadow_field(get_or_attach two: u8)]
    #[shadow_field(get_or_update three: u8)]
    struct Elsewhere {
        shadow: ShadowFields,
    }
    shadow! {
        #[shadow(crate = crate::macros::grammar::reexported::deep::runtime)]
        impl Elsewhere { attach four: u8; }

        #[shadow(crate = crate::macros::grammar::reexported::deep::runtime)]
        trait ElsewhereFields for Arc<Elsewhere> { get_or_attach five: u8; }

        #[shadow(crate = crate::macros::grammar::reexported::deep::runtime)]
        trait ElsewhereStatic for &'static Elsewhere { get_or_attach six: u8; }
    }
    let host = Arc::new(Elsewhere::default());
    host.attach_one(1).unwrap();
    host.update_three(3);
    host.attach_four(4).unwrap();
    assert_eq!((host.one(), host.two(), host.three()), (Some(&1), &0, Some(3)));
    assert_eq!((host.four(), host.five()), (Some(&4), &0));
    let fixed: &'static Elsewhere = Box::leak(Box::default());
    assert_eq!(fixed.six(), &0);
}

#[test]
fn a_block_or_a_field_may_depend_on_the_configuration() {
    shadow! {
        #[cfg(any())]
        trait NeverThere for Shadowed<NoSuchType> { attach nothing: NoSuchType; }

        #[cfg(all())]
        trait AlwaysThere for Shadowed<i128> { attach something: u8; }
    }
    #[derive(Shadow, Default)]
    #[cfg_attr(any(), shadow_field(attach nothing: NoSuchType))]
    #[cfg_attr(all(), shadow_field(attach something: u8))]
    struct Configured {
        shadow: ShadowFields,
    }
    let (owned, host) = (Shadowed::new(1_i128), Configured::default());
    owned.attach_something(1).unwrap();
    host.attach_something(2).unwrap();
    assert_eq!((owned.something(), host.something()), (Some(&1), Some(&2)));
}

#[test]
fn self_in_the_type_of_a_value_is_the_host() {
    #[derive(Shadow, Default, Clone, Debug, PartialEq)]
    #[shadow_field(attach parent: Box<Self>)]
    #[shadow_field(get_or_attach children: Vec<Self> = vec![self.clone()])]
    #[shadow_field(get_or_update newest: Option<Box<Self>>)]
    struct Node {
        name: &'static str,
        shadow: ShadowFields,
    }
    shadow! {
        impl Node { attach table: BTreeMap<u8, Self>; }
        trait NodeFields for Node { attach twin: Box<Self>; }
        trait SharedNodeFields for Arc<Node> { attach peer: Self; }
        trait StaticNodeFields for &'static Node {
            attach other: Self;
            get_or_attach itself: Self = self;
        }
    }
    let node = |name| Node { name, shadow: ShadowFields::new() };
    let host = node("host");
    host.attach_parent(Box::new(node("parent"))).unwrap();
    host.update_newest(Some(Box::new(node("newest"))));
    host.attach_table(BTreeMap::from([(1, node("first"))])).unwrap();
    host.attach_twin(Box::new(node("twin"))).unwrap();
    let names = [host.parent().unwrap().name, host.children()[0].name, host.table().unwrap()[&1].name];
    assert_eq!(names, ["parent", "host", "first"]);
    assert_eq!((host.newest().unwrap().unwrap().name, host.twin().unwrap().name), ("newest", "twin"));
    let shared = Arc::new(node("shared"));
    shared.attach_peer(Arc::new(node("peer"))).unwrap();
    assert_eq!(shared.peer().unwrap().name, "peer");
    let fixed: &'static Node = Box::leak(Box::new(node("fixed")));
    fixed.attach_other(fixed.itself()).unwrap();
    assert!(ptr::eq(*fixed.itself(), fixed) && ptr::eq(*fixed.other().unwrap(), fixed));
}

#[test]
fn an_initialiser_may_be_any_expression() {
    const BASE: u32 = 40;
    fn add(one: u32, other: u32) -> u32 {
        one + other
    }
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_attach literal: u32 = 42)]
    #[shadow_field(get_or_attach negative: i32 = -42)]
    #[shadow_field(get_or_attach constant: u32 = BASE + 2)]
    #[shadow_field(get_or_attach call: u32 = add(BASE, self.pid))]
    #[shadow_field(get_or_attach choice: u32 = if self.pid > 1 { 42 } else { 0 })]
    #[shadow_field(get_or_attach table: u32 = match (self.pid, { self.pid }) { (2, pid) => pid + BASE, _ => 0 })]
    #[shadow_field(get_or_attach block: u32 = { let pid = self.pid; let sum = [pid, BASE]; sum.iter().sum() })]
    #[shadow_field(get_or_attach closure: u32 = Some(BASE).map_or(0, |base| base + self.pid))]
    #[shadow_field(get_or_attach nested: u32 = [vec![(self.pid, BASE)]].iter().flatten().map(|(a, b)| a + b).sum())]
    #[shadow_field(get_or_attach early: u32 = { if self.pid == 2 { return 42; } 0 })]
    #[shadow_field(get_or_attach comparison: bool = self.pid < 3 && BASE > 3)]
    #[shadow_field(get_or_attach turbofish: u32 = "42".parse::<u32>().unwrap())]
    #[shadow_field(get_or_attach typed: Vec<u32> = Vec::<u32>::from([self.pid]))]
    #[shadow_field(get_or_attach text: String = format!("{}-{pid}", self.pid, pid = self.pid))]
    #[shadow_field(get_or_attach captured: String = format!("{self:?}"))]
    #[shadow_field(get_or_attach by_self: u32 = Self::answer(self))]
    struct Task {
        pid: u32,
        shadow: ShadowFields,
    }
    impl Task {
        fn answer(&self) -> u32 {
            self.pid + BASE
        }
    }
    impl Debug for Task {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "task {}", self.pid)
        }
    }
    let task = Task { pid: 2, ..Task::default() };
    let numbers = [
        task.literal(),
        task.constant(),
        task.call(),
        task.choice(),
        task.table(),
        task.block(),
        task.closure(),
        task.nested(),
        task.early(),
        task.turbofish(),
        task.by_self(),
    ];
    assert_eq!(numbers, [&42; 11]);
    assert_eq!((task.negative(), task.comparison(), &**task.typed()), (&-42, &true, &[2][..]));
    assert_eq!((&**task.text(), &**task.captured()), ("2-2", "task 2"));
}

#[test]
fn self_in_the_initialiser_of_a_trait_is_the_host() {
    shadow! {
        trait TextFields for Arc<str> {
            get_or_attach words: Vec<String> = self.split(' ').map(|word| { format!("{word}/{}", (self).len()) }).collect();
        }
        trait FixedTextFields for &'static [u8; 3] {
            get_or_attach sum: u32 = { let bytes = { self.iter() }; bytes.map(|&byte| u32::from(byte)).sum() };
        }
    }
    assert_eq!(*Arc::<str>::from("a b").words(), ["a/3", "b/3"]);
    let bytes: &'static [u8; 3] = &[1, 2, 3];
    assert_eq!(bytes.sum(), &6);
}

#[test]
fn values_of_every_shape_are_fields() {
    type Handler = Box<dyn Fn(&str) -> usize + Send + Sync>;
    #[derive(Shadow, Default)]
    #[shadow_field(attach handler: Handler)]
    #[shadow_field(attach boxed: Box<dyn for<'a> Fn(&'a str) -> &'a str + Send + Sync + 'static>)]
    #[shadow_field(get_or_update function: fn(&str, u8) -> usize)]
    #[shadow_field(get_or_update text: &'static str)]
    #[shadow_field(get_or_attach table: [[u8; 4]; 2])]
    #[shadow_field(get_or_attach tuple: (u8, (), Vec<(String, Option<char>)>))]
    #[shadow_field(attach slice: Box<[u8]>)]
    #[shadow_field(attach shared: Arc<dyn Debug + Send + Sync>)]
    #[shadow_field(attach unit: ())]
    #[shadow_field(attach projected: <Vec<u16> as IntoIterator>::Item)]
    struct Shapes {
        shadow: ShadowFields,
    }
    let host = Shapes::default();
    assert!(host.attach_handler(Box::new(str::len)).is_ok());
    assert!(host.attach_boxed(Box::new(|text| &text[1..])).is_ok());
    host.update_function(|text, more| text.len() + usize::from(more));
    host.update_text("text");
    host.attach_slice(Box::from([1, 2])).unwrap();
    host.attach_shared(Arc::new(5)).unwrap();
    host.attach_unit(()).unwrap();
    host.attach_projected(7).unwrap();
    assert_eq!((host.handler().unwrap()("abc"), host.boxed().unwrap()("abc")), (3, "bc"));
    assert_eq!((host.function().unwrap()("abc", 2), host.text()), (5, Some("text")));
    assert_eq!((host.table(), host.tuple()), (&[[0; 4]; 2], &(0, (), Vec::new())));
    assert_eq!((&**host.slice().unwrap(), format!("{:?}", host.shared().unwrap())), (&[1, 2][..], "5".to_owned()));
    assert_eq!((host.unit(), host.projected()), (Some(&()), Some(&7)));
}

#[test]
fn functions_that_are_generic_over_a_host_can_use_its_trait() {
    shadow! { trait Tagged<T: Send + Sync + 'static> for Arc<T> { attach tag: &'static str; } }
    fn tag_all<T: Send + Sync + 'static>(hosts: &[Arc<T>], tag: &'static str) -> usize {
        hosts.iter().filter(|host| host.attach_tag(tag).is_ok()).count()
    }
    let one = Arc::new(1_u8);
    let hosts = [one.clone(), one, Arc::new(2)];
    assert_eq!(tag_all(&hosts, "byte"), 2);
    assert!(hosts.iter().all(|host| host.tag() == Some(&"byte")));
}
