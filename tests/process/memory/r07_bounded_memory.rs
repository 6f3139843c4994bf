//! Rule R7: live data bounds the memory. Endless attaches, detaches, updates and reuse of addresses do not grow the
//! memory.
//!
//! The tests count the library's bytes by thread, and run sequentially: a test must not free another test's memory.

use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::{ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::memory::{bytes, peak_of};
use support::{alone, fewer, forever, panic_of};

type Large = [u64; 128];

/// The number of live hosts, in tests where further hosts come and go.
const LIVING: usize = fewer(10_000, 42);

#[derive(Shadow, Default)]
#[shadow_field(attach once: Box<Large>)]
#[shadow_field(get_or_attach made: Box<Large> = large())]
#[shadow_field(get_or_update newest: Large)]
#[shadow_field(get_or_update(copy) copied: Large)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait OwnedFields for Shadowed<u64> { attach once: Box<Large>; get_or_update newest: Large; }
    trait SharedFields for Arc<u64> {
        attach once: Box<Large>;
        get_or_attach made: Box<Large> = large();
        get_or_update newest: Large;
    }
    trait SmallFields for Arc<u64> { get_or_attach small: AtomicU64; }
    trait CrowdFields for Arc<[u64; 7]> { get_or_attach small: AtomicU64; }
    trait AnyFields<T: ?Sized + Send + Sync + 'static> for Arc<T> { attach first: u8; attach second: u8; }
    trait StaticFields for &'static u64 { get_or_attach made: Box<Large> = large(); get_or_update newest: Large; }
}

const ONCE: raw::Id<Box<Large>> = raw::Id::new(900);
const NEWEST: raw::UpdateId<Large> = raw::UpdateId::new(901);
const OTHER: raw::Id<u8> = raw::Id::new(902);

fn large() -> Box<Large> {
    Box::new([7; 128])
}

/// Runs `work` a few times, until all one-time memory is allocated, and then `rounds` times. Returns the growth of the
/// allocated bytes over these rounds, and the peak, above the value before the rounds.
fn growth(rounds: usize, mut work: impl FnMut()) -> (isize, isize) {
    for _ in 0..fewer(100, 2) {
        work();
    }
    let before = bytes();
    let peak = peak_of(|| (0..rounds).for_each(|_| work()));
    (bytes() - before, peak)
}

#[test]
fn attaching_and_detaching_keeps_nothing() {
    let _alone = alone();
    let mut task = Task::default();
    let (kept, held) = growth(fewer(5000, 3), || {
        assert!(task.attach_once(large()).is_ok());
        task.made();
        task.update_newest([1; 128]);
        task.update_copied([1; 128]);
        task.update_copied([2; 128]);
        task.detach_once();
        task.detach_made();
        task.detach_newest();
        task.detach_copied();
    });
    assert_eq!(kept, 0);
    assert!(held < 12 * 1024, "{held}");
}

#[test]
fn hosts_that_come_and_go_keep_nothing() {
    let _alone = alone();
    let (kept, held) = growth(fewer(5000, 3), || {
        let (task, owned) = (Task::default(), Shadowed::new(1_u64));
        assert!(task.attach_once(large()).is_ok());
        task.made();
        task.update_newest([1; 128]);
        task.update_copied([1; 128]);
        task.update_copied([2; 128]);
        assert!(owned.attach_once(large()).is_ok());
        owned.update_newest([1; 128]);
    });
    assert_eq!(kept, 0);
    assert!(held < 12 * 1024, "{held}");
}

#[test]
fn updates_keep_nothing_but_the_newest() {
    let _alone = alone();
    let (task, shared, fixed) = (Task::default(), Arc::new(1_u64), forever(1_u64));
    let (kept, held) = growth(fewer(5000, 3), || {
        task.update_newest([1; 128]);
        task.update_newest_with(|before| before.copied().unwrap());
        SharedFields::update_newest(&shared, [1; 128]);
        assert!(SharedFields::newest(&shared).is_some());
        StaticFields::update_newest(fixed, [1; 128]);
        assert!(StaticFields::newest(fixed).is_some());
    });
    assert_eq!(kept, 0);
    assert!(held < 8 * 1024, "{held}");
    drop(shared);
    registry().sweep();
}

#[test]
fn refused_attaches_and_failed_initialisers_keep_nothing() {
    let _alone = alone();
    let (task, shared, fixed) = (Task::default(), Arc::new(1_u64), forever(1_u64));
    assert!(task.attach_once(large()).is_ok());
    let (kept, held) = growth(fewer(5000, 3), || {
        assert!(task.attach_once(large()).is_err());
        assert!(task.get_or_try_attach_made(|| Err(large())).is_err());
        assert!(SharedFields::get_or_try_attach_made(&shared, || Err(large())).is_err());
        assert!(StaticFields::get_or_try_attach_made(fixed, || Err(large())).is_err());
    });
    assert_eq!(kept, 0);
    assert!(held < 8 * 1024, "{held}");
    drop(shared);
    registry().sweep();
}

#[test]
fn panicking_initialisers_keep_nothing() {
    let _alone = alone();
    let (task, shared) = (Task::default(), Arc::new(1_u64));
    // The default hook keeps no memory either, but prints a message, and printing is slow.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (kept, _) = growth(fewer(500, 5), || {
        assert_eq!(panic_of(|| task.get_or_attach_made(|| panic!("no")).len()), "no");
        assert_eq!(panic_of(|| SharedFields::get_or_attach_made(&shared, || panic!("no")).len()), "no");
    });
    std::panic::set_hook(hook);
    assert_eq!(kept, 0);
    drop(shared);
    registry().sweep();
}

#[test]
fn arcs_that_come_and_go_keep_no_more_than_a_few_dead() {
    let _alone = alone();
    let (_, held) = growth(fewer(20_000, 15), || {
        assert!(Arc::new(1_u64).attach_once(large()).is_ok());
    });
    // One host is alive at a time. The bound is the size of the values of 512 dead hosts.
    assert!(held < 64 * 8 * 1024, "{held}");
    registry().sweep();
}

#[test]
fn arcs_that_come_and_go_inside_of_initialisers_keep_no_more_than_a_few_dead() {
    let _alone = alone();
    let (_, held) = growth(fewer(20_000, 15), || {
        let task = Task::default();
        task.get_or_attach_made(|| {
            assert!(Arc::new(1_u64).attach_once(large()).is_ok());
            large()
        });
    });
    // The bound for 512 dead hosts, and the fields of the live embedded host.
    assert!(held < 64 * 8 * 1024 + 8 * 1024, "{held}");
    registry().sweep();
}

#[test]
fn arcs_that_come_and_go_beside_living_ones_keep_no_more_than_a_part_of_these() {
    let _alone = alone();
    let living: Vec<Arc<u64>> = (0..).take(LIVING).map(Arc::new).collect();
    for host in &living {
        host.small();
    }
    let (_, held) = growth(fewer(30_000, 30), || {
        assert!(Arc::new(1_u64).attach_once(large()).is_ok());
    });
    // Looks at young hosts find the dead hosts (`host/arc/log/young.rs`). A third of the living is a generous bound.
    let dead = usize::try_from(held).unwrap() / size_of::<Large>();
    assert!(dead < LIVING / 3, "{dead} dead hosts");
    drop(living);
    registry().sweep();
}

/// Attaches to `threads` hosts, with a new thread for every host, and calls `between` after the end of the thread.
/// Returns the number of dead hosts that still have their fields. Every host has a new address, as in a program where
/// unrelated objects get the free addresses.
fn dead_of_short_threads(threads: usize, between: impl Fn()) -> usize {
    shadow! { trait TokenFields for Arc<u64> { attach token: Arc<()>; } }
    let (token, mut addresses) = (Arc::new(()), Vec::new());
    for _ in 0..threads {
        let host = Arc::new(1);
        addresses.push(Arc::downgrade(&host));
        let token = Arc::clone(&token);
        thread::spawn(move || assert!(host.attach_token(token).is_ok())).join().unwrap();
        between();
    }
    Arc::strong_count(&token) - 1
}

/// Every thread attaches once and ends, so later threads must find the dead hosts of earlier threads.
#[test]
fn arcs_that_come_and_go_with_their_threads_keep_no_more_than_a_few_dead() {
    let _alone = alone();
    let dead = dead_of_short_threads(fewer(2000, 20), || ());
    assert!(dead < 500, "{dead} dead hosts");
    registry().sweep();
}

/// No thread lives long enough for a pass over the live hosts.
#[test]
fn arcs_that_come_and_go_with_their_threads_keep_no_more_than_a_part_of_the_living() {
    let _alone = alone();
    let living: Vec<Arc<u64>> = (0..).take(LIVING).map(Arc::new).collect();
    for host in &living {
        host.small();
    }
    let dead = dead_of_short_threads(fewer(6000, 15), || ());
    assert!(dead < LIVING / 3, "{dead} dead hosts");
    drop(living);
    registry().sweep();
}

/// Every second attach is inside of an initialiser, which defers the sweep, and then panics. The log pays for looks at
/// every second attach, so all looks may fall on the deferring attaches. Looks that a deferring attach pays for must
/// not be lost.
#[test]
fn arcs_that_come_and_go_with_their_threads_are_swept_whatever_others_put_off() {
    let _alone = alone();
    let living: Vec<Arc<u64>> = (0..).take(LIVING).map(Arc::new).collect();
    for host in &living {
        host.small();
    }
    let put_off = || {
        let attach_and_panic = || {
            assert!(Arc::new(2).attach_once(large()).is_ok());
            resume_unwind(Box::new("on purpose"))
        };
        let thread = thread::spawn(move || Task::default().get_or_attach_made(attach_and_panic).len());
        assert!(thread.join().is_err());
    };
    // In one round the deferring attaches are the even attaches of the log, in the next round the odd attaches.
    for _ in 0..2 {
        let dead = dead_of_short_threads(fewer(6000, 15), put_off);
        assert!(dead < LIVING / 3, "{dead} dead hosts");
        registry().sweep();
        put_off();
    }
    drop(living);
    registry().sweep();
}

/// After a sweep, the bound depends on the hosts alive then, not on the peak before.
#[test]
fn arcs_that_come_and_go_after_many_were_swept_keep_no_more_than_a_part_of_the_living() {
    shadow! { trait TokenFields for Arc<u64> { attach token: Arc<()>; } }
    let _alone = alone();
    let many = |count| {
        let hosts: Vec<Arc<u64>> = (0..).take(count).map(Arc::new).collect();
        for host in &hosts {
            host.small();
        }
        hosts
    };
    drop(many(fewer(60_000, 64)));
    assert_eq!(registry().sweep(), fewer(60_000, 64));
    let living = many(LIVING);
    let token = Arc::new(());
    for _ in 0..fewer(2000, 4) {
        // With twenty hosts at a time, most hosts are still alive at their first look.
        let hosts = [(); 20].map(|()| Arc::new(1_u64));
        for host in &hosts {
            assert!(host.attach_token(Arc::clone(&token)).is_ok());
        }
    }
    let dead = Arc::strong_count(&token) - 1;
    assert!(dead < fewer(LIVING / 3, LIVING), "{dead} dead hosts");
    drop(living);
    registry().sweep();
}

#[test]
fn arcs_whose_initialisers_fail_keep_nothing_when_they_are_gone() {
    let _alone = alone();
    let (_, held) = growth(fewer(20_000, 15), || {
        assert!(SharedFields::get_or_try_attach_made(&Arc::new(1_u64), || Err(())).is_err());
    });
    assert!(held < 64 * 8 * 1024, "{held}");
    registry().sweep();
}

/// The least number of bytes that an attach to one of `hosts` keeps. The minimum excludes the growth of the table,
/// which few attaches cause.
fn least_kept<T: ?Sized>(hosts: &[Arc<T>], attach: impl Fn(&Arc<T>)) -> isize {
    let kept = hosts.iter().map(|host| {
        let before = bytes();
        attach(host);
        bytes() - before
    });
    kept.min().unwrap()
}

#[test]
fn a_host_whose_address_says_all_keeps_no_pointer_to_it() {
    const HALF: usize = fewer(100, 10);
    let _alone = alone();
    let sized: Vec<Arc<u32>> = (0..).take(2 * HALF).map(Arc::new).collect();
    let dynamic: Vec<Arc<dyn Any + Send + Sync>> = sized.iter().map(|host| Arc::new(**host) as _).collect();
    let pointer = isize::try_from(size_of::<&dyn Any>()).unwrap();
    let first = least_kept(&dynamic[..HALF], |host| assert!(host.attach_first(1).is_ok()))
        - least_kept(&sized[..HALF], |host| assert!(host.attach_first(1).is_ok()));
    assert_eq!(first, pointer);
    let second = least_kept(&dynamic[HALF..], |host| assert!(host.attach_second(1).is_ok()))
        - least_kept(&sized[HALF..], |host| assert!(host.attach_second(1).is_ok()));
    assert_eq!(second, pointer);
    drop((sized, dynamic));
    registry().sweep();
}

/// The bytes that stay allocated after `hosts` hosts had fields, died and were swept.
///
/// A host has another size class of the allocator than its fields. With one size class, the hosts of a later call would
/// get freed memory of fields, their addresses would be distributed differently over the shards, and a shard might
/// grow.
fn kept_after(hosts: u64) -> isize {
    let before = bytes();
    let crowd: Vec<_> = (0..hosts).map(|number| Arc::new([number; 7])).collect();
    for host in &crowd {
        CrowdFields::small(host);
    }
    drop(crowd);
    registry().sweep();
    bytes() - before
}

#[test]
fn a_table_that_was_large_once_keeps_only_its_slots_and_uses_them_again() {
    // With so many hosts, the number of entries of a shard is far from the numbers at which a shard grows. So hosts at
    // different addresses cause no further growth.
    const HOSTS: u64 = fewer(40_000, 40);
    let _alone = alone();
    kept_after(fewer(1000, 20));
    let kept = kept_after(HOSTS);
    // The bound of `side_table/mod.rs` is 5 × 17 bytes for each entry of the peak. This fill of the shards needs less.
    assert!(kept < isize::try_from(HOSTS).unwrap() * 4 * 17, "{kept}");
    // Later rounds use the arrays again, and keep no further memory.
    kept_after(HOSTS);
    let kept = kept_after(HOSTS);
    assert!(kept < 32 * 1024, "{kept}");
}

/// The bytes that stay allocated after `objects` objects had a raw field and lost the field.
fn kept_after_raw(objects: usize) -> isize {
    let before = bytes();
    for number in 0..objects {
        let key = ptr::without_provenance(8 * number);
        // SAFETY: no object exists at these addresses, and no reference to a value is kept.
        unsafe { OTHER.attach(key, 1) }.unwrap();
    }
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { OTHER.detach_all(|_, _| ()) }.unwrap(), objects);
    bytes() - before
}

#[test]
fn a_raw_table_that_was_large_once_keeps_only_its_slots_and_uses_them_again() {
    const OBJECTS: usize = fewer(50_000, 60);
    let _alone = alone();
    kept_after_raw(fewer(1000, 60));
    let kept = kept_after_raw(OBJECTS);
    // The bound of `side_table/mod.rs` is 5 × 17 bytes for each entry of the peak. This fill of the shards needs less.
    assert!(kept < isize::try_from(OBJECTS).unwrap() * 4 * 17, "{kept}");
    // Later rounds use the arrays again, and keep no further memory.
    kept_after_raw(OBJECTS);
    let kept = kept_after_raw(OBJECTS);
    assert!(kept < 1024, "{kept}");
}

#[test]
fn a_raw_table_grows_with_the_objects_of_one_time_and_not_with_all_that_ever_were() {
    const OBJECTS: usize = fewer(1000, 10);
    let _alone = alone();
    let (mut first, mut last) = (0, 0);
    let object = |number: usize| ptr::without_provenance((1 << 24) + 16 * number);
    // `OBJECTS` objects at a time, at fresh addresses, have a field of an `Id` and a field of an `UpdateId`.
    let (kept, held) = growth(fewer(200, 3), || {
        while last - first < OBJECTS {
            last += 1;
            let key = object(last);
            // SAFETY: no object exists at this address, and no reference to a value is kept.
            assert!(unsafe { OTHER.attach(key, 1) }.is_ok());
            // SAFETY: no object exists at this address, so no object ends before the field.
            assert!(unsafe { NEWEST.get_or_update(key, [1; 128]) }.is_ok());
        }
        while first < last - OBJECTS / 2 {
            first += 1;
            // SAFETY: no reference to a value is kept.
            assert_eq!(unsafe { raw::detach_object(object(first)) }, 2);
        }
    });
    assert!(kept < 16 * 1024, "{kept}");
    assert!(held < isize::try_from(OBJECTS / 2).unwrap() * 1280 + 64 * 1024, "{held}");
    while first < last {
        first += 1;
        // SAFETY: no reference to a value is kept.
        assert_eq!(unsafe { raw::detach_object(object(first)) }, 2);
    }
}

#[test]
fn raw_objects_that_come_and_go_keep_nothing() {
    let _alone = alone();
    let mut number = 0;
    let (kept, held) = growth(fewer(20_000, 15), || {
        // The address changes in every round, and returns after 5,000 rounds.
        number = (number + 7) % 5000;
        let key = ptr::without_provenance(16 * number);
        // SAFETY: no object exists at this address, and no reference to a value is kept.
        assert!(unsafe { ONCE.attach(key, large()) }.is_ok());
        // SAFETY: no object exists at this address, so no object ends before the field.
        assert!(unsafe { NEWEST.get_or_update(key, [1; 128]) }.is_ok());
        // SAFETY: no object exists at this address, so no object ends before the field.
        assert!(unsafe { NEWEST.get_or_update(key, [2; 128]) }.is_ok());
        // SAFETY: no reference to the value is kept.
        assert!(unsafe { ONCE.detach(key) }.unwrap().is_some());
        // SAFETY: no reference to a value is kept.
        assert_eq!(unsafe { raw::detach_object(key) }, 1);
    });
    // Each of the 8 shards of the two tables keeps a small array, once the shard has had an entry.
    assert!(kept < 64 * 256, "{kept}");
    assert!(held < 64 * 256 + 8 * 1024, "{held}");
}

#[test]
fn raw_initialisers_that_fail_keep_nothing() {
    let _alone = alone();
    let mut number = 0;
    let (kept, held) = growth(fewer(20_000, 15), || {
        number += 1;
        let key = ptr::without_provenance(16 * number);
        // SAFETY: no object exists at this address, and the initialiser fails, so no value is attached.
        assert!(unsafe { ONCE.get_or_attach(key, || Err(large())) }.is_err());
    });
    assert_eq!(kept, 0);
    assert!(held < 4 * 1024, "{held}");
}

#[test]
fn mismatches_keep_nothing() {
    let _alone = alone();
    let other = raw::Id::<Box<Large>>::new(903);
    let taken = raw::Id::<u8>::new(903);
    // SAFETY: no object exists at this address, and no reference to a value is kept.
    unsafe { taken.attach(ptr::null(), 1) }.unwrap();
    let (kept, held) = growth(fewer(5000, 3), || {
        // SAFETY: the mismatch returns no reference, and no object exists at this address.
        assert!(unsafe { other.attach(ptr::null(), large()) }.is_err());
        // SAFETY: the mismatch returns no reference, and no object exists at this address.
        assert!(unsafe { other.get_or_attach(ptr::null(), || Ok::<_, ()>(large())) }.is_err());
    });
    assert_eq!(kept, 0);
    assert!(held < 8 * 1024, "{held}");
    // SAFETY: no reference to the value is kept.
    assert_eq!(unsafe { taken.detach(ptr::null()) }.unwrap(), Some(1));
}

#[test]
fn reports_keep_nothing() {
    let _alone = alone();
    let task = Task::default();
    task.update_newest([1; 128]);
    let (kept, _) = growth(fewer(100, 1), || assert!(!registry().report().to_string().is_empty()));
    assert_eq!(kept, 0);
}

#[test]
fn threads_that_come_and_go_keep_nothing() {
    /// Registers a thread-local destructor, so that std has already allocated the thread's list of destructors.
    fn set_up() {
        thread_local! { static DROPPED: Cell<Vec<u8>> = const { Cell::new(Vec::new()) }; }
        DROPPED.with(|_| ());
    }
    fn kept_by_a_thread() -> isize {
        let thread = thread::spawn(|| {
            set_up();
            let before = bytes();
            assert!(Task::default().attach_once(large()).is_ok());
            bytes() - before
        });
        thread.join().unwrap()
    }
    let _alone = alone();
    kept_by_a_thread();
    let kept: isize = (0..fewer(1000, 20)).map(|_| kept_by_a_thread()).sum();
    assert_eq!(kept, 0);
}
