//! A global allocator that counts allocations by thread, so concurrent tests do not disturb the counts, and bytes for
//! the process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator with counters. A test binary declares `Counting` as the `#[global_allocator]`.
pub struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static FREES: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The allocated bytes of the process.
static ALL_BYTES: AtomicIsize = AtomicIsize::new(0);

/// The number of allocations by this thread.
pub fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// The number of deallocations by this thread.
pub fn frees() -> usize {
    FREES.get()
}

/// The bytes allocated by this thread, minus the bytes freed by this thread, including blocks from other threads.
pub fn bytes() -> isize {
    BYTES.get()
}

/// The allocated bytes of the process.
pub fn bytes_of_all_threads() -> isize {
    ALL_BYTES.load(Ordering::Relaxed)
}

/// Runs `work`, and returns the thread's peak of allocated bytes, above the value at the start.
pub fn peak_of(work: impl FnOnce()) -> isize {
    let start = bytes();
    PEAK.set(start);
    work();
    PEAK.get() - start
}

fn count(cell: &'static std::thread::LocalKey<Cell<usize>>) {
    // A thread may allocate at its end, after the drop of its thread-locals.
    let _ = cell.try_with(|cell| cell.set(cell.get() + 1));
}

/// No layout is larger than `isize::MAX`.
fn signed(size: usize) -> isize {
    isize::try_from(size).unwrap_or(isize::MAX)
}

fn add(bytes: isize) {
    ALL_BYTES.fetch_add(bytes, Ordering::Relaxed);
    let _ = BYTES.try_with(|total| {
        total.set(total.get() + bytes);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(total.get())));
    });
}

// SAFETY: each call is passed on to the system's allocator. The counting only accesses a static, and thread-locals
// without destructor or allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        add(signed(layout.size()));
        // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(&FREES);
        add(-signed(layout.size()));
        // SAFETY: every block of this allocator comes from `System`, and the caller passes the block's layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATIONS);
        count(&FREES);
        add(signed(size) - signed(layout.size()));
        // SAFETY: every block of this allocator comes from `System`, and the caller passes the block's layout and a
        // valid non-zero `size`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
