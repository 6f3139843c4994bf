//! A global allocator that counts, for each thread by itself, so that tests do not see one another; and for all
//! together.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// The system's allocator, counting. A binary that uses it makes it its `#[global_allocator]`.
pub(crate) struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static FREES: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// Bytes that are allocated, by whichever thread.
static ALL_BYTES: AtomicIsize = AtomicIsize::new(0);

/// How often this thread has allocated.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// How often this thread has freed.
pub(crate) fn frees() -> usize {
    FREES.get()
}

/// How many bytes this thread has allocated, less those that it has freed, whoever allocated them.
pub(crate) fn bytes() -> isize {
    BYTES.get()
}

/// How many bytes are allocated, by all threads together.
pub(crate) fn bytes_of_all_threads() -> isize {
    ALL_BYTES.load(Ordering::Relaxed)
}

/// Runs `work`, and returns the most bytes that this thread held meanwhile, more than at its start.
pub(crate) fn peak_of(work: impl FnOnce()) -> isize {
    let start = bytes();
    PEAK.set(start);
    work();
    PEAK.get() - start
}

fn count(cell: &'static std::thread::LocalKey<Cell<usize>>) {
    // A thread that is being taken down may allocate when its counts are gone already.
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

// SAFETY: everything is handed on to the system's allocator; counting touches nothing but a static, and
// thread-locals that neither allocate nor are dropped.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(&ALLOCATIONS);
        add(signed(layout.size()));
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(&FREES);
        add(-signed(layout.size()));
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(&ALLOCATIONS);
        count(&FREES);
        add(signed(size) - signed(layout.size()));
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
