//! Bytes that are alive: a global allocator that counts.
//!
//! In: allocations of the whole process. Out: how many bytes of them have not been given back. What was asked for is
//! counted, not what the system's allocator rounds it up to.
//!
//! Counting is off until a row about memory asks for it: two additions to a shared word per allocation would make
//! contestants that allocate alike look alike.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::check::float;

static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counted.
#[derive(Debug)]
pub struct Counted;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        take_away(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        take_away(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

// Relaxed, all: the flag is set before anything that matters, and the sum is read when everything is quiet. The sum
// wraps: what was allocated before counting started may be given back after.

#[inline]
fn add(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        LIVE.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[inline]
fn take_away(bytes: usize) {
    if COUNTING.load(Ordering::Relaxed) {
        LIVE.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What is alive, as a point to measure from.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl Mark {
    /// What is alive now. Counts from now on.
    #[must_use]
    pub fn now() -> Self {
        COUNTING.store(true, Ordering::Relaxed);
        Self(LIVE.load(Ordering::Relaxed))
    }

    /// How many more bytes are alive now. Never less than none: rows only measure what they add.
    #[must_use]
    pub fn grown(self) -> f64 {
        let more = LIVE.load(Ordering::Relaxed).wrapping_sub(self.0);
        float(if more > usize::MAX / 2 { 0 } else { more })
    }
}
