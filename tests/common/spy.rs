//! Values whose destructors record the thread, and the user code around the drop.
//!
//! In: values that a test attaches. Out: the numbers and threads of destructors. The tests check that an unrelated
//! host's destructors run at the end of an attach, and never inside of an initialiser, a closure or a clone.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use super::AtEnd;

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
pub(crate) fn inside<R>(work: impl FnOnce() -> R) -> R {
    count(&INSIDE, work)
}

/// Counts the outermost destructors that `work` runs in the current thread.
pub(crate) fn runs_of<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = RUNS.get();
    let result = work();
    (RUNS.get() - before, result)
}

/// The records of destructors.
#[derive(Clone, Default)]
pub(crate) struct Notes {
    notes: Arc<Noted>,
}

#[derive(Default)]
struct Noted {
    made: AtomicUsize,
    runs: AtomicUsize,
    inside: AtomicUsize,
    deepest: AtomicUsize,
    threads: Mutex<HashSet<ThreadId>>,
}

/// A value whose destructor records thread and depth, and then calls a function.
pub(crate) struct Spy {
    notes: Notes,
    call: fn(&Notes),
}

impl Notes {
    pub(crate) fn spy(&self) -> Spy {
        self.spy_that(|_| ())
    }

    pub(crate) fn spy_that(&self, call: fn(&Notes)) -> Spy {
        self.notes.made.fetch_add(1, Ordering::SeqCst);
        Spy { notes: self.clone(), call }
    }

    pub(crate) fn made(&self) -> usize {
        self.notes.made.load(Ordering::SeqCst)
    }

    /// The number of completed destructors.
    pub(crate) fn runs(&self) -> usize {
        self.notes.runs.load(Ordering::SeqCst)
    }

    /// The number of destructors run inside of `inside`.
    pub(crate) fn inside(&self) -> usize {
        self.notes.inside.load(Ordering::SeqCst)
    }

    /// The greatest nesting depth of destructors in one thread.
    pub(crate) fn deepest(&self) -> usize {
        self.notes.deepest.load(Ordering::SeqCst)
    }

    /// The threads of the destructors.
    pub(crate) fn threads(&self) -> HashSet<ThreadId> {
        self.notes.threads.lock().unwrap().clone()
    }

    /// Clears the set of threads.
    pub(crate) fn forget_threads(&self) {
        self.notes.threads.lock().unwrap().clear();
    }

    /// Whether every destructor has run in the current thread.
    pub(crate) fn all_here(&self) -> bool {
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
