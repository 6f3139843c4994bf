//! The memory of one value that is replaced.
//!
//! In: a value. Out: a node, which a cell, a table of `raw`, or the list of what is retired has. Neighbours:
//! `retired.rs`, the list; `spare.rs`, the memory of the node that a thread has taken apart last, which the next node
//! has again.

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::readers::spare;
use crate::sync::{AtomicPtr, Ordering};

/// A value on the heap.
#[repr(C, align(8))]
pub(crate) struct Node<V> {
    value: V,
    /// In the list: the next node, and in the low bit whether this one's readers are not seen.
    next: AtomicPtr<Node<V>>,
}

/// The bit of a link that says that it is never known whether somebody has announced the node.
const UNSEEN: usize = 1;

impl<V> Node<V> {
    #[inline]
    pub(crate) fn make(value: V) -> NonNull<Self> {
        let mut memory = spare::take().unwrap_or_else(Box::new_uninit);
        memory.write(Self { value, next: AtomicPtr::new(ptr::null_mut()) });
        NonNull::from(Box::leak(memory)).cast()
    }

    /// Takes a node apart: gives its value out, and keeps its memory for the next of this thread, or frees it.
    ///
    /// # Safety
    ///
    /// It comes from [`make`](Self::make), and nobody else has it.
    #[inline]
    pub(crate) unsafe fn unmake(node: NonNull<Self>) -> V {
        // SAFETY: it was made of a `Box`; the caller says that it is nobody else's.
        let memory = unsafe { Box::from_raw(node.cast::<MaybeUninit<Self>>().as_ptr()) };
        // SAFETY: `make` has written it, and from here on there is nothing in the memory.
        let node = unsafe { memory.assume_init_read() };
        spare::keep(memory);
        node.value
    }

    /// Drops a node, and its value where it is.
    ///
    /// # Safety
    ///
    /// It comes from [`make`](Self::make), and nobody else has it.
    pub(crate) unsafe fn end(node: NonNull<Self>) {
        // SAFETY: it was made of a `Box`; the caller says that it is nobody else's.
        drop(unsafe { Box::from_raw(node.as_ptr()) });
    }

    #[inline]
    pub(crate) const fn value(&self) -> &V {
        &self.value
    }

    pub(crate) const fn value_mut(&mut self) -> &mut V {
        &mut self.value
    }

    /// What comes after it in the list, and whether its readers are seen.
    pub(super) fn link(&self) -> (*mut Self, bool) {
        // Relaxed, here and below: who has the list has its nodes.
        let link = self.next.load(Ordering::Relaxed);
        // Not the pointer that was stored: see `put` of `retired.rs`.
        (ptr::with_exposed_provenance_mut(link.addr() & !UNSEEN), link.addr() & UNSEEN == 0)
    }

    pub(super) fn set_link(&self, next: *mut Self, is_seen: bool) {
        let unseen = if is_seen { 0 } else { UNSEEN };
        self.next.store(next.map_addr(|address| address | unseen), Ordering::Relaxed);
    }
}
