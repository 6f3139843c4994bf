//! Rule R6: a host without an attached field costs 8 bytes if the fields are embedded, and no memory in the side table.
//!
//! Allocations are counted by thread, so concurrent tests do not disturb the counts.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hash;
use std::hint::black_box;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::alone;
use support::memory::{allocations, bytes, frees};

#[derive(Shadow, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[shadow_field(attach once: u32)]
#[shadow_field(get_or_attach made: AtomicU32)]
#[shadow_field(get_or_update newest: u32)]
struct Task {
    pid: u32,
    shadow: ShadowFields,
}

shadow! {
    trait Later for Task { attach later: u32; get_or_attach much_later: [u64; 32]; }
    trait CarriedFields for Task { #[shadow(clone)] attach carried: u32; attach noted: u32; }
    trait OwnedFields for Shadowed<u64> { attach once: u32; get_or_attach made: AtomicU32; get_or_update newest: u32; }
    trait SharedFields for Arc<u64> { attach once: u32; get_or_attach made: AtomicU32; get_or_update newest: u32; }
    trait StaticFields for &'static AtomicU8 { attach once: u32; get_or_attach made: AtomicU32; get_or_update newest: u32; }
}

const ONCE: raw::Id<u32> = raw::Id::new(800);
const NEWEST: raw::UpdateId<u32> = raw::UpdateId::new(801);
const REFUSED: raw::UpdateId<u32> = raw::UpdateId::new(802);

/// The first field of a declaration takes a shorter way.
#[derive(Shadow, Default)]
#[shadow_field(get_or_update newest: u32)]
struct First {
    shadow: ShadowFields,
}

/// A host with eight declarations.
#[derive(Shadow, Default)]
#[shadow_field(attach f1: u64)]
struct Many {
    shadow: ShadowFields,
}

shadow! {
    impl Many { attach f2: u64; }
    impl Many { attach f3: u64; }
    impl Many { attach f4: u64; }
    impl Many { attach f5: u64; }
    impl Many { attach f6: u64; }
    impl Many { attach f7: u64; }
    impl Many { attach f8: u64; }
}

/// Runs `work`, and returns the numbers of allocations and deallocations.
fn counts<R>(work: impl FnOnce() -> R) -> ([usize; 2], R) {
    let before = [allocations(), frees()];
    let result = work();
    ([allocations() - before[0], frees() - before[1]], result)
}

#[test]
fn the_counting_counts() {
    let _alone = alone();
    let ([allocated, freed], ()) = counts(|| drop(black_box(Box::new(1))));
    assert_eq!([allocated, freed], [1, 1]);
}

#[test]
fn shadow_fields_are_eight_bytes() {
    let _alone = alone();
    assert_eq!(size_of::<ShadowFields>(), 8);
    assert_eq!(size_of::<Task>(), 16);
    assert_eq!(size_of::<Shadowed<u64>>(), 16);
    assert_eq!(size_of::<Shadowed<[u64; 5]>>(), 48);
    assert_eq!(align_of::<ShadowFields>(), align_of::<usize>());
}

#[test]
fn an_embedded_host_without_fields_allocates_nothing_in_its_life() {
    let _alone = alone();
    let (counted, ()) = counts(|| {
        let mut task = Task { pid: 1, shadow: ShadowFields::new() };
        assert!(task.once().is_none() && task.peek_made().is_none() && task.newest().is_none());
        assert!(task.later().is_none() && task.peek_much_later().is_none());
        assert!(task.once_mut().is_none() && task.newest_mut().is_none());
        assert!(task.detach_once().is_none() && task.detach_made().is_none() && task.detach_newest().is_none());
        let copy = task.clone();
        assert!(copy == task && copy <= task);
        copy.hash(&mut DefaultHasher::new());
        let moved = task;
        assert!(moved.once().is_none());
    });
    assert_eq!(counted, [0, 0]);
}

#[test]
fn a_clone_of_a_host_allocates_for_values_to_carry_and_for_nothing_else() {
    let _alone = alone();
    let task = Task::default();
    task.attach_once(1).unwrap();
    task.attach_later(1).unwrap();
    let (counted, clone) = counts(|| task.clone());
    assert_eq!((counted, clone.once()), ([0, 0], None), "no field is carried");
    assert!(task.attach_noted(1).is_ok());
    let (counted, clone) = counts(|| task.clone());
    assert_eq!((counted, clone.carried()), ([0, 0], None), "the carried field has no value");
    task.attach_carried(2).unwrap();
    let (counted, clone) = counts(|| task.clone());
    assert_eq!((counted, clone.carried(), clone.noted()), ([1, 0], Some(&2), None));
}

#[test]
fn a_copied_value_has_a_second_place_only_once_it_is_replaced() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach other: u8)]
    #[shadow_field(get_or_update(copy) position: [u64; 3])]
    struct Ship {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let ship = Ship::default();
    ship.attach_other(1).unwrap();
    // The first update on a thread may allocate memory for the thread.
    Ship::default().update_position([0; 3]);
    let (counted, _) = counts(|| ship.update_position([1; 3]));
    assert_eq!(counted, [0, 0]);
    let ([allocated, _], previous) = counts(|| ship.update_position([2; 3]));
    assert_eq!((allocated, previous), (1, Some([1; 3])));
    let (counted, previous) = counts(|| ship.update_position([3; 3]));
    assert_eq!((counted, previous), ([0, 0], Some([2; 3])));
}

#[test]
fn a_wrapper_without_fields_allocates_nothing_in_its_life() {
    let _alone = alone();
    let (counted, ()) = counts(|| {
        let mut host = Shadowed::new(1_u64);
        assert!(host.once().is_none() && host.peek_made().is_none() && host.newest().is_none());
        assert!(host.detach_once().is_none() && host.detach_made().is_none() && host.detach_newest().is_none());
        *host += 1;
        assert_eq!(Shadowed::into_inner(host.clone()), 2);
    });
    assert_eq!(counted, [0, 0]);
}

#[test]
fn looking_at_an_arc_without_fields_allocates_nothing_and_enters_nothing() {
    let _alone = alone();
    let host = Arc::new(1_u64);
    let (counted, ()) = counts(|| {
        assert!(host.once().is_none() && host.peek_made().is_none() && host.newest().is_none());
    });
    assert_eq!(counted, [0, 0]);
    assert_eq!(Arc::weak_count(&host), 0, "there is no entry that knows it");
    let mut host = host;
    assert!(Arc::get_mut(&mut host).is_some());
    let (counted, ()) = counts(|| drop(host));
    assert_eq!(counted, [0, 1]);
}

#[test]
fn looking_at_a_static_without_fields_allocates_nothing() {
    static HOST: AtomicU8 = AtomicU8::new(0);
    let _alone = alone();
    let host = &HOST;
    let (counted, ()) = counts(|| {
        assert!(host.once().is_none() && host.peek_made().is_none() && host.newest().is_none());
    });
    assert_eq!(counted, [0, 0]);
}

#[test]
fn looking_at_a_raw_object_without_fields_allocates_nothing() {
    let _alone = alone();
    let object = 0_u64;
    let key = ptr::from_ref(&object).cast();
    // SAFETY: the object is alive, and no field is attached.
    let (counted, found) = counts(|| unsafe { ONCE.get(key) }.unwrap());
    assert_eq!((counted, found), ([0, 0], None));
    // SAFETY: the object is alive, and no field is attached.
    let (counted, found) = counts(|| unsafe { NEWEST.get(key) }.unwrap());
    assert_eq!((counted, found), ([0, 0], None));
    // SAFETY: no field is attached, so no reference to a value exists.
    let (counted, found) = counts(|| unsafe { ONCE.detach(key) }.unwrap());
    assert_eq!((counted, found), ([0, 0], None));
    // SAFETY: no field is attached, so no reference to a value exists.
    let (counted, found) = counts(|| unsafe { raw::detach_object(key) });
    assert_eq!((counted, found), ([0, 0], 0));
}

#[test]
fn a_host_whose_initialisers_and_closures_fail_pays_nothing() {
    static HOST: AtomicU8 = AtomicU8::new(0);
    let _alone = alone();
    let (task, owned, shared, fixed) = (Task::default(), Shadowed::new(1_u64), Arc::new(1_u64), &HOST);
    let (first, object) = (First::default(), 0_u8);
    let key = ptr::from_ref(&object).cast();
    let fail = || {
        assert_eq!(task.get_or_try_attach_made(|| Err(1)).unwrap_err(), 1);
        assert_eq!(owned.get_or_try_attach_made(|| Err(2)).unwrap_err(), 2);
        assert_eq!(shared.get_or_try_attach_made(|| Err(3)).unwrap_err(), 3);
        assert_eq!(fixed.get_or_try_attach_made(|| Err(4)).unwrap_err(), 4);
        assert_eq!(task.try_update_newest_with(|_| Err(5)).unwrap_err(), 5);
        assert_eq!(owned.try_update_newest_with(|_| Err(6)).unwrap_err(), 6);
        assert_eq!(shared.try_update_newest_with(|_| Err(7)).unwrap_err(), 7);
        assert_eq!(fixed.try_update_newest_with(|_| Err(8)).unwrap_err(), 8);
        assert_eq!(first.try_update_newest_with(|_| Err(9)).unwrap_err(), 9);
        // SAFETY: no field is attached.
        let refused = unsafe { REFUSED.try_update_with(key, |_| Err(10)) };
        assert!(matches!(refused, Err(raw::InitError::Init(10))));
    };
    // The first initialiser of the process may allocate memory that the process keeps.
    fail();
    let (counted, ()) = counts(fail);
    assert_eq!(counted, [0, 0]);
    assert_eq!(Arc::weak_count(&shared), 0, "there is no entry that knows it");
}

#[test]
fn the_fields_of_one_declaration_are_one_allocation() {
    let _alone = alone();
    // The first attach of a field enters the field into the registry.
    let warm_up = Task::default();
    warm_up.attach_once(1).unwrap();
    warm_up.made();
    warm_up.attach_later(1).unwrap();
    warm_up.much_later();
    // The first end of a `get_or_update` cell on a thread may allocate memory for the thread.
    drop(warm_up);
    let task = Task::default();
    assert_eq!(counts(|| *task.attach_once(1).unwrap()), ([1, 0], 1));
    assert_eq!(counts(|| task.made().load(Ordering::Relaxed)), ([0, 0], 0));
    // A host with fields of several declarations also has a table of nodes.
    assert_eq!(counts(|| *task.attach_later(2).unwrap()), ([2, 0], 2));
    assert_eq!(counts(|| task.much_later()[31]), ([0, 0], 0));
    assert_eq!(counts(|| drop(task)), ([0, 3], ()));
}

/// Replaced tables of nodes stay until the host's end, and are bounded by the number of declarations.
#[test]
fn the_tables_of_a_host_with_eight_declarations_are_small() {
    let _alone = alone();
    let attach: [fn(&Many) -> bool; 8] = [
        |host| host.attach_f1(1).is_ok(),
        |host| host.attach_f2(2).is_ok(),
        |host| host.attach_f3(3).is_ok(),
        |host| host.attach_f4(4).is_ok(),
        |host| host.attach_f5(5).is_ok(),
        |host| host.attach_f6(6).is_ok(),
        |host| host.attach_f7(7).is_ok(),
        |host| host.attach_f8(8).is_ok(),
    ];
    let grown = |attach: &[fn(&Many) -> bool]| {
        let host = Many::default();
        let before = bytes();
        assert!(attach.iter().all(|attach| attach(&host)));
        (bytes() - before, host)
    };
    // The first attaches enter the fields into the registry.
    drop(grown(&attach));
    let (one, all) = (grown(&attach[..1]), grown(&attach));
    let tables = all.0 - 8 * one.0;
    assert!((100..=8 * 80).contains(&tables), "{tables} bytes");
    let before = bytes();
    drop((one.1, all.1));
    assert_eq!(before - bytes(), one.0 + all.0);
}

#[test]
fn reading_what_is_attached_allocates_nothing() {
    static HOST: AtomicU8 = AtomicU8::new(0);
    let _alone = alone();
    let (mut task, owned, shared, fixed) = (Task::default(), Shadowed::new(1_u64), Arc::new(1_u64), &HOST);
    task.attach_once(1).unwrap();
    task.made();
    task.update_newest(1);
    owned.attach_once(1).unwrap();
    owned.update_newest(1);
    shared.attach_once(1).unwrap();
    shared.made();
    shared.update_newest(1);
    fixed.attach_once(1).unwrap();
    fixed.made();
    fixed.update_newest(1);
    // The first read on a thread may allocate memory for the thread.
    let _ = task.newest();
    let (counted, ()) = counts(|| {
        assert_eq!((task.once(), task.newest(), task.made().load(Ordering::Relaxed)), (Some(&1), Some(1), 0));
        assert_eq!((owned.once(), owned.newest()), (Some(&1), Some(1)));
        assert_eq!((shared.once(), shared.newest(), shared.made().load(Ordering::Relaxed)), (Some(&1), Some(1), 0));
        assert_eq!((fixed.once(), fixed.newest(), fixed.made().load(Ordering::Relaxed)), (Some(&1), Some(1), 0));
        assert!(task.peek_made().is_some() && shared.peek_made().is_some());
        assert!(task.once_mut().is_some() && task.newest_mut().is_some());
        assert_eq!(task.made_mut().get_mut(), &0);
    });
    assert_eq!(counted, [0, 0]);
    drop(shared);
    registry().sweep();
}
