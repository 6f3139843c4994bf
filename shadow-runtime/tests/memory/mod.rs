//! The memory of nodes, for the models that compare them by address.
//!
//! Each run of a model has to be the same, and so has whether a node gets the memory of another that has gone. So what
//! is aligned as nodes are here has memory of its own: what was let go last is used again first, so that as many
//! addresses as can be come back.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;

struct Memory;

#[global_allocator]
static MEMORY: Memory = Memory;

/// What nodes are aligned to here. But for slots, which are not let go of, hardly anything else is.
const NODE: usize = 128;
const LARGEST: usize = 3 * NODE;

std::thread_local! {
    /// What was let go of, by its size, each with the address of the next. A model runs in one thread of the system.
    static FREE: [Cell<*mut u8>; LARGEST / NODE] = const { [const { Cell::new(ptr::null_mut()) }; LARGEST / NODE] };
}

/// Puts what `next` makes of it in place of the head of the list of a layout, and returns that head, or null; or `None`
/// if there is no such list.
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

// SAFETY: a block is from `System`, and is in the list of its size alone, after it was let go of.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what is in a list begins with the address of the next.
        #[expect(clippy::cast_ptr_alignment, reason = "it is aligned as nodes are")]
        let next = |first: *mut u8| if first.is_null() { first } else { unsafe { first.cast::<*mut u8>().read() } };
        match exchange(layout, next) {
            Some(first) if !first.is_null() => first,
            // SAFETY: the caller's promise is the same.
            _ => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        #[expect(clippy::cast_ptr_alignment, reason = "it is aligned as nodes are")]
        let next = |first| {
            // SAFETY: nobody has it any more, and it has room for an address.
            unsafe { block.cast::<*mut u8>().write(first) };
            block
        };
        if exchange(layout, next).is_none() {
            // SAFETY: the caller's promise is the same.
            unsafe { System.dealloc(block, layout) };
        }
    }
}
