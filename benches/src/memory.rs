//! A global allocator that counts live bytes.
//!
//! In: all allocations of the process. Out: the number of live bytes, as requested, without the rounding of the
//! system's allocator.
//!
//! Counting is off until a row about memory starts it. Two atomic additions to a shared counter per allocation would
//! dominate the time of contestants that allocate, and hide their differences.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::check::float;

static COUNTING: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator with a counter.
#[derive(Debug)]
pub struct Counted;

// SAFETY: each call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counted {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: `GlobalAlloc::alloc_zeroed` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        take_away(layout.size());
        // SAFETY: `pointer` comes from `System` with this layout, since every allocation of this allocator does.
        unsafe { System.dealloc(pointer, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add(size);
        take_away(layout.size());
        // SAFETY: `pointer` comes from `System` with this layout, and `GlobalAlloc::realloc` requires a valid non-zero
        // `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

// All operations are Relaxed: a row sets the flag before its allocations, and reads the counter while no other thread
// allocates. The counter wraps, since a block from before the start of counting may be freed afterwards.

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

/// A count of live bytes, as the start of a measurement.
#[derive(Clone, Copy, Debug)]
pub struct Mark(usize);

impl Mark {
    /// The current count. Starts counting.
    #[must_use]
    pub fn now() -> Self {
        COUNTING.store(true, Ordering::Relaxed);
        Self(LIVE.load(Ordering::Relaxed))
    }

    /// The growth of the count since the mark, at least 0: rows only measure additions.
    #[must_use]
    pub fn grown(self) -> f64 {
        let more = LIVE.load(Ordering::Relaxed).wrapping_sub(self.0);
        float(if more > usize::MAX / 2 { 0 } else { more })
    }
}
