//! Rule R2: safe code never sees a value of a wrong type, of another host or of a dead host, nor half of an update.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::{mem, ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::{AtEnd, alone, fewer, never_hangs};

/// A value with redundant parts. A mix of two values does not pass the check.
struct Whole {
    number: u64,
    text: String,
    negated: [u64; 6],
}

/// Yields between the parts, so that a change of the value during the clone leads to a mix of two values.
impl Clone for Whole {
    fn clone(&self) -> Self {
        let number = self.number;
        thread::yield_now();
        let text = self.text.clone();
        thread::yield_now();
        Self { number, text, negated: self.negated }
    }
}

impl Whole {
    fn of(number: u64) -> Self {
        Self { number, text: number.to_string(), negated: [!number; 6] }
    }

    fn check(&self) {
        assert_eq!(self.negated, [!self.number; 6], "half of an update");
        assert_eq!(self.text, self.number.to_string(), "half of an update");
    }
}

/// A host of 48 bytes, or 64 with the counts of an `Arc`.
type Object = [u8; 48];

shadow! {
    trait SharedObject for Arc<Object> {
        attach serial: u64;
        get_or_attach counter: AtomicU64;
        get_or_update whole: Whole;
    }
    trait StaticObject for &'static Object {
        attach serial: u64;
        get_or_update whole: Whole;
    }
    trait AnySlice<T: Send + Sync + 'static> for Arc<[T]> { attach serial: u64; }
}

#[derive(Shadow, Default)]
#[shadow_field(attach serial: u64)]
#[shadow_field(get_or_update whole: Whole)]
#[shadow_field(get_or_attach counter: AtomicU64)]
struct Task {
    shadow: ShadowFields,
}

#[derive(Shadow)]
#[shadow_field(attach item: T)]
#[shadow_field(get_or_update newest: T)]
struct Holder<T: Clone + Send + Sync + 'static> {
    _item: Option<T>,
    shadow: ShadowFields,
}

#[test]
fn an_arc_at_a_reused_address_has_no_field_of_the_one_before_when_it_is_swept() {
    let _alone = alone();
    let (mut seen, mut reused) = (HashSet::new(), 0);
    for number in 0..fewer(2000, 25) {
        let host = Arc::new([0_u8; 48]);
        reused += usize::from(!seen.insert(Arc::as_ptr(&host)));
        assert_eq!(host.serial(), None, "the field of a dead host");
        assert!(host.whole().is_none() && host.peek_counter().is_none(), "the field of a dead host");
        host.attach_serial(number).unwrap();
        host.update_whole(Whole::of(number));
        assert_eq!(host.serial(), Some(&number));
        drop(host);
        registry().sweep();
    }
    // Miri reuses addresses at random.
    assert!(cfg!(miri) || reused > 100, "addresses are reused, or this test says nothing: {reused}");
}

#[test]
fn an_arc_has_no_field_of_a_dead_one_however_the_dead_are_swept() {
    let _alone = alone();
    let mut seen = HashSet::new();
    let mut reused = 0;
    for number in 0..fewer(5000, 40) {
        let host = Arc::new([0_u8; 48]);
        reused += usize::from(!seen.insert(Arc::as_ptr(&host)));
        assert!(host.serial().is_none() && host.peek_counter().is_none(), "the field of a dead host");
        host.attach_serial(number).unwrap();
        assert_eq!(host.counter().fetch_add(1, Ordering::Relaxed), 0, "the field of a dead host");
    }
    // Miri reuses addresses at random.
    assert!(cfg!(miri) || reused > 100, "addresses are reused, or this test says nothing: {reused}");
}

#[test]
fn arcs_that_come_and_go_in_many_threads_have_their_own_fields() {
    let _alone = alone();
    let work = |thread: u64| {
        for round in 0..fewer(1000, 5) {
            let number = thread * 1_000_000 + round;
            let host = Arc::new([0_u8; 48]);
            assert_eq!(host.serial(), None, "the field of a dead host");
            let other = Arc::clone(&host);
            host.attach_serial(number).unwrap();
            drop(host);
            assert_eq!(other.serial(), Some(&number), "the field of another host");
        }
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || work(thread));
        }
    });
}

#[test]
fn hosts_of_all_kinds_at_one_address_have_their_own_fields() {
    const SERIAL: raw::Id<u64> = raw::Id::new(500);
    #[repr(C)]
    #[derive(Shadow)]
    #[shadow_field(attach serial: u64)]
    struct First {
        object: Object,
        shadow: ShadowFields,
    }
    shadow! { trait FirstFields for &'static First { attach of_static: u64; } }
    let _alone = alone();
    let first: &'static First = Box::leak(Box::new(First { object: [0; 48], shadow: ShadowFields::new() }));
    let object: &'static Object = &first.object;
    assert!(ptr::addr_eq(first, object), "otherwise this test says nothing");
    first.attach_serial(1).unwrap();
    assert_eq!((first.of_static(), StaticObject::serial(object)), (None, None));
    first.attach_of_static(2).unwrap();
    assert_eq!(StaticObject::serial(object), None);
    StaticObject::attach_serial(object, 3).unwrap();
    let key = ptr::from_ref(object).cast();
    // SAFETY: the object is never freed, and no reference to the value is kept.
    assert_eq!(unsafe { SERIAL.get(key) }.unwrap(), None);
    // SAFETY: the object is never freed, and no reference to the value is kept.
    unsafe { SERIAL.attach(key, 4) }.unwrap();
    // SAFETY: no reference to the value is kept.
    let of_raw = unsafe { SERIAL.detach(key) }.unwrap();
    let found = (first.serial(), first.of_static(), StaticObject::serial(object), of_raw);
    assert_eq!(found, (Some(&1), Some(&2), Some(&3), Some(4)));
}

#[test]
fn an_arc_and_a_raw_object_at_its_address_have_their_own_fields() {
    const SERIAL: raw::Id<u64> = raw::Id::new(501);
    let _alone = alone();
    let host = Arc::new([0_u8; 48]);
    let key = Arc::as_ptr(&host).cast();
    host.attach_serial(1).unwrap();
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    assert_eq!(unsafe { SERIAL.get(key) }.unwrap(), None);
    // SAFETY: the object outlives the field, and no reference to the value is kept.
    unsafe { SERIAL.attach(key, 2) }.unwrap();
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { raw::detach_object(key) }, 1);
    assert_eq!(host.serial(), Some(&1));
}

#[test]
fn fields_of_one_declaration_and_different_types_are_never_taken_for_one_another() {
    let _alone = alone();
    let mut words = Holder { _item: None, shadow: ShadowFields::new() };
    let mut reals = Holder { _item: None, shadow: ShadowFields::new() };
    words.attach_item(u32::MAX).unwrap();
    words.update_newest(u32::MAX);
    reals.attach_item(1.5_f32).unwrap();
    // Safe code may swap the fields, and the swap must not turn a word into a real number.
    mem::swap(&mut words.shadow, &mut reals.shadow);
    assert_eq!((words.item(), reals.item(), words.newest(), reals.newest()), (None, None, None, None));
    reals.update_newest(2.5);
    assert_eq!((reals.newest(), words.newest()), (Some(2.5), None));
    mem::swap(&mut words.shadow, &mut reals.shadow);
    assert_eq!((words.item(), words.newest(), reals.item()), (Some(&u32::MAX), Some(u32::MAX), Some(&1.5)));
    assert_eq!((words.detach_item(), words.detach_newest()), (Some(u32::MAX), Some(u32::MAX)));
}

#[test]
fn fields_of_one_name_and_type_on_different_hosts_are_never_taken_for_one_another() {
    let _alone = alone();
    let (one, other) = (Task::default(), Task::default());
    let (owned, shared) = (Shadowed::new([0_u8; 48]), Arc::new([0_u8; 48]));
    shadow! { trait OwnedObject for Shadowed<Object> { attach serial: u64; } }
    one.attach_serial(1).unwrap();
    assert_eq!((other.serial(), owned.serial(), shared.serial()), (None, None, None));
    owned.attach_serial(2).unwrap();
    shared.attach_serial(3).unwrap();
    other.attach_serial(4).unwrap();
    assert_eq!((one.serial(), owned.serial()), (Some(&1), Some(&2)));
    assert_eq!((shared.serial(), other.serial()), (Some(&3), Some(&4)));
}

#[test]
fn slices_of_different_allocations_are_different_hosts_also_when_they_are_empty() {
    let _alone = alone();
    let one: Arc<[u8]> = Arc::from(Vec::new());
    let other: Arc<[u8]> = Arc::from(Vec::new());
    let words: Arc<[u64]> = Arc::from(Vec::new());
    one.attach_serial(1).unwrap();
    assert_eq!((other.serial(), words.serial()), (None, None));
    other.attach_serial(2).unwrap();
    words.attach_serial(3).unwrap();
    assert_eq!((one.serial(), other.serial(), words.serial()), (Some(&1), Some(&2), Some(&3)));
}

#[test]
fn a_detached_value_is_seen_by_nobody() {
    let _alone = alone();
    let mut task = Task::default();
    for number in 0..fewer(100, 10) {
        task.attach_serial(number).unwrap();
        task.update_whole(Whole::of(number));
        task.counter().store(number, Ordering::Relaxed);
        task.detach_serial();
        task.detach_whole();
        task.detach_counter();
        assert!(task.serial().is_none() && task.whole().is_none() && task.peek_counter().is_none());
    }
    assert_eq!(task.counter().load(Ordering::Relaxed), 0);
}

/// Writers replace whole values by whole values, and readers check the values, for many rounds.
fn nobody_sees_half_of_an_update(
    update: impl Fn(u64) -> Option<Whole> + Sync,
    update_with: impl Fn(&dyn Fn(Option<&Whole>) -> Whole) -> Option<Whole>,
    read: impl Fn() -> Option<Whole> + Sync,
) {
    const ROUNDS: u64 = fewer(1000, 3);
    let (start, counting) = (Barrier::new(4), AtomicBool::new(true));
    let (start, counting, update, read) = (&start, &counting, &update, &read);
    update(0);
    thread::scope(|scope| {
        let _end = AtEnd(|| counting.store(false, Ordering::Relaxed));
        scope.spawn(move || {
            start.wait();
            for number in (0..).take_while(|_| counting.load(Ordering::Relaxed)) {
                update(number).expect("it was there, and nobody takes it away").check();
                thread::yield_now();
            }
        });
        for _ in 0..2 {
            scope.spawn(move || {
                start.wait();
                while counting.load(Ordering::Relaxed) {
                    read().expect("it was there, and nobody takes it away").check();
                }
            });
        }
        start.wait();
        for _ in 0..ROUNDS {
            let previous = update_with(&|before| {
                let before = before.unwrap();
                before.check();
                Whole::of(before.number + 1)
            });
            previous.unwrap().check();
        }
    });
}

#[test]
fn nobody_sees_half_of_an_update_of_an_embedded_field() {
    let _alone = alone();
    let task = Task::default();
    nobody_sees_half_of_an_update(
        |number| task.update_whole(Whole::of(number)),
        |next| task.update_whole_with(next),
        || task.whole(),
    );
}

#[test]
fn nobody_sees_half_of_an_update_of_an_arc() {
    let _alone = alone();
    let host = Arc::new([0_u8; 48]);
    nobody_sees_half_of_an_update(
        |number| host.update_whole(Whole::of(number)),
        |next| host.update_whole_with(next),
        || host.whole(),
    );
}

#[test]
fn nobody_sees_half_of_an_update_of_a_raw_field() {
    const WHOLE: raw::UpdateId<Whole> = raw::UpdateId::new(502);
    let _alone = alone();
    let object = Box::new(0_u8);
    let address = ptr::from_ref(&*object).addr();
    let key = || ptr::without_provenance(address);
    let update = |whole| {
        // SAFETY: the object outlives the field.
        unsafe { WHOLE.get_or_update(key(), whole) }.unwrap()
    };
    // SAFETY: the fields at this address are fields of the object.
    let read = || unsafe { WHOLE.get(key()) }.unwrap();
    nobody_sees_half_of_an_update(|number| update(Whole::of(number)), |_| update(Whole::of(7)), read);
    // SAFETY: no thread holds a reference to a value.
    assert_eq!(unsafe { raw::detach_object(key()) }, 1);
}

#[test]
fn a_reader_that_finds_a_value_finds_all_of_it() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach attached: Whole)]
    #[shadow_field(get_or_attach made: Whole = Whole::of(7))]
    struct Host {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let find = |round| {
        let (host, start) = (Host::default(), Barrier::new(3));
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                assert!(host.attach_attached(Whole::of(round)).is_ok());
            });
            scope.spawn(|| {
                start.wait();
                host.made().check();
            });
            start.wait();
            loop {
                if let Some(whole) = host.attached() {
                    whole.check();
                    assert_eq!(whole.number, round);
                    break;
                }
                if let Some(whole) = host.peek_made() {
                    whole.check();
                }
            }
        });
    };
    never_hangs(|| (0..fewer(500, 4)).for_each(find));
}
