//! Destructors that note where they run: for the promise that destructors of strangers run in attaches alone, or in no
//! attach.

use std::cell::Cell;
use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use super::AtEnd;

thread_local! {
    /// How many pieces of user code this thread is in, in which no stranger's destructor may run.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
    /// How many destructors of a [`Spy`] this thread is in.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
    /// How many of them have run in this thread, those inside of others apart.
    static RUNS: Cell<usize> = const { Cell::new(0) };
}

fn count<R>(cell: &'static thread::LocalKey<Cell<usize>>, work: impl FnOnce() -> R) -> R {
    cell.set(cell.get() + 1);
    let _end = AtEnd(|| cell.set(cell.get() - 1));
    work()
}

/// Runs what an initialiser, a closure or a clone does.
pub(crate) fn inside<R>(work: impl FnOnce() -> R) -> R {
    count(&INSIDE, work)
}

/// How many destructors `work` runs in this thread, those inside of others apart.
pub(crate) fn runs_of<R>(work: impl FnOnce() -> R) -> (usize, R) {
    let before = RUNS.get();
    let result = work();
    (RUNS.get() - before, result)
}

/// What destructors have noted.
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

/// A value that notes where it is dropped, and then calls a function.
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

    /// How many destructors have run.
    pub(crate) fn runs(&self) -> usize {
        self.notes.runs.load(Ordering::SeqCst)
    }

    /// How many have run where none may.
    pub(crate) fn inside(&self) -> usize {
        self.notes.inside.load(Ordering::SeqCst)
    }

    /// How many were running in one thread at a time, at the most.
    pub(crate) fn deepest(&self) -> usize {
        self.notes.deepest.load(Ordering::SeqCst)
    }

    /// The threads in which they have run.
    pub(crate) fn threads(&self) -> HashSet<ThreadId> {
        self.notes.threads.lock().unwrap().clone()
    }

    /// Forgets in which threads they have run.
    pub(crate) fn forget_threads(&self) {
        self.notes.threads.lock().unwrap().clear();
    }

    /// Whether all have run in this thread.
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
