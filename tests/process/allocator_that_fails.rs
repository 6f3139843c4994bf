//! A failing allocator: the process aborts, as with a `Box` or a `Vec`, and no data is corrupt before the abort. So no
//! destructor and no thread sees a half-finished operation.
//!
//! The allocator of this file fails at the n-th allocation of an operation, for growing n, until the operation
//! succeeds. Each attempt has a process of its own. Before the abort, a second thread reads every field.
//!
//! The methods of a `raw::UpdateId` that return an error are tested in one process, without a second thread.
#![cfg(all(unix, not(miri)))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use shadow_runtime::raw::InitError;
use shadow_runtime::{Shadow, ShadowFields, raw, registry, shadow};

use support::{
    child::{part, play},
    say,
};

struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

thread_local! {
    /// The number of allocations of this thread that succeed before a failure; `None`: no failure.
    static SUCCEED: Cell<Option<usize>> = const { Cell::new(None) };

    /// The allocations of this thread, less the frees.
    static ALLOCATED: Cell<isize> = const { Cell::new(0) };
}

/// `ASKED`: the failing thread requests the check of all fields. `ANSWERED`: the second thread has done the check.
static ASKED: AtomicBool = AtomicBool::new(false);
static ANSWERED: AtomicBool = AtomicBool::new(false);

fn fails() -> bool {
    let Some(succeed) = SUCCEED.get() else { return false };
    SUCCEED.set(succeed.checked_sub(1));
    if succeed > 0 {
        return false;
    }
    ASKED.store(true, Ordering::SeqCst);
    while !ANSWERED.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    true
}

// SAFETY: each call is passed on to the system's allocator, or returns null, the sign of a failed allocation. The
// counter is a thread-local without destructor or allocation, and no method unwinds.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        ALLOCATED.set(ALLOCATED.get() + 1);
        // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ALLOCATED.set(ALLOCATED.get() - 1);
        // SAFETY: every block of this allocator comes from `System`, and the caller passes the block's layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[derive(Shadow, Default)]
#[shadow_field(attach owner: [u64; 4])]
#[shadow_field(get_or_attach made: [u64; 4])]
#[shadow_field(get_or_update newest: [u64; 4])]
#[shadow_field(get_or_update(copy) copied: [u64; 4])]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Later for Task { attach later: [u64; 4]; }
    trait Latest for Task { attach latest: [u64; 4]; }
    trait SharedFields for Arc<usize> {
        attach owner: [u64; 4];
        get_or_update newest: [u64; 4];
        get_or_update(copy) copied: [u64; 4];
    }
    trait SharedLater for Arc<usize> { attach later: [u64; 4]; }
    trait StaticFields for &'static AtomicU32 { attach owner: [u64; 4]; }
}

const OWNER: raw::Id<[u64; 4]> = raw::Id::new(950);
const NEWEST: raw::UpdateId<[u64; 4]> = raw::UpdateId::new(951);

/// The hosts: some have fields before the operation, some have none.
struct World {
    bare: Task,
    task: Task,
    bare_arc: Arc<usize>,
    arc: Arc<usize>,
    crowd: Vec<Arc<usize>>,
}

static WORLD: OnceLock<World> = OnceLock::new();
static FIXED: AtomicU32 = AtomicU32::new(0);

impl World {
    fn new() -> Self {
        let (task, arc) = (Task::default(), Arc::new(0));
        task.attach_owner([1; 4]).unwrap();
        task.update_newest([2; 4]);
        task.update_copied([3; 4]);
        SharedFields::attach_owner(&arc, [1; 4]).unwrap();
        arc.update_newest([2; 4]);
        arc.update_copied([3; 4]);
        Self { bare: Task::default(), task, bare_arc: Arc::new(0), arc, crowd: (0..500).map(Arc::new).collect() }
    }

    /// Asserts that every earlier value is unchanged, and that every value of the operation is complete or absent.
    fn check(&self) {
        let whole = |value: Option<&[u64; 4]>| assert!(value.is_none_or(|value| *value == [value[0]; 4]));
        assert_eq!((self.task.owner(), SharedFields::owner(&self.arc)), (Some(&[1; 4]), Some(&[1; 4])));
        for newest in [self.task.newest(), self.task.copied(), self.arc.newest(), self.arc.copied()] {
            assert!(newest.is_some());
            whole(newest.as_ref());
        }
        for task in [&self.bare, &self.task] {
            [task.owner(), task.peek_made(), task.later(), task.latest()].into_iter().for_each(whole);
            for newest in [task.newest(), task.copied()] {
                whole(newest.as_ref());
            }
            assert!(format!("{:?}", task.shadow).starts_with("ShadowFields"));
        }
        for arc in [&self.bare_arc, &self.arc].into_iter().chain(&self.crowd) {
            [SharedFields::owner(arc), SharedLater::later(arc)].into_iter().for_each(whole);
            for newest in [arc.newest(), arc.copied()] {
                whole(newest.as_ref());
            }
        }
        whole((&FIXED).owner());
    }
}

type Work = fn(&World);

/// Every kind of operation that attaches or replaces a value, and a report.
const WORKS: [(&str, Work); 13] = [
    ("attach", |world| drop(world.bare.attach_owner([4; 4]))),
    ("get_or_attach", |world| assert_eq!(world.bare.made(), &[0; 4])),
    ("update", |world| assert!(world.bare.update_newest([4; 4]).is_none())),
    ("update_with", |world| assert!(world.task.update_newest_with(|_| [4; 4]).is_some())),
    ("replace", |world| assert!(world.task.update_newest([4; 4]).is_some())),
    ("copied", |world| assert!(world.bare.update_copied([4; 4]).is_none())),
    ("more declarations", |world| {
        world.task.attach_later([5; 4]).unwrap();
        world.task.attach_latest([6; 4]).unwrap();
    }),
    ("arc", |world| drop(SharedFields::attach_owner(&world.bare_arc, [4; 4]))),
    ("arc, more declarations", |world| drop(SharedLater::attach_later(&world.arc, [4; 4]))),
    ("arcs, so many that their table grows", |world| {
        for arc in &world.crowd {
            SharedFields::attach_owner(arc, [7; 4]).unwrap();
        }
    }),
    ("static", |_| drop((&FIXED).attach_owner([4; 4]))),
    ("raw", |world| {
        let key = ptr::from_ref(world).cast();
        // SAFETY: the object is in a static, and no thread detaches the field.
        unsafe { OWNER.attach(key, [4; 4]) }.unwrap();
        // SAFETY: the object is in a static, so the object outlives the field.
        assert!(unsafe { NEWEST.get_or_update(key, [4; 4]) }.unwrap().is_none());
    }),
    ("report", |_| assert!(registry().report().iter().count() > 0)),
];

/// Runs the operation of the part `<name>: <n>`. The allocator fails after n successful allocations.
fn child(part: &str) -> ! {
    let (name, succeed) = part.split_once(": ").unwrap();
    let (_, work) = WORKS.into_iter().find(|(each, _)| *each == name).unwrap();
    // The abort is intended, so no core dump.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for a read of an `rlimit`.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // The hosts are made on a second thread, so the operation makes the one-time allocations of this thread.
    let world = thread::spawn(|| WORLD.get_or_init(World::new)).join().unwrap();
    thread::spawn(|| {
        while !ASKED.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        world.check();
        say("nothing is corrupt");
        ANSWERED.store(true, Ordering::SeqCst);
    });
    SUCCEED.set(Some(succeed.parse().unwrap()));
    work(world);
    SUCCEED.set(None);
    world.check();
    say("it got through");
    process::exit(0)
}

#[test]
fn an_allocation_that_fails_aborts_and_nothing_is_corrupt_before() {
    if let Some(part) = part() {
        child(&part);
    }
    for (name, _) in WORKS {
        let mut succeed = 0;
        while !gets_through(name, succeed) {
            // An operation on many hosts has many similar allocations, so a growing part of these is skipped.
            succeed += 1 + succeed / 4;
        }
        assert!(succeed > 0, "`{name}` allocates nothing, and says nothing");
    }
}

/// Whether the operation `name` succeeds with `succeed` successful allocations. Otherwise, asserts the expected abort.
fn gets_through(name: &str, succeed: usize) -> bool {
    let output = play("an_allocation_that_fails_aborts_and_nothing_is_corrupt_before", &format!("{name}: {succeed}"));
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        assert!(said.contains("it got through"), "{name}, {succeed}: {said}");
        return true;
    }
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{name}, {succeed}: {said}");
    assert!(said.contains("nothing is corrupt"), "{name}, {succeed}: {said}");
    assert!(said.contains("memory allocation of"), "{name}, {succeed}: {said}");
    false
}

/// A value that counts its instances. The cache of nodes has no room for a node of this size.
struct Counted([u64; 8]);

static COUNTED: AtomicU32 = AtomicU32::new(0);

impl Counted {
    fn new(number: u64) -> Self {
        COUNTED.fetch_add(1, Ordering::SeqCst);
        Self([number; 8])
    }

    fn number(&self) -> u64 {
        self.0[7]
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.number())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNTED.fetch_sub(1, Ordering::SeqCst);
    }
}

type CountedId = raw::UpdateId<Counted>;

/// A method that returns an error without memory. On success, returns whether the field was empty.
type Method = fn(CountedId, *const ()) -> Result<bool, InitError<Infallible>>;

const UPDATES: [Method; 2] = [
    // SAFETY: the caller's object outlives the field.
    |id, key| unsafe { id.try_get_or_update(key, Counted::new(2)) }.map(|previous| previous.is_none()),
    // SAFETY: the caller's object outlives the field.
    |id, key| unsafe { id.try_update_with(key, |_| Ok(Counted::new(2))) }.map(|previous| previous.is_none()),
];

const INITIALISERS: [Method; 2] = [
    // SAFETY: the caller's object outlives the field.
    |id, key| unsafe { id.get_or_attach(key, || Ok(Counted::new(2))) }.map(|newest| newest.number() == 2),
    // SAFETY: the caller's object outlives the field.
    |id, key| unsafe { id.attach_with(key, || Ok(Counted::new(2))) }.map(|newest| newest.number() == 2),
];

/// Runs `method` with a failure at the n-th allocation, for growing n, until a run succeeds. Asserts that no failure
/// changes the field, or, once the number is bound, leaks. Returns the number of failures, and the result of the
/// success.
fn until_it_succeeds(method: Method, id: CountedId, key: *const (), is_bound: bool) -> (usize, bool) {
    ANSWERED.store(true, Ordering::SeqCst);
    // SAFETY: the caller's object outlives the field.
    let newest = || unsafe { id.get(key) }.unwrap().map(|newest| newest.number());
    let before = (COUNTED.load(Ordering::SeqCst), newest());
    for succeed in 0..100 {
        let allocated = ALLOCATED.get();
        SUCCEED.set(Some(succeed));
        let result = method(id, key);
        SUCCEED.set(None);
        match result {
            Ok(was_empty) => return (succeed, was_empty),
            Err(InitError::OutOfMemory(_)) => {
                assert!(!is_bound || ALLOCATED.get() == allocated);
                assert_eq!((COUNTED.load(Ordering::SeqCst), newest()), before);
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("a hundred allocations are not enough");
}

#[test]
fn a_raw_update_without_memory_is_an_error_and_changes_nothing() {
    /// Objects with a number of their own each: a number needs a table and a registration.
    const ALONE: u64 = 10;
    let objects = vec![0_u8; 2_000];
    for (method, first) in UPDATES.into_iter().chain(INITIALISERS).zip((4_200..).step_by(20)) {
        let mut growths = 0;
        for (object, number) in objects.iter().zip(first..) {
            let (id, key) = (CountedId::new(number.min(first + ALONE)), ptr::from_ref(object).cast());
            let (failures, was_empty) = until_it_succeeds(method, id, key, number > first + ALONE);
            assert!(was_empty);
            assert!(failures >= if number < first + ALONE { 4 } else { 2 }, "{number}: {failures}");
            growths += usize::from(number > first + ALONE && failures > 2);
        }
        assert!(growths > 3, "{first}: {growths}");
        for number in first..=first + ALONE {
            // SAFETY: the objects outlive their fields.
            unsafe { CountedId::new(number).detach_all(|_, counted| assert_eq!(counted.number(), 2)) }.unwrap();
        }
    }
    for (method, number) in UPDATES.into_iter().zip(4_300..) {
        let (id, key) = (CountedId::new(number), ptr::from_ref(&objects[0]).cast());
        // SAFETY: the object outlives the field.
        assert!(unsafe { id.get_or_update(key, Counted::new(1)) }.unwrap().is_none());
        let (failures, was_empty) = until_it_succeeds(method, id, key, true);
        assert!(failures >= 1 && !was_empty, "a replacement needs a node");
        // SAFETY: the object outlives the field.
        assert_eq!(unsafe { id.detach(key) }.unwrap().unwrap().number(), 2);
    }
    let (id, key) = (CountedId::new(4_310), ptr::from_ref(&objects[0]).cast());
    // SAFETY: the object outlives the field.
    assert!(unsafe { id.get_or_update(key, Counted::new(1)) }.unwrap().is_none());
    look_without_memory(id, key);
    // SAFETY: the object outlives the field.
    assert_eq!(unsafe { id.detach(key) }.unwrap().unwrap().number(), 1);
    assert_eq!(COUNTED.load(Ordering::SeqCst), 0);
}

/// Nests looks until a look needs a new hazard slot, for which there is no memory. There, an update by a closure needs
/// a slot, too.
fn look_without_memory(id: CountedId, key: *const ()) {
    SUCCEED.set(Some(0));
    // SAFETY: the caller's object outlives the field.
    match unsafe { id.inspect(key, |_| look_without_memory(id, key)) } {
        // A nested look has failed.
        Ok(looked) => return assert!(looked.is_some()),
        Err(error) => assert!(matches!(error, InitError::OutOfMemory(_)), "{error}"),
    }
    SUCCEED.set(Some(0));
    // SAFETY: the caller's object outlives the field.
    let updated = unsafe { id.try_update_with(key, |_| -> Result<_, ()> { panic!("there is no slot for the value") }) };
    assert!(matches!(updated, Err(InitError::OutOfMemory(_))));
    // SAFETY: the caller's object outlives the field.
    assert_eq!(unsafe { id.inspect(key, Counted::number) }.unwrap(), Some(1));
}
