//! The global allocator of this crate's own tests: the system's, which asserts that it runs under no lock of the
//! library (R4).
//!
//! In: every allocation of every test. Out: an abort with a message, if the thread holds a lock. A panic would
//! allocate.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{self, Write};
use std::process;

use crate::sync::locks_held;

struct WithoutLocks;

#[global_allocator]
static ALLOCATOR: WithoutLocks = WithoutLocks;

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
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check("allocates");
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check("reallocates");
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        check("frees");
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
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
