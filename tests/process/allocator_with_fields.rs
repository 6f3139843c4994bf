//! A global allocator with fields on hosts of every kind, which the allocator attaches, reads, updates and detaches
//! during allocations and frees. The library holds no lock while the allocator runs (R4), so the allocator never
//! deadlocks.
//!
//! The allocator uses fields in threads that have asked for it, until the end of the thread. A thread-local flag stops
//! the recursion: the library's allocations for the allocator's own fields come from the system. In a build with debug
//! assertions the library counts the locks that a thread holds. Every call of the allocator, also within its own
//! fields, asserts a count of 0.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::io::{self, Write};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::{panic, process, ptr, thread};

use shadow_runtime::raw::{self, Id, UpdateId};
use shadow_runtime::{Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{AtEnd, fewer, never_hangs, panic_of};

struct WithFields;

#[global_allocator]
static ALLOCATOR: WithFields = WithFields;

/// The number of allocator calls that have used fields.
static CALLS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether the allocator uses its fields on this thread; false while the allocator does.
    static USES_FIELDS: Cell<bool> = const { Cell::new(false) };
}

/// A host on the allocator's stack. The alignment spreads the hosts of an array over all slots of init locks.
#[derive(Default, Shadow)]
#[repr(align(16))]
#[shadow_field(attach serial: Box<usize>)]
#[shadow_field(get_or_attach count: AtomicU64)]
#[shadow_field(get_or_update last: Box<usize>)]
#[shadow_field(get_or_update(copy) size: [usize; 3])]
struct Local {
    shadow: ShadowFields,
}

// A second field set of the same host.
shadow! { impl Local { get_or_attach probe: AtomicU64; } }

shadow! {
    trait ShadowedFields for Shadowed<usize> {
        attach serial: Box<usize>;
        get_or_attach count: AtomicU64;
        get_or_update last: Box<usize>;
        get_or_update(copy) size: [usize; 3];
    }
    trait ArcFields for Arc<usize> {
        attach serial: Box<usize>;
        get_or_attach count: AtomicU64;
        get_or_update last: Box<usize>;
        get_or_update(copy) size: [usize; 3];
    }
    trait StaticFields for &'static Object {
        attach serial: Box<usize>;
        get_or_attach count: AtomicU64;
        get_or_update last: Box<usize>;
        get_or_update(copy) size: [usize; 3];
    }
}

/// A static host.
struct Object(#[expect(dead_code, reason = "an object has an address")] usize);

/// Hosts that all threads share: a host whose fields every thread uses, and 64 neighbours, which cover all slots of
/// init locks.
static SHARED: Local = Local { shadow: ShadowFields::new() };
static NEIGHBOURS: [Local; 64] = [const { Local { shadow: ShadowFields::new() } }; 64];

/// Static hosts of the allocator (`OBJECTS`), and of the tests (`MORE_OBJECTS`).
static OBJECTS: [Object; 8000] = [const { Object(0) }; 8000];
static MORE_OBJECTS: [Object; fewer(2000, 20)] = [const { Object(0) }; fewer(2000, 20)];

const WRITTEN_ONCE: Id<Box<usize>> = Id::new(1);
const REPLACED: UpdateId<Box<usize>> = UpdateId::new(2);

/// The number of raw objects, and of raw numbers, that the allocator leaves attached, so that tables grow.
const MOST_LEFT: usize = 2000;
const MOST_NUMBERS: usize = fewer(200, 5);

/// The address of a raw object. `raw` never dereferences an address. The allocator and the tests have separate
/// addresses.
fn address(number: usize, of_allocator: bool) -> *const () {
    ptr::without_provenance(32 * (number + 1) + if of_allocator { 16 } else { 0 })
}

/// Uses fields of hosts of every kind, during an allocation or free of `size` bytes.
fn use_fields(size: usize) {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    SHARED.count().fetch_add(1, Ordering::Relaxed);
    SHARED.update_last(Box::new(size));
    SHARED.update_size([size; 3]);
    assert!(SHARED.last().is_some());
    let [first, second, third] = SHARED.size().unwrap();
    assert!(first == second && second == third);

    let mut local = Local::default();
    local.attach_serial(Box::new(call)).unwrap();
    assert!(local.attach_serial(Box::new(0)).is_err());
    local.count().fetch_add(1, Ordering::Relaxed);
    local.probe();
    assert_eq!(local.update_last(Box::new(1)), None);
    assert_eq!(local.update_last_with(|last| Box::new(**last.unwrap() + 1)), Some(Box::new(1)));
    assert_eq!(local.update_size([size; 3]), None);
    assert_eq!((local.last(), local.size()), (Some(Box::new(2)), Some([size; 3])));
    assert_eq!(local.detach_serial(), Some(Box::new(call)));
    assert_eq!(local.detach_last(), Some(Box::new(2)));
    assert_eq!(local.detach_size(), Some([size; 3]));
    assert!(local.detach_count().is_some_and(|count| count.into_inner() == 1));

    // A lock in every slot: also in a contended slot, and in the slot of a request that this thread is about to
    // register. Under Miri, a call uses every eighth slot, and eight calls use all slots.
    for neighbour in NEIGHBOURS.iter().skip(fewer(0, call % 8)).step_by(fewer(1, 8)) {
        let _ = neighbour.get_or_try_attach_probe(|| Err(()));
    }

    let mut shadowed = Shadowed::new(size);
    shadowed.attach_serial(Box::new(call)).unwrap();
    shadowed.count().fetch_add(1, Ordering::Relaxed);
    assert_eq!(shadowed.update_last(Box::new(1)), None);
    assert_eq!(shadowed.update_size([size; 3]), None);
    assert_eq!((shadowed.last(), shadowed.size()), (Some(Box::new(1)), Some([size; 3])));
    assert_eq!(shadowed.detach_serial(), Some(Box::new(call)));

    // The `Arc` is dropped at the end of the function, so a later attach finds a dead host.
    let arc = Arc::new(size);
    arc.attach_serial(Box::new(call)).unwrap();
    arc.count().fetch_add(1, Ordering::Relaxed);
    assert_eq!(arc.update_last(Box::new(1)), None);
    assert_eq!(arc.update_size([size; 3]), None);
    assert_eq!((arc.serial(), arc.last(), arc.size()), (Some(&Box::new(call)), Some(Box::new(1)), Some([size; 3])));

    if let Some(object) = OBJECTS.get(call) {
        object.attach_serial(Box::new(call)).unwrap();
        object.count().fetch_add(1, Ordering::Relaxed);
        assert_eq!(object.update_last(Box::new(1)), None);
        assert_eq!(object.update_size([size; 3]), None);
    }
    let object = &OBJECTS[call % OBJECTS.len()];
    object.update_last(Box::new(2));
    object.update_size([2; 3]);
    assert!(object.last().is_some() && object.size().is_some());

    use_raw(address(call, true), call);
    if call % 500 == 0 {
        drop(registry().report());
        registry().sweep();
    }
}

// Why the raw calls below are sound: at most one thread uses an address at a time, except for `update`, and no function
// keeps a reference to a value. An object is an address alone, and so never ends.

fn attach(id: Id<Box<usize>>, object: *const (), value: usize) -> bool {
    // SAFETY: no second thread uses the address, and the reference ends here.
    unsafe { id.attach(object, Box::new(value)) }.is_ok()
}

fn initialise(id: Id<Box<usize>>, object: *const (), value: usize) -> usize {
    // SAFETY: no second thread uses the address, and the copy of the number ends the reference.
    **unsafe { id.get_or_attach(object, || Ok::<_, Infallible>(Box::new(value))) }.unwrap()
}

fn attach_with(id: Id<Box<usize>>, object: *const (), value: usize) -> bool {
    // SAFETY: no second thread uses the address, and the reference ends here.
    unsafe { id.attach_with(object, || Ok::<_, Infallible>(Box::new(value))) }.is_ok()
}

fn initialise_newest(id: UpdateId<Box<usize>>, object: *const (), value: usize) -> usize {
    // SAFETY: the object is an address alone, and never ends.
    *unsafe { id.get_or_attach(object, || Ok::<_, Infallible>(Box::new(value))) }.unwrap()
}

fn attach_newest_with(id: UpdateId<Box<usize>>, object: *const (), value: usize) -> bool {
    // SAFETY: the object is an address alone, and never ends.
    unsafe { id.attach_with(object, || Ok::<_, Infallible>(Box::new(value))) }.is_ok()
}

fn get(id: Id<Box<usize>>, object: *const ()) -> Option<usize> {
    // SAFETY: no second thread uses the address, and the copy of the number ends the reference.
    unsafe { id.get(object) }.unwrap().map(|value| **value)
}

fn detach(id: Id<Box<usize>>, object: *const ()) -> Option<usize> {
    // SAFETY: no function keeps a reference to a value, and no second thread uses the address.
    unsafe { id.detach(object) }.unwrap().map(|value| *value)
}

fn update(id: UpdateId<Box<usize>>, object: *const (), value: usize) -> Option<usize> {
    // SAFETY: the object is an address alone, and never ends.
    unsafe { id.get_or_update(object, Box::new(value)) }.unwrap().map(|value| *value)
}

fn newest(id: UpdateId<Box<usize>>, object: *const ()) -> Option<usize> {
    // SAFETY: the object is an address alone, and never ends.
    unsafe { id.get(object) }.unwrap().map(|value| *value)
}

fn detach_newest(id: UpdateId<Box<usize>>, object: *const ()) -> Option<usize> {
    // SAFETY: the object is an address alone, and never ends.
    unsafe { id.detach(object) }.unwrap().map(|value| *value)
}

fn detach_object(object: *const ()) -> usize {
    // SAFETY: no function keeps a reference to a value, and no second thread uses the address.
    unsafe { raw::detach_object(object) }
}

fn use_raw(object: *const (), call: usize) {
    assert!(attach(WRITTEN_ONCE, object, call));
    assert!(!attach(WRITTEN_ONCE, object, 0));
    assert_eq!(update(REPLACED, object, call), None);
    assert_eq!(update(REPLACED, object, 1), Some(call));
    assert_eq!((get(WRITTEN_ONCE, object), newest(REPLACED, object)), (Some(call), Some(1)));
    assert_eq!(detach(WRITTEN_ONCE, object), Some(call));
    assert_eq!(initialise(WRITTEN_ONCE, object, call), call);
    assert!(!attach_with(WRITTEN_ONCE, object, 0));
    assert_eq!(detach(WRITTEN_ONCE, object), Some(call));
    assert!(attach_with(WRITTEN_ONCE, object, call));
    assert!(call % 500 != 0 || WRITTEN_ONCE.objects().unwrap().filter(|other| *other == object).count() == 1);
    assert_eq!(initialise_newest(REPLACED, object, 0), 1);
    assert!(!attach_newest_with(REPLACED, object, 0));
    assert_eq!(detach_newest(REPLACED, object), Some(1));
    assert!(attach_newest_with(REPLACED, object, call));
    assert_eq!(detach_newest(REPLACED, object), Some(call));
    assert_eq!(initialise_newest(REPLACED, object, 1), 1);
    raw::describe(20_000 + (call % MOST_NUMBERS) as u64, raw::Description::new("described by the allocator"));
    if call < MOST_NUMBERS {
        assert!(attach(Id::new(10_000 + call as u64), object, call));
    }
    if call >= MOST_LEFT {
        assert_eq!(detach_object(object), 2);
    }
}

/// Whether a call of the allocator uses fields: every call; under Miri, the first call of a thread and every 200th.
fn is_due() -> bool {
    thread_local! { static CALLS: Cell<usize> = const { Cell::new(0) }; }
    cfg!(not(miri)) || CALLS.replace(CALLS.get() + 1) % 200 == 0
}

fn run(size: usize) {
    #[cfg(debug_assertions)]
    if shadow_runtime::__private::locks_held() != 0 {
        abort("the allocator runs under a lock of the library");
    }
    if !USES_FIELDS.get() || !is_due() {
        return;
    }
    USES_FIELDS.set(false);
    // An allocator must not unwind: `AtEnd` aborts on a panic of `use_fields`.
    let unwinding = AtEnd(|| abort("the allocator panics"));
    use_fields(size);
    std::mem::forget(unwinding);
    USES_FIELDS.set(true);
}

fn abort(why: &str) {
    let _ = writeln!(io::stderr(), "{why}");
    process::abort();
}

// SAFETY: each call is passed on to the system's allocator. `run` does not unwind: a panic of `use_fields` aborts.
unsafe impl GlobalAlloc for WithFields {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        run(layout.size());
        // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        run(layout.size());
        // SAFETY: `GlobalAlloc::alloc_zeroed` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        run(size);
        // SAFETY: the block comes from `System`. The caller passes the block's layout and a valid non-zero `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        run(layout.size());
        // SAFETY: the block comes from `System`, and the caller passes the block's layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Runs `test` on `threads` threads, with the number of the thread. The allocator uses fields on these threads.
fn with_fields(threads: usize, test: impl Fn(usize) + Send + Sync) {
    let before = CALLS.load(Ordering::SeqCst);
    never_hangs(|| {
        thread::scope(|scope| {
            for number in 0..threads {
                let test = &test;
                scope.spawn(move || {
                    USES_FIELDS.set(true);
                    test(number);
                });
            }
        });
    });
    assert!(CALLS.load(Ordering::SeqCst) > before, "the allocator has used its fields");
}

#[test]
fn an_allocator_has_fields_while_the_table_of_arcs_grows_and_is_swept() {
    with_fields(3, |_| {
        let mut hosts = Vec::new();
        for number in 0..fewer(600, 10) {
            let host = Arc::new(number);
            host.attach_serial(Box::new(number)).unwrap();
            host.count().fetch_add(1, Ordering::Relaxed);
            host.update_last(Box::new(number));
            hosts.push(host);
        }
        for (number, host) in hosts.iter().enumerate() {
            assert_eq!(host.serial(), Some(&Box::new(number)));
            assert_eq!(host.last(), Some(Box::new(number)));
        }
        drop(hosts);
        registry().sweep();
    });
}

#[test]
fn an_allocator_has_fields_while_the_table_of_statics_grows() {
    let next = AtomicUsize::new(0);
    with_fields(3, |_| {
        while let Some(object) = MORE_OBJECTS.get(next.fetch_add(1, Ordering::Relaxed)) {
            object.attach_serial(Box::new(1)).unwrap();
            object.count().fetch_add(1, Ordering::Relaxed);
            object.update_last(Box::new(1));
            assert_eq!((object.serial(), object.last()), (Some(&Box::new(1)), Some(Box::new(1))));
        }
    });
}

/// All threads insert the same objects, so most threads find, under the lock, an entry of a faster thread.
#[test]
fn an_allocator_has_fields_while_threads_race_to_enter_a_static() {
    static RACED: [Object; fewer(300, 5)] = [const { Object(0) }; fewer(300, 5)];
    let barrier = Barrier::new(3);
    with_fields(3, |_| {
        for object in &RACED {
            barrier.wait();
            object.count().fetch_add(1, Ordering::Relaxed);
        }
    });
    assert!(RACED.each_ref().iter().all(|object| object.count().load(Ordering::Relaxed) == 3));
}

#[test]
fn an_allocator_has_fields_while_the_tables_of_raw_fields_grow() {
    with_fields(3, |thread| {
        let objects = || (0..fewer(500, 8)).map(|number| address(500 * thread + number, false));
        for object in objects() {
            assert!(attach(WRITTEN_ONCE, object, 1));
            assert_eq!([1, 2].map(|value| update(REPLACED, object, value)), [None, Some(1)]);
        }
        for object in objects() {
            assert_eq!((get(WRITTEN_ONCE, object), newest(REPLACED, object)), (Some(1), Some(2)));
            assert_eq!(detach_object(object), 2);
        }
    });
}

/// Each number registers a field, has a table of its own, and extends the threads' counter blocks.
#[test]
fn an_allocator_has_fields_while_fields_are_registered_and_all_of_a_number_are_detached() {
    const NUMBERS: u64 = fewer(60, 2);
    with_fields(3, |thread| {
        for number in 0..NUMBERS {
            // All threads use the same numbers, so one thread binds a number, and the others find the binding.
            assert!(attach(Id::new(1000 + number), address(10_000 + thread, false), 1));
            for object in 20_000 + 5 * thread..20_005 + 5 * thread {
                assert_eq!(update(UpdateId::new(2000 + number), address(object, false), 1), None);
            }
        }
        let report = registry().report();
        assert!(report.iter().count() as u64 >= 2 * NUMBERS);
        // Under Miri, one print takes ten seconds.
        assert!(thread >= fewer(3, 1) || !report.to_string().is_empty());
    });
    with_fields(1, |_| {
        for number in 0..NUMBERS {
            // SAFETY: no reference to a value of an `UpdateId` exists.
            let detached = unsafe { UpdateId::<Box<usize>>::new(2000 + number).detach_all(|_, _| ()) };
            assert_eq!(detached.unwrap(), 15);
        }
    });
}

/// A thread takes a counter block at its first count and a hazard slot at its first read, and returns both at its end.
#[test]
fn an_allocator_has_fields_while_threads_start_and_end() {
    with_fields(3, |_| {
        for number in 0..fewer(50, 3) {
            let thread = thread::spawn(move || {
                USES_FIELDS.set(true);
                let host = Arc::new(number);
                host.update_last(Box::new(number));
                assert_eq!(host.last(), Some(Box::new(number)));
                SHARED.update_last(Box::new(number));
                SHARED.last()
            });
            assert!(thread.join().unwrap().is_some());
        }
    });
}

/// In every round one thread initialises and allocates, and two threads wait. The lock and the waits enter the graph.
#[test]
fn an_allocator_has_fields_while_threads_wait_for_an_initialiser() {
    let barrier = Barrier::new(3);
    let hosts: Vec<_> = (0..fewer(100, 3)).map(|_| (Local::default(), AtomicUsize::new(0))).collect();
    with_fields(3, |_| {
        for (host, asking) in &hosts {
            barrier.wait();
            asking.fetch_add(1, Ordering::SeqCst);
            host.get_or_attach_count(|| {
                while asking.load(Ordering::SeqCst) < 3 {
                    thread::yield_now();
                }
                // The other threads are about to wait, and most wait before the end of the initialiser.
                let boxes: Vec<_> = (0..10_u64).map(Box::new).collect();
                AtomicU64::new(boxes.len() as u64)
            });
        }
    });
    assert!(hosts.iter().all(|(host, _)| host.count().load(Ordering::Relaxed) == 10));
}

/// The initialisers of two threads wait for each other, a deadlock. One thread panics and allocates the message; the
/// second thread goes on.
#[test]
fn an_allocator_has_fields_while_initialisers_wait_in_a_circle_and_fail() {
    const CIRCLES: usize = fewer(20, 2);
    let both = Barrier::new(2);
    let hosts: Vec<_> = (0..CIRCLES).map(|_| [Local::default(), Local::default()]).collect();
    let circles = AtomicUsize::new(0);
    // A hook without a backtrace, which would take long.
    panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    with_fields(2, |thread| {
        for pair in &hosts {
            let [own, other] = [&pair[thread], &pair[1 - thread]];
            both.wait();
            let ask = || {
                own.get_or_attach_count(|| {
                    both.wait();
                    other.get_or_attach_count(|| AtomicU64::new(9));
                    AtomicU64::new(1)
                });
            };
            if panic::catch_unwind(AssertUnwindSafe(ask)).is_err() {
                circles.fetch_add(1, Ordering::SeqCst);
            }
            both.wait();
        }
    });
    assert_eq!(circles.into_inner(), CIRCLES, "one of each two");
    with_fields(1, |_| {
        let host = Local::default();
        let message = panic_of(|| host.get_or_attach_count(|| AtomicU64::new(host.count().load(Ordering::Relaxed))));
        assert!(message.contains("asked for by its own initialiser"), "{message}");
    });
}
