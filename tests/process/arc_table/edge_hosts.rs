//! Operations of std on hosts: `mem::swap`, `mem::take`, `mem::forget`, and the methods of `Arc` that move a value or
//! hand a value out. Further cases: `Arc`s that become hosts unintentionally, several hosts at the same address, and a
//! host kept alive by its own field, and statics, which no sweep drops.
//!
//! A sweep affects every `Arc` host of the process, so the tests run sequentially.

use std::sync::{Arc, Mutex, Weak};
use std::{mem, ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::{Census, Life, alone, fewer, panic_of};

#[derive(Shadow, Clone, Default)]
#[shadow_field(attach owner: &'static str)]
#[shadow_field(attach life: Life)]
struct Task {
    pid: u32,
    shadow: ShadowFields,
}

shadow! {
    trait OwnedFields for Shadowed<String> { attach owner: &'static str; attach life: Life; }
    trait SharedText for Arc<String> { attach owner: &'static str; attach life: Life; }
    trait SharedLock for Arc<Mutex<String>> { attach owner: &'static str; }
    trait SharedTask for Arc<Task> { attach shared: Life; }
    trait SharedStr for Arc<str> { attach owner: String; get_or_attach length: usize = self.len(); }
    trait StaticLock for &'static Mutex<String> { attach owner: &'static str; }
    trait StaticNumber for &'static u16 { attach life: Life; }
}

fn task(pid: u32, owner: &'static str) -> Task {
    let task = Task { pid, ..Task::default() };
    task.attach_owner(owner).unwrap();
    task
}

#[test]
fn swapping_two_structs_swaps_their_fields() {
    let _alone = alone();
    let (mut one, mut other) = (task(1, "one"), task(2, "other"));
    let owner = ptr::from_ref(one.owner().unwrap());
    mem::swap(&mut one, &mut other);
    assert_eq!((one.pid, one.owner(), other.pid, other.owner()), (2, Some(&"other"), 1, Some(&"one")));
    assert!(ptr::eq(other.owner().unwrap(), owner), "the value stays where it is");
    assert!(one.attach_owner("again").is_err());
}

#[test]
fn taking_a_struct_takes_its_fields() {
    let _alone = alone();
    let mut one = task(1, "one");
    let taken = mem::take(&mut one);
    assert_eq!((one.owner(), taken.owner()), (None, Some(&"one")));
    one.attach_owner("another").unwrap();
    let replaced = mem::replace(&mut one, taken);
    assert_eq!((one.owner(), replaced.owner()), (Some(&"one"), Some(&"another")));
}

#[test]
fn swapping_two_wrappers_swaps_their_fields_and_swapping_their_values_does_not() {
    let _alone = alone();
    let (mut one, mut other) = (Shadowed::new("1".to_owned()), Shadowed::new("2".to_owned()));
    one.attach_owner("one").unwrap();
    mem::swap(&mut *one, &mut *other);
    assert_eq!((&**one, one.owner(), &**other, other.owner()), ("2", Some(&"one"), "1", None));
    mem::swap(&mut one, &mut other);
    assert_eq!((&**one, one.owner(), &**other, other.owner()), ("1", None, "2", Some(&"one")));
    assert_eq!((mem::take(&mut *other), other.owner()), ("2".to_owned(), Some(&"one")));
    assert_eq!((&**mem::take(&mut other), other.owner()), ("", None));
}

#[test]
fn swapping_two_arcs_leaves_the_fields_with_their_objects() {
    let _alone = alone();
    let (mut one, mut other) = (Arc::new(Mutex::new("1".to_owned())), Arc::new(Mutex::new("2".to_owned())));
    one.attach_owner("one").unwrap();
    mem::swap(&mut one, &mut other);
    assert_eq!((one.owner(), other.owner()), (None, Some(&"one")));
    // A swap of the contents does not move the fields: fields belong to the objects.
    mem::swap(&mut *one.lock().unwrap(), &mut *other.lock().unwrap());
    assert_eq!((one.owner(), other.owner(), &**other.lock().unwrap()), (None, Some(&"one"), "2"));
}

#[test]
fn taking_what_a_static_holds_leaves_its_fields() {
    static HOST: Mutex<String> = Mutex::new(String::new());
    let _alone = alone();
    let host = &HOST;
    host.attach_owner("a static").unwrap();
    *host.lock().unwrap() = "held".to_owned();
    assert_eq!((mem::take(&mut *host.lock().unwrap()), host.owner()), ("held".to_owned(), Some(&"a static")));
}

/// Keeps the address of an intentional leak, so that a leak checker finds the memory reachable.
fn keep<T: Sync>(value: &T) {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    KEPT.lock().unwrap().push(ptr::from_ref(value).addr());
}

#[test]
fn what_is_forgotten_is_never_dropped_and_is_live_in_the_report() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach life: Life)]
    struct Forgotten {
        shadow: ShadowFields,
    }
    let (_alone, census) = (alone(), Census::default());
    let mut host = Forgotten::default();
    for _ in 0..3 {
        assert!(host.life().is_none(), "what is at this place now is another host");
        assert!(host.attach_life(census.life()).is_ok());
        keep(host.life().unwrap());
        mem::forget(mem::take(&mut host));
    }
    let report = registry().report();
    let row = report.iter().find(|row| row.host() == "Forgotten").unwrap();
    assert_eq!((census.dropped(), row.live(), row.detached()), (0, 3, 0));

    let wrapper = Shadowed::new(String::new());
    assert!(wrapper.attach_life(census.life()).is_ok());
    keep(wrapper.life().unwrap());
    mem::forget(wrapper);
    assert_eq!(census.dropped(), 0);
}

#[test]
fn an_arc_that_is_forgotten_keeps_its_host_and_another_does_not_bring_it_to_an_end() {
    let (_alone, census) = (alone(), Census::default());
    let host = Arc::new("kept".to_owned());
    let weak = Arc::downgrade(&host);
    assert!(host.attach_life(census.life()).is_ok());
    mem::forget(Arc::clone(&host));
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (0, 0));
    let host = weak.upgrade().unwrap();
    assert!(host.life().is_some());
    // SAFETY: the forgotten `Arc` owns the count that this call releases.
    unsafe { Arc::decrement_strong_count(Arc::as_ptr(&host)) };
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

/// Embedded fields move with the struct; fields in the side table stay with the allocation.
#[test]
fn a_struct_that_leaves_its_arc_takes_what_it_embeds() {
    type Leave = fn(Arc<Task>) -> Task;
    let _alone = alone();
    let leave: [Leave; 3] =
        [|host| Arc::try_unwrap(host).ok().unwrap(), |host| Arc::into_inner(host).unwrap(), Arc::unwrap_or_clone];
    for leave in leave {
        let (embedded, shared) = (Census::default(), Census::default());
        let host = Arc::new(task(1, "embedded"));
        assert!(Task::attach_life(&host, embedded.life()).is_ok());
        assert!(host.attach_shared(shared.life()).is_ok());
        let left = leave(host);
        assert_eq!((left.owner(), left.life().is_some()), (Some(&"embedded"), true));
        assert_eq!((registry().sweep(), shared.dropped()), (1, 1));
        let again = Arc::new(left);
        assert!(again.shared().is_none() && Task::life(&again).is_some());
        assert_eq!(embedded.dropped(), 0);
    }
}

#[test]
fn a_clone_that_leaves_an_arc_takes_nothing() {
    let (_alone, census) = (alone(), Census::default());
    let host = Arc::new(task(1, "embedded"));
    assert!(host.attach_shared(census.life()).is_ok());
    let clone = Arc::unwrap_or_clone(Arc::clone(&host));
    assert_eq!((clone.pid, clone.owner()), (1, None));
    let mut other = Arc::clone(&host);
    Arc::make_mut(&mut other).pid = 2;
    assert_eq!((other.pid, other.owner(), host.pid, host.owner()), (2, None, 1, Some(&"embedded")));
    assert!(other.shared().is_none() && host.shared().is_some());
    assert_eq!(registry().sweep(), 0);
}

#[test]
fn make_mut_moves_what_is_embedded_along() {
    let (_alone, census) = (alone(), Census::default());
    let mut host = Arc::new(task(1, "embedded"));
    assert!(host.attach_shared(census.life()).is_ok());
    Arc::make_mut(&mut host).pid = 2;
    assert_eq!((host.pid, host.owner(), host.shared().is_some()), (2, Some(&"embedded"), false));
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

#[test]
fn of_several_that_give_their_arcs_up_at_once_one_gets_the_value_and_the_fields_go_once() {
    const ROUNDS: usize = fewer(100, 10);
    let (_alone, census) = (alone(), Census::default());
    for _ in 0..ROUNDS {
        let host = Arc::new("value".to_owned());
        assert!(host.attach_life(census.life()).is_ok());
        let arcs: Vec<_> = (0..3).map(|_| Arc::clone(&host)).collect();
        drop(host);
        let values = thread::scope(|scope| {
            let threads: Vec<_> = arcs.into_iter().map(|arc| scope.spawn(|| Arc::into_inner(arc))).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).count()
        });
        assert_eq!(values, 1);
    }
    registry().sweep();
    assert_eq!((census.made(), census.dropped()), (ROUNDS, ROUNDS));
}

/// The side table's entry holds a `Weak` of the host, and `get_mut` fails while a `Weak` exists.
#[test]
fn get_mut_works_until_something_is_attached() {
    let _alone = alone();
    let mut host = Arc::new("host".to_owned());
    assert!(host.owner().is_none());
    assert!(Arc::get_mut(&mut host).is_some(), "to look attaches nothing");
    host.attach_owner("somebody").unwrap();
    registry().sweep();
    assert!(Arc::get_mut(&mut host).is_none());
    // `make_mut` always works, and moves the value to a new object without fields.
    Arc::make_mut(&mut host).push('!');
    assert!(Arc::get_mut(&mut host).is_some());
    assert_eq!((host.owner(), registry().sweep()), (None, 1));
}

/// Before `new_cyclic` returns, no `Arc` of the object exists, and so no host.
#[test]
fn an_object_is_no_host_before_new_cyclic_has_made_it() {
    shadow! { trait CyclicFields for Arc<Cyclic> { get_or_attach name: String = self.describe(); attach life: Life; } }
    struct Cyclic {
        itself: Weak<Self>,
    }
    impl Cyclic {
        fn describe(&self) -> String {
            // The host, after `new_cyclic`.
            let itself = self.itself.upgrade().unwrap();
            assert!(itself.peek_name().is_none(), "it is being made");
            format!("{} arcs", Arc::strong_count(&itself))
        }
    }
    let (_alone, census) = (alone(), Census::default());
    let host = Arc::new_cyclic(|itself| {
        assert!(itself.upgrade().is_none());
        Cyclic { itself: itself.clone() }
    });
    assert_eq!(host.name(), "2 arcs");
    assert!(host.attach_life(census.life()).is_ok());
    let failed = panic_of(|| Arc::<Cyclic>::new_cyclic(|_| panic!("it is not made")));
    assert_eq!(failed, "it is not made");
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));
}

#[test]
fn empty_strings_are_hosts_of_their_own_unless_std_shares_them() {
    let _alone = alone();
    let (one, other) = (Arc::<str>::from(""), Arc::<str>::from(String::new()));
    assert!(!Arc::ptr_eq(&one, &other));
    one.attach_owner("one".to_owned()).unwrap();
    other.attach_owner("other".to_owned()).unwrap();
    assert_eq!((one.owner().unwrap().as_str(), other.owner().unwrap().as_str()), ("one", "other"));
    assert_eq!(one.length(), &0);
    drop((one, other));
    assert_eq!(registry().sweep(), 2);

    // std decides whether two default `Arc<str>` share an object. If so, the two are one host.
    let (one, other) = (Arc::<str>::default(), Arc::<str>::default());
    one.attach_owner("one".to_owned()).unwrap();
    assert_eq!(other.owner().is_some(), Arc::ptr_eq(&one, &other));
}

/// Both structs embed fields at the start. So the two hosts, the `Arc` host and the raw object have the same address.
#[test]
fn hosts_that_begin_at_one_address_have_fields_of_their_own() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach owner: &'static str)]
    #[shadow_field(get_or_attach number: usize)]
    #[repr(C)]
    struct Outer {
        first: Inner,
        #[shadow(fields)]
        shadow: ShadowFields,
    }
    #[derive(Shadow, Default)]
    #[shadow_field(attach owner: &'static str)]
    #[shadow_field(get_or_attach number: usize)]
    #[repr(C)]
    struct Inner {
        shadow: ShadowFields,
    }
    shadow! { trait SharedOuter for Arc<Outer> { attach shared: &'static str; get_or_attach shared_number: usize; } }
    const OWNER: raw::Id<&str> = raw::Id::new(910);

    let _alone = alone();
    let host = Arc::new(Outer::default());
    let object = Arc::as_ptr(&host).cast();
    assert!(ptr::eq(object, ptr::from_ref(&host.first).cast()));
    assert!(ptr::eq(object, ptr::from_ref(&host.first.shadow).cast()));
    host.attach_shared("shared").unwrap();
    host.attach_owner("outer").unwrap();
    host.first.attach_owner("inner").unwrap();
    // SAFETY: the field is detached before the end of the object.
    unsafe { OWNER.attach(object, "raw") }.unwrap();
    // Nested initialisers: three init locks are held at the same time, and must not be confused.
    let number = host
        .get_or_attach_shared_number(|| 1 + host.get_or_attach_number(|| 1 + host.first.get_or_attach_number(|| 1)));
    assert_eq!((number, host.number(), host.first.number()), (&3, &2, &1));
    assert_eq!((host.shared(), host.owner(), host.first.owner()), (Some(&"shared"), Some(&"outer"), Some(&"inner")));
    // SAFETY: no reference to the value exists.
    assert_eq!(unsafe { OWNER.detach(object) }.unwrap(), Some("raw"));
}

/// A value that owns its host is a reference cycle, a leak. After the cycle is broken, the host dies.
#[test]
fn a_value_that_holds_its_own_host_keeps_it_and_a_weak_does_not() {
    shadow! {
        trait KnotFields for Arc<Knot> {
            attach strong: Mutex<Option<Arc<Knot>>>;
            attach weak: Weak<Knot>;
            attach life: Life;
        }
    }
    #[derive(Debug)]
    struct Knot;
    let (_alone, census) = (alone(), Census::default());

    let host = Arc::new(Knot);
    assert!(host.attach_life(census.life()).is_ok());
    host.attach_weak(Arc::downgrade(&host)).unwrap();
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (1, 1));

    let host = Arc::new(Knot);
    assert!(host.attach_life(census.life()).is_ok());
    host.attach_strong(Mutex::new(Some(Arc::clone(&host)))).unwrap();
    let way_back = Arc::downgrade(&host);
    drop(host);
    assert_eq!((registry().sweep(), census.dropped()), (0, 1), "nothing brings it to an end");

    let host = way_back.upgrade().unwrap();
    let opened = host.strong().unwrap().lock().unwrap().take();
    drop((opened, host));
    assert_eq!((registry().sweep(), census.dropped()), (1, 2));
}

#[test]
fn fields_of_a_static_are_never_dropped() {
    static ONE: u16 = 1;
    let _alone = alone();
    let census = Census::default();
    let one = &ONE;
    assert!(one.attach_life(census.life()).is_ok());
    assert_eq!(registry().sweep(), 0, "what never dies is never swept");
    assert_eq!(census.dropped(), 0);
    assert!(one.life().is_some());
}
