//! The heap memory of one value that is replaced.
//!
//! In: a value. Out: a node, owned by a cell, a table of `raw`, or a list of retired nodes. Neighbours: `retired.rs`,
//! the list; `spare.rs`, the thread-local cache of the last freed node's memory, for the next node.

use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::readers::spare;
use crate::sync::{AtomicPtr, Ordering};

/// A value on the heap. The alignment of 8 leaves the low three bits of a pointer to a node for tags.
#[repr(C, align(8))]
pub(crate) struct Node<V> {
    value: V,
    /// In a list of retired nodes: the next node, and in the low bit [`UNSEEN`].
    next: AtomicPtr<Node<V>>,
}

/// The low bit of a link: scans may miss hazards of this node, so the node is never known to be unused.
const UNSEEN: usize = 1;

impl<V> Node<V> {
    #[inline]
    pub(crate) fn make(value: V) -> NonNull<Self> {
        let mut memory = spare::take().unwrap_or_else(Box::new_uninit);
        memory.write(Self { value, next: AtomicPtr::new(ptr::null_mut()) });
        NonNull::from(Box::leak(memory)).cast()
    }

    /// Frees a node: returns the value, and caches the memory for the next node of this thread, or frees the memory.
    ///
    /// # Safety
    ///
    /// `node` comes from [`make`](Self::make), and the caller alone has the node.
    #[inline]
    pub(crate) unsafe fn unmake(node: NonNull<Self>) -> V {
        // SAFETY: `make` has allocated the node by `Box`, and the caller guarantees exclusive ownership.
        let memory = unsafe { Box::from_raw(node.cast::<MaybeUninit<Self>>().as_ptr()) };
        // SAFETY: `make` has initialised the memory. From here on the memory counts as uninitialised, so no value is
        // dropped twice.
        let node = unsafe { memory.assume_init_read() };
        spare::keep(memory);
        node.value
    }

    /// Frees a node, and drops the value in place.
    ///
    /// # Safety
    ///
    /// `node` comes from [`make`](Self::make), and the caller alone has the node.
    pub(crate) unsafe fn end(node: NonNull<Self>) {
        // SAFETY: `make` has allocated the node by `Box`, and the caller guarantees exclusive ownership.
        drop(unsafe { Box::from_raw(node.as_ptr()) });
    }

    #[inline]
    pub(crate) const fn value(&self) -> &V {
        &self.value
    }

    pub(crate) const fn value_mut(&mut self) -> &mut V {
        &mut self.value
    }

    /// The next node of the list, and whether scans see the hazards of this node.
    pub(super) fn link(&self) -> (*mut Self, bool) {
        // Relaxed, here and below: the owner of a list owns its nodes, and list operations publish the links.
        let link = self.next.load(Ordering::Relaxed);
        // The stored pointer may have the wrong provenance: see `put` of `retired.rs`.
        (ptr::with_exposed_provenance_mut(link.addr() & !UNSEEN), link.addr() & UNSEEN == 0)
    }

    pub(super) fn set_link(&self, next: *mut Self, is_seen: bool) {
        let unseen = if is_seen { 0 } else { UNSEEN };
        self.next.store(next.map_addr(|address| address | unseen), Ordering::Relaxed);
    }
}
