//! Values of unusual size and alignment, with every policy and on every kind of host; and a million hosts.
//!
//! A sweep affects every `Arc` host of the process, so the tests run sequentially.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{ptr, thread};

use shadow_runtime::raw::{self, Id, UpdateId};
use shadow_runtime::{Row, Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{Census, Life, alone, fewer};

/// Values for fields of every policy.
trait Odd: Copy + PartialEq + Debug + Send + Sync + 'static {
    fn of(number: u8) -> Self;
}

/// A small field precedes and follows the tested fields, so no value is aligned by chance.
#[derive(Shadow)]
#[shadow_field(attach before: u8)]
#[shadow_field(attach once: V)]
#[shadow_field(get_or_attach made: V = V::of(2))]
#[shadow_field(get_or_update newest: V)]
#[shadow_field(get_or_update(copy) copied: V)]
#[shadow_field(attach after: u8)]
struct Task<V: Odd> {
    shadow: ShadowFields,
    _value: [V; 0],
}

shadow! {
    trait OwnedFields<V: Odd> for Shadowed<[V; 0]> {
        attach before: u8;
        attach once: V;
        get_or_attach made: V = V::of(2);
        get_or_update newest: V;
        get_or_update(copy) copied: V;
        attach after: u8;
    }
    trait SharedFields<V: Odd> for Arc<[V; 0]> {
        attach before: u8;
        attach once: V;
        get_or_attach made: V = V::of(2);
        get_or_update newest: V;
        get_or_update(copy) copied: V;
        attach after: u8;
    }
    trait StaticFields<V: Odd> for &'static (u8, [V; 0]) {
        attach before: u8;
        attach once: V;
        get_or_attach made: V = V::of(2);
        get_or_update newest: V;
        get_or_update(copy) copied: V;
        attach after: u8;
    }
}

/// Attaches values to all fields of a host, and reads the values back.
macro_rules! use_all {
    ($host:expr, $value:ty) => {{
        let host = $host;
        let of = <$value>::of;
        host.attach_before(1).unwrap();
        assert_eq!(host.update_copied(of(5)), None);
        let once = host.attach_once(of(1)).unwrap();
        assert!(host.attach_once(of(9)).is_err_and(|refused| refused.into_value() == of(9)));
        let made = host.made();
        assert_eq!(host.update_newest(of(3)), None);
        assert_eq!(host.update_newest(of(4)), Some(of(3)));
        assert_eq!(
            host.update_copied_with(|before| before.copied().filter(|it| *it == of(5)).map_or(of(0), |_| of(6))),
            Some(of(5))
        );
        host.attach_after(7).unwrap();
        for value in [once, made] {
            assert!(ptr::from_ref(value).is_aligned());
        }
        assert_eq!((once, made), (&of(1), &of(2)));
        assert_eq!((host.newest(), host.copied()), (Some(of(4)), Some(of(6))));
        assert_eq!((host.before(), host.after()), (Some(&1), Some(&7)));
        assert!(ptr::eq(host.once().unwrap(), once) && ptr::eq(host.made(), made));
    }};
}

/// Detaches all values of the tested fields.
macro_rules! detach_all {
    ($host:expr, $value:ty) => {{
        let of = <$value>::of;
        assert!(ptr::from_mut($host.made_mut()).is_aligned());
        assert!(ptr::from_mut($host.newest_mut().unwrap()).is_aligned());
        assert!(ptr::from_mut($host.copied_mut().unwrap()).is_aligned());
        assert_eq!(($host.detach_once(), $host.detach_made()), (Some(of(1)), Some(of(2))));
        assert_eq!(($host.detach_newest(), $host.detach_copied()), (Some(of(4)), Some(of(6))));
        assert_eq!(($host.before(), $host.after()), (Some(&1), Some(&7)));
    }};
}

fn on_every_host<V: Odd>(id: u64) {
    let _alone = alone();
    let mut task = Task::<V> { shadow: ShadowFields::new(), _value: [] };
    use_all!(&task, V);
    detach_all!(task, V);
    let mut wrapper = Shadowed::<[V; 0]>::new([]);
    use_all!(&wrapper, V);
    detach_all!(wrapper, V);
    let shared = Arc::<[V; 0]>::new([]);
    use_all!(&shared, V);
    let fixed: &'static (u8, [V; 0]) = Box::leak(Box::new((0, [])));
    use_all!(fixed, V);

    let (once, newest) = (Id::<V>::new(id), UpdateId::<V>::new(id + 1));
    let key = ptr::from_ref(fixed).cast();
    // SAFETY: the object is leaked, and `attached` is not used after the detach.
    let attached = unsafe { once.attach(key, V::of(1)) }.unwrap();
    assert!(ptr::from_ref(attached).is_aligned());
    assert_eq!(attached, &V::of(1));
    // SAFETY: the object is leaked, so the object outlives the field.
    assert_eq!(unsafe { newest.get_or_update(key, V::of(2)) }.unwrap(), None);
    // SAFETY: the object is leaked, so the object outlives the field.
    assert_eq!(unsafe { newest.get_or_update(key, V::of(3)) }.unwrap(), Some(V::of(2)));
    // SAFETY: the last use of `attached` is above.
    assert_eq!(unsafe { once.detach(key) }.unwrap(), Some(V::of(1)));
    // SAFETY: the fields at this address are fields of the leaked object.
    assert_eq!(unsafe { newest.detach(key) }.unwrap(), Some(V::of(3)));
    // A `Weak` of a zero-sized object points past the allocation, so a leak sanitizer would report the allocation.
    drop(shared);
    registry().sweep();
}

/// Runs `test` on a large stack. Without optimisation, every temporary of a value has its own stack slot.
fn with_a_large_stack(test: fn()) {
    thread::Builder::new().stack_size(512 << 20).spawn(test).unwrap().join().unwrap();
}

#[test]
fn values_of_alignment_64_are_aligned_on_every_host() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Line(u8);
    impl Odd for Line {
        fn of(number: u8) -> Self {
            Self(number)
        }
    }
    on_every_host::<Line>(920);
}

#[test]
fn values_of_the_alignment_of_a_page_are_aligned_on_every_host() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    // Under Miri, a copy of 4096 bytes takes seconds.
    #[cfg_attr(not(miri), repr(align(4096)))]
    #[cfg_attr(miri, repr(align(512)))]
    struct Page(u8);
    impl Odd for Page {
        fn of(number: u8) -> Self {
            Self(number)
        }
    }
    with_a_large_stack(|| on_every_host::<Page>(922));
}

/// Values are arguments, so a value moves over the stack. A thread with a small stack would box such values.
#[test]
fn values_of_a_megabyte_are_whole_on_every_host() {
    const SIZE: usize = fewer(1 << 20, 1 << 8);
    #[derive(Clone, Copy, PartialEq, Debug)]
    struct Large([u8; SIZE]);
    impl Odd for Large {
        #[expect(clippy::large_stack_arrays, reason = "that is what it is about")]
        fn of(number: u8) -> Self {
            let mut bytes = [number; SIZE];
            bytes[SIZE / 2..].fill(!number);
            Self(bytes)
        }
    }
    with_a_large_stack(|| on_every_host::<Large>(924));
}

#[test]
fn values_of_no_size_are_attached_on_every_host() {
    #[derive(Clone, Copy, PartialEq, Debug)]
    #[repr(align(64))]
    struct Nothing;
    impl Odd for Nothing {
        fn of(_: u8) -> Self {
            Self
        }
    }
    on_every_host::<()>(926);
    on_every_host::<Nothing>(928);
}

#[test]
fn values_of_no_size_are_dropped_once_each() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Counted;
    impl Clone for Counted {
        fn clone(&self) -> Self {
            Self
        }
    }
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
        }
    }
    #[derive(Shadow, Default)]
    #[shadow_field(attach once: Counted)]
    #[shadow_field(get_or_attach made: Counted = Counted)]
    #[shadow_field(get_or_update newest: Counted)]
    struct Host {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let mut host = Host::default();
    assert!(host.attach_once(Counted).is_ok());
    host.made();
    host.update_newest(Counted);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 0);
    drop(host.update_newest(Counted));
    drop(host.detach_once());
    assert_eq!(DROPPED.load(Ordering::SeqCst), 2);
    drop(host);
    assert_eq!(DROPPED.load(Ordering::SeqCst), 4);
}

impl Odd for () {
    fn of(_: u8) {}
}

fn row(host: &str) -> Row {
    let report = registry().report();
    *report.iter().find(|row| row.host() == host && row.field() == "serial").unwrap()
}

#[test]
fn a_million_structs_have_a_field_each() {
    const HOSTS: u64 = fewer(1_000_000, 50);
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u64)]
    struct OneOfMany {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let hosts: Vec<OneOfMany> = (0..HOSTS).map(|_| OneOfMany::default()).collect();
    for (number, host) in (0..).zip(&hosts) {
        host.attach_serial(number).unwrap();
    }
    assert!((0..).zip(&hosts).all(|(number, host)| host.serial() == Some(&number)));
    assert_eq!((row("OneOfMany").live(), row("OneOfMany").attached()), (HOSTS, HOSTS));
    drop(hosts);
    assert_eq!((row("OneOfMany").live(), row("OneOfMany").detached()), (0, HOSTS));
}

#[test]
fn a_million_arcs_have_a_field_each() {
    const STEP: usize = fewer(1000, 10);
    const HOSTS: usize = fewer(1_000_000, 40);
    const LIVES: usize = HOSTS / STEP;
    shadow! { trait ManyFields for Arc<usize> { get_or_attach serial: usize = **self; attach life: Life; } }
    let (_alone, census) = (alone(), Census::default());
    let mut hosts: Vec<Arc<usize>> = (0..HOSTS).map(Arc::new).collect();
    for host in &hosts {
        host.serial();
    }
    for host in hosts.iter().step_by(STEP) {
        assert!(host.attach_life(census.life()).is_ok());
    }
    assert!(hosts.iter().all(|host| host.peek_serial() == Some(&**host)));
    assert_eq!((row("Arc<usize>").live(), row("Arc<usize>").attached()), (HOSTS as u64, HOSTS as u64));
    hosts.truncate(HOSTS / 2);
    assert_eq!((registry().sweep(), census.dropped()), (HOSTS / 2, LIVES / 2));
    assert!(hosts.iter().all(|host| host.peek_serial() == Some(&**host)));
    drop(hosts);
    assert_eq!((registry().sweep(), census.dropped()), (HOSTS / 2, LIVES));
    assert_eq!((row("Arc<usize>").live(), row("Arc<usize>").detached()), (0, HOSTS as u64));
}

#[test]
fn many_addresses_have_a_raw_field_each() {
    const HOSTS: usize = fewer(100_000, 60);
    const SERIAL: Id<usize> = Id::new(930);
    let _alone = alone();
    let objects = vec![0_u8; HOSTS];
    for (number, object) in objects.iter().enumerate() {
        // SAFETY: all fields are detached before the end of the objects, and the reference ends here.
        unsafe { SERIAL.attach(ptr::from_ref(object).cast(), number) }.unwrap();
    }
    for (number, object) in objects.iter().enumerate() {
        // SAFETY: the reference ends here, before the detach of the field.
        assert_eq!(unsafe { SERIAL.get(ptr::from_ref(object).cast()) }.unwrap(), Some(&number));
    }
    let live = || registry().report().iter().find(|row| row.field() == "930").map(Row::live);
    assert_eq!(live(), Some(HOSTS as u64));
    // SAFETY: no reference to a value exists.
    assert_eq!(unsafe { raw::detach_object(ptr::from_ref(&objects[7]).cast()) }, 1);
    let mut sum = 0;
    // SAFETY: no reference to a value exists.
    assert_eq!(unsafe { SERIAL.detach_all(|_, number| sum += number) }.unwrap(), HOSTS - 1);
    assert_eq!((sum, live()), (HOSTS * (HOSTS - 1) / 2 - 7, Some(0)));
}

/// `it/host/raw.rs` uses the first number for an `Id`, and the last for an `UpdateId`. A number names one kind of id in
/// a process, so the opposite kinds are in this binary.
#[test]
fn the_first_and_the_last_number_name_fields_of_either_kind() {
    const FIRST: UpdateId<u8> = UpdateId::new(0);
    const LAST: Id<u8> = Id::new(u64::MAX);
    let _alone = alone();
    let object = 0_u8;
    let key = ptr::from_ref(&object).cast();
    // SAFETY: both fields are detached before the end of the object.
    assert_eq!(unsafe { FIRST.get_or_update(key, 1) }.unwrap(), None);
    // SAFETY: both fields are detached before the end of the object, and the reference ends here.
    assert_eq!(unsafe { LAST.attach(key, 2) }.unwrap(), &2);
    // SAFETY: the object is alive, and the reference ends here, before the detach.
    assert_eq!((unsafe { FIRST.get(key) }.unwrap(), unsafe { LAST.get(key) }.unwrap()), (Some(1), Some(&2)));
    assert_eq!((FIRST.to_string(), LAST.to_string()), ("raw id 0".to_owned(), format!("raw id {}", u64::MAX)));
    // SAFETY: no reference to a value exists.
    assert_eq!(unsafe { FIRST.detach_all(|_, value| assert_eq!(value, 1)) }.unwrap(), 1);
    // SAFETY: no reference to a value exists.
    assert_eq!(unsafe { LAST.detach_all(|_, value| assert_eq!(value, 2)) }.unwrap(), 1);
}
