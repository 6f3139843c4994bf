//! The allocator of loom models whose results depend on the addresses of nodes.
//!
//! In: allocations with the alignment and size of a node. Out: the block of that size that was freed last. All other
//! allocations go to the system's allocator.
//!
//! Loom requires each execution of a model to be deterministic, including the reuse of a node's address. LIFO reuse
//! also makes addresses recur as often as possible, so the models cover ABA.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// The alignment of nodes in the models. Apart from hazard slots, which are never freed, almost no other allocation has
/// this alignment.
const NODE: usize = 128;
const LARGEST: usize = 3 * NODE;

std::thread_local! {
    /// Free lists, by size; each free block stores the address of the next. Loom runs all threads of a model in one OS
    /// thread.
    static FREE: [Cell<*mut u8>; LARGEST / NODE] = const { [const { Cell::new(ptr::null_mut()) }; LARGEST / NODE] };
}

/// Replaces the head of the layout's free list by the result of `next`, and returns the old head, perhaps null. Returns
/// `None` if the layout has no free list.
fn exchange(layout: Layout, next: impl FnOnce(*mut u8) -> *mut u8) -> Option<*mut u8> {
    if layout.align() != NODE || layout.size() > LARGEST {
        return None;
    }
    FREE.with(|free| {
        let list = &free[layout.size() / NODE - 1];
        let first = list.get();
        list.set(next(first));
        Some(first)
    })
}

// SAFETY: each block comes from `System`. After the deallocation, a block is in the free list of its size only, until
// the next allocation of the block.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        #[expect(clippy::cast_ptr_alignment, reason = "it is aligned as nodes are")]
        let next = |first: *mut u8| {
            if first.is_null() {
                return first;
            }
            // SAFETY: a block in a free list begins with the address of the next block, which `dealloc` has written.
            unsafe { first.cast::<*mut u8>().read() }
        };
        match exchange(layout, next) {
            Some(first) if !first.is_null() => first,
            // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        #[expect(clippy::cast_ptr_alignment, reason = "it is aligned as nodes are")]
        let next = |first| {
            // SAFETY: by the contract of `dealloc` the block is no longer in use, and a block of at least 128 bytes has
            // room for an aligned address.
            unsafe { block.cast::<*mut u8>().write(first) };
            block
        };
        if exchange(layout, next).is_none() {
            // SAFETY: the layout has no free list, so `block` comes from `System` with this layout, and is no longer in
            // use.
            unsafe { System.dealloc(block, layout) };
        }
    }
}
