//! Values whose destructors record the thread, and the user code around the drop.
//!
//! In: values that a test attaches. Out: the numbers and threads of destructors. The tests check that an unrelated
//! host's destructors run at the end of an attach, and never inside of an initialiser, a closure or a clone.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use shadow_runtime::shadow;

use crate::{AtEnd, sized};

thread_local! {
    /// The thread's nesting depth of user code in which no unrelated destructor may run.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
    /// The thread's nesting depth of destructors of a [`Spy`].
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// The thread's number of completed outermost destructors of a [`Spy`].
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

fn count<R>(cell: &'static thread::LocalKey<Cell<usize>>, work: impl FnOnce() -> R) -> R {
    cell.set(cell.get() + 1);
    let _end = AtEnd(|| cell.set(cell.get() - 1));
    work()
}

/// Runs the body of an initialiser, a closure or a clone.
pub fn inside<R>(work: impl FnOnce() -> R) -> R {
    count(&INSIDE, work)
}

/// Counts the outermost destructors that `work` runs in the current thread.
pub fn runs_of<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = RUNS.get();
    let result = work();
    (RUNS.get() - before, result)
}

/// The records of destructors.
#[derive(Clone, Default)]
pub struct Notes {
    notes: Arc<Noted>,
}

#[derive(Default)]
struct Noted {
    made: AtomicUsize,
    runs: AtomicUsize,
    inside: AtomicUsize,
    deepest: AtomicUsize,
    /// The number of hosts to which destructors may still attach.
    left: AtomicUsize,
    threads: Mutex<HashSet<ThreadId>>,
}

/// A value whose destructor records thread and depth, and then calls a function.
pub struct Spy {
    notes: Notes,
    call: fn(&Notes),
}

impl Notes {
    pub fn spy(&self) -> Spy {
        self.spy_that(|_| ())
    }

    pub fn spy_that(&self, call: fn(&Notes)) -> Spy {
        self.notes.made.fetch_add(1, Ordering::SeqCst);
        Spy { notes: self.clone(), call }
    }

    pub fn made(&self) -> usize {
        self.notes.made.load(Ordering::SeqCst)
    }

    /// The number of hosts to which destructors may still attach.
    pub fn left(&self) -> usize {
        self.notes.left.load(Ordering::SeqCst)
    }

    /// The number of completed destructors.
    pub fn runs(&self) -> usize {
        self.notes.runs.load(Ordering::SeqCst)
    }

    /// The number of destructors run inside of `inside`.
    pub fn inside(&self) -> usize {
        self.notes.inside.load(Ordering::SeqCst)
    }

    /// The greatest nesting depth of destructors in one thread.
    pub fn deepest(&self) -> usize {
        self.notes.deepest.load(Ordering::SeqCst)
    }

    /// The threads of the destructors.
    pub fn threads(&self) -> HashSet<ThreadId> {
        self.notes.threads.lock().unwrap().clone()
    }

    /// Clears the set of threads.
    pub fn forget_threads(&self) {
        self.notes.threads.lock().unwrap().clear();
    }

    /// Whether every destructor has run in the current thread.
    pub fn all_here(&self) -> bool {
        self.threads().iter().all(|thread| *thread == thread::current().id())
    }
}

impl Drop for Spy {
    fn drop(&mut self) {
        let notes = &self.notes.notes;
        if INSIDE.get() > 0 {
            notes.inside.fetch_add(1, Ordering::SeqCst);
        }
        count(&DEPTH, || {
            notes.deepest.fetch_max(DEPTH.get(), Ordering::SeqCst);
            notes.threads.lock().unwrap().insert(thread::current().id());
            (self.call)(&self.notes);
        });
        if DEPTH.get() == 0 {
            RUNS.set(RUNS.get() + 1);
        }
        notes.runs.fetch_add(1, Ordering::SeqCst);
    }
}

shadow! {
    pub trait SpyFields<T: Send + Sync + 'static> for Arc<T> { attach spy: Spy; }
}

/// Makes a host with a spy.
pub fn spied(notes: &Notes) -> Arc<u16> {
    let host = Arc::new(0);
    assert!(host.attach_spy(notes.spy()).is_ok());
    host
}

/// Attaches to `hosts` hosts. Every host dies before the next attach.
pub fn pass_by(notes: &Notes, hosts: usize) {
    for _ in 0..hosts {
        drop(spied(notes));
    }
}

/// Attaches to `hosts` hosts that die at once, with destructors that each attach to two more, up to `further` in all.
pub fn pass_by_and_attach(notes: &Notes, hosts: usize, further: usize) {
    notes.notes.left.store(further, Ordering::SeqCst);
    for _ in 0..hosts {
        assert!(Arc::new(0_u16).attach_spy(notes.spy_that(attach_two)).is_ok());
    }
}

fn attach_two(notes: &Notes) {
    for _ in 0..2 {
        if notes.notes.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            assert!(Arc::new(0_u16).attach_spy(notes.spy_that(attach_two)).is_ok());
        }
    }
}

/// Checks that attaches sweep: destructors run on this thread, a few attaches after the death of the host.
pub fn assert_attaches_sweep() {
    let notes = Notes::default();
    pass_by(&notes, sized(10_000));
    assert!(notes.made() - notes.runs() <= 1001, "{} of {} have run", notes.runs(), notes.made());
    assert!(notes.all_here());
}
