//! The global allocator of this crate's own tests: the system's, which asserts that it runs under no lock of the
//! library (R4), and counts the allocations of each thread.
//!
//! In: every allocation of every test. Out: an abort with a message, if the thread holds a lock; a panic would
//! allocate. And a number of allocations, for a test that allows none. Neighbour: `sync.rs`, which counts the locks of
//! a thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io::{self, Write};
use std::process;

use crate::sync::locks_held;

struct WithoutLocks;

#[global_allocator]
static ALLOCATOR: WithoutLocks = WithoutLocks;

thread_local! {
    /// The allocations of this thread.
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

/// The number of allocations of `work` on this thread.
pub(crate) fn allocations(work: impl FnOnce()) -> usize {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

fn check(what: &str) {
    if locks_held() != 0 {
        let _ = writeln!(io::stderr(), "{what} under a lock of the library");
        process::abort();
    }
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for WithoutLocks {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check("allocates");
        count();
        // SAFETY: the contract of `GlobalAlloc` is also the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check("allocates");
        count();
        // SAFETY: the contract of `GlobalAlloc` is also the contract of the system's allocator.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check("reallocates");
        count();
        // SAFETY: the contract of `GlobalAlloc` is also the contract of the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check("frees");
        // SAFETY: the contract of `GlobalAlloc` is also the contract of the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn an_allocation_is_counted() {
    let mut vector: Vec<u64> = Vec::new();
    assert_eq!(allocations(|| vector.reserve_exact(1)), 1);
    assert_eq!(allocations(|| vector.reserve_exact(100)), 1);
    assert_eq!(allocations(|| drop(vector)), 0);
}

#[test]
fn a_lock_that_is_held_is_counted() {
    let mutex = crate::sync::Mutex::new(());
    assert_eq!(locks_held(), 0);
    let locked = crate::sync::lock(&mutex);
    let held = locks_held();
    drop(locked);
    assert_eq!((held, locks_held()), (1, 0));
}
