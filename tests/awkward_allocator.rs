//! A failing allocator: the process aborts, as with a `Box` or a `Vec`, and no data is corrupt before the abort. So no
//! destructor and no thread sees a half-finished operation.
//!
//! The allocator of this file fails on request: at the first allocation of some work, at the second, and so on, each in
//! a process of its own, until the work succeeds. Before the abort, a second thread reads every field.
#![cfg(all(unix, not(miri)))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use shadow_runtime::{Shadow, ShadowFields, raw, registry, shadow};

mod common;

use common::child::{part, play};

struct Failing;

#[global_allocator]
static ALLOCATOR: Failing = Failing;

thread_local! {
    /// How many allocations of this thread succeed before one fails.
    static SUCCEED: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The thread that is about to fail asks, and the one that reads answers.
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

// SAFETY: everything is handed on to the system's allocator, or null is returned, which says that it failed.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return ptr::null_mut();
        }
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps to the same contract.
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

/// What the fields are attached to: some have fields when the work begins, some have none.
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

    /// What was there is there, and what the work attaches is there as a whole, or not at all.
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

/// Everything that attaches or replaces something.
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
        // SAFETY: the object stays for ever, and no reference to a value is kept.
        unsafe { OWNER.attach(key, [4; 4]) }.unwrap();
        // SAFETY: as above.
        assert!(unsafe { NEWEST.get_or_update(key, [4; 4]) }.unwrap().is_none());
    }),
    ("report", |_| assert!(registry().report().iter().count() > 0)),
];

fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// Does the work whose name begins the part, and fails at the allocation whose number ends it.
fn child(part: &str) -> ! {
    let (name, succeed) = part.split_once(": ").unwrap();
    let (_, work) = WORKS.into_iter().find(|(each, _)| *each == name).unwrap();
    // There is nothing to learn from its core.
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is this process's own.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
    // On another thread, so that this one counts for the first time when it does the work.
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
            // There are many in a row for many hosts: some of them say what all do.
            succeed += 1 + succeed / 4;
        }
        assert!(succeed > 0, "`{name}` allocates nothing, and says nothing");
    }
}

/// Whether the work gets through when so many allocations succeed. If not, it was aborted as it should be.
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
