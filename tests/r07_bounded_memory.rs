//! Rule R7: live data bounds the memory. Endless attaches, detaches, updates and reuse of addresses do not grow the
//! memory.
//!
//! The tests count the library's bytes by thread, and run sequentially: a test must not free another test's memory.

use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{ptr, thread};

use shadow_runtime::{Shadow, ShadowFields, Shadowed, raw, registry, shadow};

mod common;

use common::memory::{Counting, bytes, peak_of};
use common::{fewer, forever, panic_of};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Large = [u64; 128];

/// How many hosts stay where others come and go.
const LIVING: usize = fewer(10_000, 60);

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

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    registry().sweep();
    guard
}

/// Runs `work` a few times for whatever is set up once, then so often that any growth per round would show, and returns
/// by how many bytes more is kept then, and by how many more was held in between.
fn growth(rounds: usize, mut work: impl FnMut()) -> (isize, isize) {
    for _ in 0..fewer(100, 5) {
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
    let (kept, held) = growth(fewer(5000, 10), || {
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
    let (kept, held) = growth(fewer(5000, 10), || {
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
    let (kept, held) = growth(fewer(5000, 10), || {
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
    let (kept, held) = growth(fewer(5000, 10), || {
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
    // The default hook keeps nothing either, but prints, and that is slow.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let (kept, _) = growth(fewer(500, 20), || {
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
    // One is alive at a time. Each shard of the table may hold a few dead ones before it has its turn.
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
    // As above, and the value of the one that is alive.
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
    // What is dead adds about an eighth before all is swept, and some while that goes on.
    let dead = usize::try_from(held).unwrap() / size_of::<Large>();
    assert!(dead < LIVING / 3, "{dead} dead hosts");
    drop(living);
    registry().sweep();
}

/// Attaches to as many hosts, each in a thread of its own, and returns how many of them are there in the end, when all
/// are gone; calls `between` after each. No address is used twice, as where other objects are given those that are
/// free.
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

/// What one thread leaves in the table the next has to find, though none sweeps more than one shard.
#[test]
fn arcs_that_come_and_go_with_their_threads_keep_no_more_than_a_few_dead() {
    let _alone = alone();
    let dead = dead_of_short_threads(fewer(2000, 20), || ());
    assert!(dead < 500, "{dead} dead hosts");
    registry().sweep();
}

/// Here the table has to be seen to grow, by threads of which none lives to count it.
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

/// The sweep of an attach in an initialiser that panics is put off for ever, with its thread. So many do that, and at
/// such times, that if they were taken for some of those that find out whether the table has grown, nobody did.
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
    // Once they have one half of the turns, once the other.
    for _ in 0..2 {
        let dead = dead_of_short_threads(fewer(6000, 15), put_off);
        assert!(dead < LIVING / 3, "{dead} dead hosts");
        registry().sweep();
        put_off();
    }
    drop(living);
    registry().sweep();
}

/// After a sweep it is what is alive then that counts, not what was alive before.
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
    drop(many(fewer(60_000, 90)));
    assert_eq!(registry().sweep(), fewer(60_000, 90));
    let living = many(LIVING);
    let token = Arc::new(());
    for _ in 0..fewer(2000, 5) {
        // So many at a time that none is found as one to which this thread has just attached.
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

/// The least that is kept for one of these hosts, which is without what the table grows by now and then.
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

/// What is kept once many hosts were there, and are gone and swept.
///
/// They are of a size that their fields are not, whatever the allocator takes for one size: what is swept is freed one
/// part of the table after the other, and if the next hosts had that memory only for their fields to have the rest,
/// most of them would be in some parts.
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
    // Of so many, each part of the table has a number that is far from those at which it grows: hosts at other
    // addresses do not have one part grow once more.
    const HOSTS: u64 = fewer(40_000, 40);
    let _alone = alone();
    kept_after(fewer(1000, 20));
    let kept = kept_after(HOSTS);
    // What the header of the table says that it keeps at most for each host that was there.
    assert!(kept < isize::try_from(HOSTS).unwrap() * 4 * 17, "{kept}");
    // Nothing more is kept the second time, and the third.
    kept_after(HOSTS);
    let kept = kept_after(HOSTS);
    assert!(kept < 32 * 1024, "{kept}");
}

/// What is kept once many objects had a raw field, and have none any more.
fn kept_after_raw(objects: usize) -> isize {
    let before = bytes();
    for number in 0..objects {
        let key = ptr::without_provenance(8 * number);
        // SAFETY: there is no object behind these addresses, and no reference to a value is kept.
        unsafe { OTHER.attach(key, 1) }.unwrap();
    }
    // SAFETY: as above.
    assert_eq!(unsafe { OTHER.detach_all(|_, _| ()) }.unwrap(), objects);
    bytes() - before
}

#[test]
fn a_raw_table_that_was_large_once_keeps_only_its_slots_and_uses_them_again() {
    const OBJECTS: usize = fewer(50_000, 60);
    let _alone = alone();
    kept_after_raw(fewer(1000, 60));
    let kept = kept_after_raw(OBJECTS);
    // What the header of the table says that it keeps at most for each object that was there.
    assert!(kept < isize::try_from(OBJECTS).unwrap() * 4 * 17, "{kept}");
    // Nothing more is kept the second time, and the third.
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
    // So many at a time, each at an address where none was before, of one kind of id and of the other.
    let (kept, held) = growth(fewer(200, 3), || {
        while last - first < OBJECTS {
            last += 1;
            let key = object(last);
            // SAFETY: there is no object behind this address, and no reference to a value is kept.
            assert!(unsafe { OTHER.attach(key, 1) }.is_ok());
            // SAFETY: as above.
            assert!(unsafe { NEWEST.get_or_update(key, [1; 128]) }.is_ok());
        }
        while first < last - OBJECTS / 2 {
            first += 1;
            // SAFETY: as above.
            assert_eq!(unsafe { raw::detach_object(object(first)) }, 2);
        }
    });
    assert!(kept < 16 * 1024, "{kept}");
    assert!(held < isize::try_from(OBJECTS / 2).unwrap() * 1280 + 64 * 1024, "{held}");
    while first < last {
        first += 1;
        // SAFETY: as above.
        assert_eq!(unsafe { raw::detach_object(object(first)) }, 2);
    }
}

#[test]
fn raw_objects_that_come_and_go_keep_nothing() {
    let _alone = alone();
    let mut number = 0;
    let (kept, held) = growth(fewer(20_000, 15), || {
        // Another address each time, and sometimes one that was there before.
        number = (number + 7) % 5000;
        let key = ptr::without_provenance(16 * number);
        // SAFETY: there is no object behind this address, and no reference to a value is kept.
        assert!(unsafe { ONCE.attach(key, large()) }.is_ok());
        // SAFETY: as above.
        assert!(unsafe { NEWEST.get_or_update(key, [1; 128]) }.is_ok());
        // SAFETY: as above.
        assert!(unsafe { NEWEST.get_or_update(key, [2; 128]) }.is_ok());
        // SAFETY: as above.
        assert!(unsafe { ONCE.detach(key) }.unwrap().is_some());
        // SAFETY: as above.
        assert_eq!(unsafe { raw::detach_object(key) }, 1);
    });
    // Each of 64 shards keeps room for a few objects, once it had one.
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
        // SAFETY: there is no object behind this address, and nothing is attached.
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
    // SAFETY: there is no object behind this address, and no reference to a value is kept.
    unsafe { taken.attach(ptr::null(), 1) }.unwrap();
    let (kept, held) = growth(fewer(5000, 10), || {
        // SAFETY: as above.
        assert!(unsafe { other.attach(ptr::null(), large()) }.is_err());
        // SAFETY: as above.
        assert!(unsafe { other.get_or_attach(ptr::null(), || Ok::<_, ()>(large())) }.is_err());
    });
    assert_eq!(kept, 0);
    assert!(held < 8 * 1024, "{held}");
    // SAFETY: as above.
    assert_eq!(unsafe { taken.detach(ptr::null()) }.unwrap(), Some(1));
}

#[test]
fn reports_keep_nothing() {
    let _alone = alone();
    let task = Task::default();
    task.update_newest([1; 128]);
    let (kept, _) = growth(fewer(100, 5), || assert!(!registry().report().to_string().is_empty()));
    assert_eq!(kept, 0);
}

#[test]
fn threads_that_come_and_go_keep_nothing() {
    /// Has something dropped at the end of a thread, so that std has set up its list of such things already.
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
