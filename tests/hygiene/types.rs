//! Compile-time properties of every public type: `Send` and `Sync`, `Unpin`, unwind safety, the variance of lifetime
//! parameters, and the bounds on lifetimes.
//!
//! The cases that the compiler must refuse are in `ui/`, beside accepted twins.

use std::cell::Cell;
use std::fmt::Debug;
use std::marker::{PhantomData, PhantomPinned};
use std::panic::{RefUnwindSafe, UnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::{ptr, slice, vec};

use shadow_runtime::__private::{self as private, StaticHost};
use shadow_runtime::raw::{AttachError, Circle, Description, Id, InitError, PointerId, TypeMismatch, UpdateId};
use shadow_runtime::{
    AlreadyAttached, Place, Policy, Registry, Report, Row, Shadow, ShadowFields, Shadowed, registry, shadow,
};

/// The names of the auto traits that a type implements.
macro_rules! auto_traits {
    ($type:ty) => {{
        let all: [(bool, &'static str); 5] = [
            (has!($type: Send), "Send"),
            (has!($type: Sync), "Sync"),
            (has!($type: Unpin), "Unpin"),
            (has!($type: UnwindSafe), "UnwindSafe"),
            (has!($type: RefUnwindSafe), "RefUnwindSafe"),
        ];
        all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect::<Vec<_>>()
    }};
}

/// Whether a type implements a trait. An inherent constant, present only if the bound is met, shadows the constant of a
/// trait.
macro_rules! has {
    ($type:ty: $trait:path) => {{
        #[allow(dead_code, reason = "where the bound is met")]
        trait Otherwise {
            const HAS: bool = false;
        }
        impl<T> Otherwise for T {}
        struct Asked<T>(PhantomData<T>);
        #[allow(dead_code, reason = "where the bound is not met")]
        impl<T: $trait> Asked<T> {
            const HAS: bool = true;
        }
        <Asked<$type>>::HAS
    }};
}

/// Asserts that a generic type has the auto traits of its parameter, for parameters that lack different auto traits.
macro_rules! has_those_of_its_parameter {
    ($type:ident) => {
        assert_eq!(auto_traits!($type<u32>), ALL);
        assert_eq!(auto_traits!($type<OneAtATime>), auto_traits!(OneAtATime));
        assert_eq!(auto_traits!($type<OfItsThread>), auto_traits!(OfItsThread));
        assert_eq!(auto_traits!($type<Rc<u8>>), auto_traits!(Rc<u8>));
        assert_eq!(auto_traits!($type<*const u8>), auto_traits!(*const u8));
        assert_eq!(auto_traits!($type<PhantomPinned>), auto_traits!(PhantomPinned));
        assert_eq!(auto_traits!($type<&'static mut u8>), auto_traits!(&'static mut u8));
    };
}

const ALL: [&str; 5] = ["Send", "Sync", "Unpin", "UnwindSafe", "RefUnwindSafe"];

/// `Send`, but not `Sync`.
type OneAtATime = Cell<u8>;
/// `Sync`, but not `Send`.
type OfItsThread = MutexGuard<'static, u8>;

#[test]
fn the_parameters_that_are_asked_about_lack_what_they_are_asked_for() {
    assert_eq!(auto_traits!(u32), ALL);
    assert_eq!(auto_traits!(OneAtATime), ["Send", "Unpin", "UnwindSafe"]);
    assert!(!has!(OfItsThread: Send) && has!(OfItsThread: Sync));
    assert!(!has!(Rc<u8>: Send) && !has!(Rc<u8>: Sync));
    assert!(!has!(PhantomPinned: Unpin));
    assert!(!has!(&'static mut u8: UnwindSafe));
}

/// All values in a `ShadowFields` are `Send + Sync`. Interior mutability of a value uses locks or atomics, as in an
/// `Arc<Mutex<_>>`, and the library leaves no half-finished operation when user code panics: unwind safety. Values are
/// on the heap, and do not move with the `ShadowFields`: `Unpin`.
#[test]
fn shadow_fields_may_go_everywhere_and_so_take_nothing_from_their_host() {
    #[derive(Shadow)]
    struct Host<T> {
        _value: T,
        shadow: ShadowFields,
    }
    assert_eq!(auto_traits!(ShadowFields), ALL);
    has_those_of_its_parameter!(Host);
}

/// A `Shadowed<T>` is a `T` with a `ShadowFields`, so only the `T` restricts the auto traits.
#[test]
fn a_wrapper_may_go_where_its_value_may() {
    has_those_of_its_parameter!(Shadowed);
}

/// An error that hands a value back consists of the value and a reference to the declaration, a static. So `?` converts
/// the error to a `Box<dyn Error + Send + Sync>`, and `catch_unwind` accepts the error, if the value permits.
#[test]
fn an_error_may_go_where_the_value_that_it_hands_back_may() {
    has_those_of_its_parameter!(AlreadyAttached);
    has_those_of_its_parameter!(AttachError);
    has_those_of_its_parameter!(TypeMismatch);
    has_those_of_its_parameter!(Circle);
    // The value is the error that an initialiser has returned.
    has_those_of_its_parameter!(InitError);
}

/// An id is a number with a type parameter, and contains no value: the marker is `PhantomData<fn() -> V>`, not
/// `PhantomData<V>`. The methods have the bounds on the value.
#[test]
fn ids_may_go_everywhere_whatever_they_name() {
    assert_eq!(auto_traits!(Id<Rc<Cell<&'static mut PhantomPinned>>>), ALL);
    assert_eq!(auto_traits!(UpdateId<*const Cell<&'static mut PhantomPinned>>), ALL);
    assert_eq!(auto_traits!(PointerId<Rc<Cell<&'static mut PhantomPinned>>>), ALL);
}

/// A registry has no data; reports and rows consist of sums and references to declarations. The counts of a field are
/// atomics, and the field's link in the registry's list is written once, so a panic cannot leave a broken state.
#[test]
fn the_registry_and_its_reports_may_go_everywhere() {
    assert_eq!(auto_traits!(Registry), ALL);
    assert_eq!(auto_traits!(Report), ALL);
    assert_eq!(auto_traits!(Row), ALL);
    assert_eq!(auto_traits!(vec::IntoIter<Row>), ALL);
    assert_eq!(auto_traits!(slice::Iter<'static, Row>), ALL);
    assert_eq!(auto_traits!(Policy), ALL);
    assert_eq!(auto_traits!(Place), ALL);
    assert_eq!(auto_traits!(Description), ALL);
    assert_eq!(auto_traits!(private::Field), ALL);
}

/// Types that are hidden, but public. A cell accepts only values that are `Send + Sync`, so a cell is `Send + Sync` for
/// every type parameter. Field sets rely on the unconditional impls, since a field set has no bounds on its parameters.
/// `StaticHost<T>` stands for the `T` of a `&'static T`.
#[test]
fn what_generated_code_names_may_go_where_it_has_to() {
    fn both<T: Send + Sync>() {}
    both::<private::Attach<Rc<Cell<u8>>>>();
    both::<private::GetOrAttach<Rc<Cell<u8>>>>();
    both::<private::GetOrUpdate<Rc<Cell<u8>>>>();
    both::<private::GetOrUpdateCopy<*const Cell<u8>>>();
    assert_eq!(auto_traits!(private::Identity), ALL);
    has_those_of_its_parameter!(StaticHost);
}

/// A wrapper or an error owns a value, as a `Box` does, and is covariant in the type of the value. An id returns values
/// and accepts values. Covariance of an id is sound, since the methods exist only for `'static` values, and since the
/// library compares the types behind a number at run time.
#[test]
fn a_longer_lifetime_may_be_used_as_a_shorter_one() {
    fn wrapper<'short>(long: Shadowed<&'static str>) -> Shadowed<&'short str> {
        long
    }
    fn attached<'short>(long: AlreadyAttached<&'static str>) -> AlreadyAttached<&'short str> {
        long
    }
    fn attach<'short>(long: AttachError<&'static str>) -> AttachError<&'short str> {
        long
    }
    fn mismatch<'short>(long: TypeMismatch<&'static str>) -> TypeMismatch<&'short str> {
        long
    }
    fn circle<'short>(long: Circle<&'static str>) -> Circle<&'short str> {
        long
    }
    fn init<'short>(long: InitError<&'static str>) -> InitError<&'short str> {
        long
    }
    fn id<'short>(long: Id<&'static str>) -> Id<&'short str> {
        long
    }
    fn update_id<'short>(long: UpdateId<&'static str>) -> UpdateId<&'short str> {
        long
    }
    fn pointer_id<'short>(long: PointerId<&'static str>) -> PointerId<&'short str> {
        long
    }
    let (host, numbered) = (wrapper(Shadowed::new("long")), id(Id::new(1)));
    assert_eq!((*host, numbered.to_string()), ("long", "raw id 1".to_owned()));
    assert_eq!(update_id(UpdateId::new(2)).to_string(), "raw id 2");
    assert_eq!(pointer_id(PointerId::new(3)).to_string(), "raw id 3");
    let _ = (attached, attach, mismatch, circle, init);
}

/// Accepts a reference of any lifetime.
type Any = fn(&[u8]) -> usize;
/// Accepts a `'static` reference only. `Any` is a subtype of `Long`, and both types are `'static`, so both have fields.
type Long = fn(&'static [u8]) -> usize;

shadow! {
    trait OwnedFields<T: Send + Sync + 'static> for Shadowed<T> { attach owned: T; }
    trait SharedFields<T: Send + Sync + 'static> for Arc<T> { attach shared: T; }
    trait StaticFields<T: Send + Sync + 'static> for &'static T { attach fixed: T; }
}

fn length(bytes: &[u8]) -> usize {
    bytes.len()
}

/// A host that is used at a supertype has the fields of the supertype, not the fields of the subtype.
#[test]
fn a_host_that_becomes_one_of_a_subtype_shows_no_value_as_what_it_is_not() {
    fn owned(host: &Shadowed<Any>) -> &Shadowed<Long> {
        host
    }
    fn shared(host: &Arc<Any>) -> &Arc<Long> {
        host
    }
    let (of_any, of_long): (Any, Long) = (length, |_| 0);

    let host = Shadowed::new(of_any);
    assert_eq!(host.attach_owned(of_any).unwrap()(b"12"), 2);
    assert!(owned(&host).owned().is_none());
    assert_eq!(owned(&host).attach_owned(of_long).unwrap()(b"12"), 0);
    assert_eq!(host.owned().unwrap()(b"12"), 2);

    let host = Arc::new(of_any);
    assert_eq!(host.attach_shared(of_any).unwrap()(b"12"), 2);
    assert!(shared(&host).shared().is_none());
    assert_eq!(shared(&host).attach_shared(of_long).unwrap()(b"12"), 0);
    assert_eq!(host.shared().unwrap()(b"12"), 2);

    let host: &'static Any = Box::leak(Box::new(of_any));
    assert_eq!(host.attach_fixed(of_any).unwrap()(b"12"), 2);
    let as_long: &'static Long = host;
    assert!(as_long.fixed().is_none());
    assert_eq!(as_long.attach_fixed(of_long).unwrap()(b"12"), 0);
    assert_eq!(host.fixed().unwrap()(b"12"), 2);
}

#[test]
fn an_id_that_becomes_one_of_a_subtype_names_what_it_was_first_used_for() {
    fn of_long(id: Id<Any>) -> Id<Long> {
        id
    }
    const LENGTH: Id<Any> = Id::new(1);
    let object = 0_u8;
    let key = ptr::from_ref(&object).cast();
    // SAFETY: the field is detached before the end of `object`, and the reference ends with this statement.
    assert_eq!(unsafe { LENGTH.attach(key, length) }.unwrap()(b"12"), 2);
    // SAFETY: the type mismatch yields an error, not a reference.
    let mismatch = unsafe { of_long(LENGTH).get(key) }.unwrap_err();
    assert_eq!(mismatch.id(), 1);
    // SAFETY: no reference to the value exists.
    assert!(unsafe { of_long(LENGTH).detach(key) }.is_err());
    // SAFETY: no reference to the value exists.
    assert_eq!(unsafe { LENGTH.detach(key) }.unwrap().unwrap()(b"12"), 2);
}

/// `ShadowFields` has a destructor, but no type parameter for the drop check to inspect, since values are `'static`. So
/// a host may outlive a borrowed object, if the host's other members permit; for a wrapper, if the value permits.
#[test]
fn a_host_may_be_dropped_after_what_it_borrows_from() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach life: Arc<u8>)]
    struct Reader<'a> {
        text: Cell<Option<&'a String>>,
        shadow: ShadowFields,
    }
    let life = Arc::new(0);
    {
        let (reader, wrapper, text);
        reader = Reader::default();
        wrapper = Shadowed::new(Cell::new(None));
        text = "goes first".to_owned();
        reader.text.set(Some(&text));
        wrapper.set(Some(&text));
        reader.attach_life(Arc::clone(&life)).unwrap();
        assert_eq!(reader.text.get(), wrapper.get());
    }
    assert_eq!(Arc::strong_count(&life), 1);
}

/// Two hosts may borrow from each other.
#[test]
fn hosts_may_borrow_one_another() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach life: Arc<u8>)]
    struct Node<'a> {
        next: Cell<Option<&'a Node<'a>>>,
        shadow: ShadowFields,
    }
    let life = Arc::new(0);
    {
        let (one, other) = (Node::default(), Node::default());
        one.next.set(Some(&other));
        other.next.set(Some(&one));
        one.attach_life(Arc::clone(&life)).unwrap();
        let round = one.next.get().and_then(|other| other.next.get()).unwrap();
        assert!(ptr::eq(round.life().unwrap(), one.life().unwrap()));
    }
    assert_eq!(Arc::strong_count(&life), 1);
}

/// An id has no drop glue, so the drop check does not inspect the type parameter.
#[test]
fn an_id_may_outlive_what_its_type_borrows_from() {
    struct Loud<'a>(&'a str);
    impl Drop for Loud<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0, "text");
        }
    }
    fn id_of<T>(_: &T) -> (Id<T>, UpdateId<T>, PointerId<T>) {
        (Id::new(1), UpdateId::new(2), PointerId::new(3))
    }
    let (ids, text);
    text = "text".to_owned();
    ids = id_of(&Loud(&text));
    assert_eq!(ids.0.to_string(), "raw id 1");
}

/// The closure of a `catch_unwind` may use the whole interface and return the results.
#[test]
fn what_is_asked_for_can_be_caught() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach number: u8)]
    struct Host {
        shadow: ShadowFields,
    }
    fn caught<R: Debug + UnwindSafe>(ask: impl FnOnce() -> R + UnwindSafe) -> R {
        catch_unwind(ask).unwrap()
    }
    let (host, lock) = (Host::default(), Mutex::new(Report::clone(&registry().report())));
    assert_eq!(caught(|| host.attach_number(1).copied()).unwrap(), 1);
    let refused = caught(|| host.attach_number(2).copied()).unwrap_err();
    assert_eq!(caught(|| (refused.field(), refused.into_value())), ("number", 2));
    assert!(caught(|| lock.into_inner().unwrap().iter().count()) < 100);
}
