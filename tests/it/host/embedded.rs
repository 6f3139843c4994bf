//! Embedded hosts: structs that derive `Shadow` and contain a `ShadowFields`, so the fields end with the struct.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use support::{Census, Diary, Life, Noted};

#[derive(Shadow, Default)]
#[shadow_field(attach life: Life)]
#[shadow_field(get_or_attach hits: AtomicU32)]
#[shadow_field(get_or_update note: String)]
struct Named {
    pid: u32,
    shadow: ShadowFields,
}

#[derive(Shadow)]
#[shadow_field(attach mark: u32)]
struct Tuple(u32, ShadowFields);

#[derive(Shadow)]
#[shadow_field(attach mark: u32)]
struct OnlyFields(ShadowFields);

/// An alias, which the macro cannot resolve, so the member is marked.
type Extra = ShadowFields;

#[derive(Shadow, Default)]
#[shadow_field(attach mark: u32)]
struct Marked {
    #[shadow(fields)]
    extra: Extra,
}

#[derive(Shadow, Default)]
#[shadow_field(attach mark: u32)]
struct MarkedAmongTwo {
    /// A `ShadowFields` that is plain data of this host.
    carried: ShadowFields,
    #[shadow(fields)]
    own: ShadowFields,
}

#[derive(Shadow)]
struct Bare {
    shadow: ShadowFields,
}

shadow! {
    impl Bare {
        attach mark: u32;
        get_or_attach hits: AtomicU32;
    }
    trait FirstPatch for Bare { get_or_update version: u32; }
    trait SecondPatch for Bare { get_or_update version: u32; }
}

#[derive(Shadow)]
#[shadow_field(get_or_attach ticks: AtomicU32)]
#[shadow_field(attach name: &'static str)]
struct Clock {
    shadow: ShadowFields,
}

static CLOCK: Clock = Clock { shadow: ShadowFields::new() };

#[test]
fn the_place_of_the_fields_is_found_in_every_form_of_struct() {
    let tuple = Tuple(3, ShadowFields::new());
    tuple.attach_mark(tuple.0).unwrap();
    assert_eq!(tuple.mark(), Some(&3));
    let only = OnlyFields(ShadowFields::new());
    only.attach_mark(4).unwrap();
    assert_eq!(only.mark(), Some(&4));
    let marked = Marked::default();
    marked.attach_mark(5).unwrap();
    assert_eq!((marked.mark(), format!("{:?}", marked.extra)), (Some(&5), r#"ShadowFields {"mark"}"#.to_owned()));
}

#[test]
fn the_marked_member_is_taken_when_there_are_two() {
    let host = MarkedAmongTwo::default();
    host.attach_mark(1).unwrap();
    assert_eq!(format!("{:?}", host.own), r#"ShadowFields {"mark"}"#);
    assert_eq!(format!("{:?}", host.carried), "ShadowFields {}");
}

#[test]
fn a_host_can_be_a_static() {
    assert_eq!(CLOCK.name(), None);
    CLOCK.ticks().fetch_add(2, Ordering::Relaxed);
    let name: &'static &'static str = CLOCK.attach_name("wall").unwrap();
    assert_eq!((*name, CLOCK.ticks().load(Ordering::Relaxed)), ("wall", 2));
}

#[test]
fn fields_declared_in_several_places_stand_side_by_side() {
    let host = Bare { shadow: ShadowFields::new() };
    host.attach_mark(1).unwrap();
    FirstPatch::update_version(&host, 10);
    assert_eq!(SecondPatch::version(&host), None, "fields of one name but of two declarations are two");
    SecondPatch::update_version(&host, 20);
    host.hits().fetch_add(1, Ordering::Relaxed);
    assert_eq!((FirstPatch::version(&host), SecondPatch::version(&host)), (Some(10), Some(20)));
    assert_eq!((host.mark(), host.hits().load(Ordering::Relaxed)), (Some(&1), 1));
}

#[test]
fn an_extension_trait_for_an_embedded_host_has_exclusive_accessors() {
    let mut host = Bare { shadow: ShadowFields::new() };
    host.attach_mark(1).unwrap();
    FirstPatch::update_version(&host, 10);
    *FirstPatch::version_mut(&mut host).unwrap() += 1;
    assert_eq!(FirstPatch::detach_version(&mut host), Some(11));
    assert_eq!(host.detach_mark(), Some(1));
}

#[test]
fn fields_are_dropped_with_the_struct_at_once() {
    let census = Census::default();
    let host = Named::default();
    assert!(host.attach_life(census.life()).is_ok());
    assert_eq!((census.made(), census.dropped()), (1, 0));
    drop(host);
    assert_eq!(census.dropped(), 1);
}

#[test]
fn fields_are_dropped_in_the_place_of_their_member() {
    #[derive(Shadow)]
    #[shadow_field(attach field: Noted)]
    struct Host {
        _before: Noted,
        shadow: ShadowFields,
        _after: Noted,
    }
    let diary = Diary::default();
    let host = Host {
        _before: Noted::quiet("before", &diary),
        shadow: ShadowFields::new(),
        _after: Noted::quiet("after", &diary),
    };
    assert!(host.attach_field(Noted::quiet("field", &diary)).is_ok());
    drop(host);
    assert_eq!(diary.read(), ["before", "field", "after"]);
}

#[test]
fn fields_go_where_their_struct_is_moved() {
    let host = Named::default();
    host.update_note("moved".to_owned());
    host.hits().store(3, Ordering::Relaxed);
    let mut crowd = vec![Named::default(), host];
    crowd.reserve(100);
    let host = Box::new(crowd.pop().unwrap());
    assert_eq!((host.note().as_deref(), host.hits().load(Ordering::Relaxed)), (Some("moved"), 3));
    assert_eq!(crowd[0].note(), None);
}

#[test]
fn fields_can_be_taken_away_from_their_host() {
    let census = Census::default();
    let mut host = Named { pid: 1, ..Named::default() };
    assert!(host.attach_life(census.life()).is_ok());
    let taken = mem::take(&mut host.shadow);
    assert!(host.life().is_none());
    assert_eq!((host.pid, census.dropped()), (1, 0));
    host.shadow = taken;
    assert!(host.life().is_some());
    host.shadow = ShadowFields::new();
    assert_eq!(census.dropped(), 1);
}

#[test]
fn a_host_may_hold_another() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach mark: u8)]
    struct Outer {
        #[shadow(fields)]
        shadow: ShadowFields,
        inner: Marked,
    }
    let host = Outer::default();
    host.attach_mark(1).unwrap();
    assert_eq!(host.inner.mark(), None);
    host.inner.attach_mark(2).unwrap();
    assert_eq!((host.mark(), host.inner.mark()), (Some(&1), Some(&2)));
}

#[test]
fn a_field_may_hold_a_host_with_fields_of_its_own() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach next: Box<Node>)]
    #[shadow_field(attach life: Life)]
    struct Node {
        shadow: ShadowFields,
    }
    let census = Census::default();
    let root = Node::default();
    let mut node = &root;
    for _ in 0..10 {
        assert!(node.attach_life(census.life()).is_ok());
        let Ok(next) = node.attach_next(Box::default()) else { panic!("it is new") };
        node = next;
    }
    drop(root);
    assert_eq!((census.made(), census.dropped()), (10, 10));
}

#[test]
fn a_host_goes_to_other_threads_with_its_fields() {
    let mut host = Named::default();
    host.update_note("here".to_owned());
    host = std::thread::spawn(move || {
        assert_eq!(host.note().as_deref(), Some("here"));
        host.update_note("there".to_owned());
        host
    })
    .join()
    .unwrap();
    assert_eq!(host.detach_note().as_deref(), Some("there"));
}

/// A flag says that field 0 is attached, for a fast read. A first attach to a later field does not set the flag.
#[test]
fn a_first_attach_to_another_field_leaves_the_first_field_as_it_is() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach first: String)]
    #[shadow_field(attach second: u8)]
    #[shadow_field(get_or_attach third: u8)]
    struct ByAttach {
        shadow: ShadowFields,
    }
    let host = ByAttach::default();
    host.attach_second(2).unwrap();
    assert_eq!(host.first(), None);
    let host = ByAttach::default();
    assert_eq!(host.get_or_attach_third(|| 3), &3);
    assert_eq!(host.first(), None);
    host.attach_first("first".to_owned()).unwrap();
    assert_eq!((host.first().map(String::as_str), host.peek_third()), (Some("first"), Some(&3)));

    let host = Clock { shadow: ShadowFields::new() };
    host.attach_name("tower").unwrap();
    assert!(host.peek_ticks().is_none());
    assert_eq!(host.ticks().load(Ordering::Relaxed), 0);
}

/// A detach of field 0 clears the flag for the fast read.
#[test]
fn a_first_field_that_is_detached_is_gone_and_can_be_attached_again() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach once: String)]
    struct Once(ShadowFields);
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_attach made: String)]
    struct Made(ShadowFields);
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update newest: String)]
    struct Newest(ShadowFields);
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update(copy) copied: u32)]
    struct Copied(ShadowFields);

    let mut once = Once::default();
    let mut made = Made::default();
    let mut newest = Newest::default();
    let mut copied = Copied::default();
    for round in 1..4_u32 {
        let text = || round.to_string();
        assert_eq!(once.attach_once(text()).unwrap(), &text());
        assert_eq!(made.get_or_attach_made(text), &text());
        assert!(newest.update_newest(text()).is_none() && copied.update_copied(round).is_none());
        once.once_mut().unwrap().push('!');
        made.made_mut().push('!');
        newest.newest_mut().unwrap().push('!');
        *copied.copied_mut().unwrap() += 10;
        let expected = Some(format!("{round}!"));
        assert_eq!(
            (once.once(), made.peek_made(), newest.newest()),
            (expected.as_ref(), expected.as_ref(), expected.clone())
        );
        assert_eq!(copied.copied(), Some(round + 10));
        assert_eq!(
            (once.detach_once(), made.detach_made(), newest.detach_newest()),
            (expected.clone(), expected.clone(), expected)
        );
        assert_eq!(copied.detach_copied(), Some(round + 10));
        assert_eq!((once.once(), made.peek_made(), newest.newest(), copied.copied()), (None, None, None, None));
    }
}
