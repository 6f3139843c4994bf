//! The heap memory of one value that is replaced.
//!
//! In: a value. Out: a node, owned by a cell, a table of `raw`, or a list of retired nodes. Neighbours: `retired.rs`,
//! the list; `node_cache.rs`, the thread-local cache of the last freed node's memory, for the next node.

use std::alloc::{Layout, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr::{self, NonNull};

use crate::fallible::{OutOfMemory, try_uninit};
use crate::hazard::node_cache;
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
    /// A node with `value`. Without memory, ends the process.
    #[inline]
    pub(crate) fn new_raw(value: V) -> NonNull<Self> {
        let memory = Self::memory().unwrap_or_else(|_| handle_alloc_error(Layout::new::<Self>()));
        Self::fill(memory, value)
    }

    /// As [`new_raw`](Self::new_raw), with an error if there is no memory. The error hands the value back.
    #[inline]
    pub(crate) fn try_new_raw(value: V) -> Result<NonNull<Self>, V> {
        match Self::memory() {
            Ok(memory) => Ok(Self::fill(memory, value)),
            Err(_) => Err(value),
        }
    }

    /// Memory for a node, from the cache of the thread or from the allocator.
    #[inline]
    fn memory() -> Result<Box<MaybeUninit<Self>>, OutOfMemory> {
        node_cache::take().map_or_else(try_uninit, Ok)
    }

    #[inline]
    fn fill(mut memory: Box<MaybeUninit<Self>>, value: V) -> NonNull<Self> {
        memory.write(Self { value, next: AtomicPtr::new(ptr::null_mut()) });
        NonNull::from(Box::leak(memory)).cast()
    }

    /// Frees a node: returns the value, and caches the memory for the next node of this thread, or frees the memory.
    ///
    /// # Safety
    ///
    /// `node` comes from [`new_raw`](Self::new_raw) or [`try_new_raw`](Self::try_new_raw), and the caller alone has the
    /// node.
    #[inline]
    pub(crate) unsafe fn into_inner(node: NonNull<Self>) -> V {
        // SAFETY: by the contract the node comes from `fill`, so from a `Box`, and has no other user or owner.
        let memory = unsafe { Box::from_raw(node.cast::<MaybeUninit<Self>>().as_ptr()) };
        // SAFETY: `fill` has initialised the memory. From here on the memory counts as uninitialised, so no value is
        // dropped twice.
        let node = unsafe { memory.assume_init_read() };
        node_cache::keep(memory);
        node.value
    }

    /// Frees a node, and drops the value in place.
    ///
    /// # Safety
    ///
    /// `node` comes from [`new_raw`](Self::new_raw) or [`try_new_raw`](Self::try_new_raw), and the caller alone has the
    /// node.
    pub(crate) unsafe fn destroy(node: NonNull<Self>) {
        // SAFETY: by the contract the node comes from `fill`, so from a `Box`, and has no other user or owner.
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
        // The stored pointer may have the wrong provenance: see `push` of `retired.rs`.
        (ptr::with_exposed_provenance_mut(link.addr() & !UNSEEN), link.addr() & UNSEEN == 0)
    }

    pub(super) fn set_link(&self, next: *mut Self, is_seen: bool) {
        let unseen = if is_seen { 0 } else { UNSEEN };
        self.next.store(next.map_addr(|address| address | unseen), Ordering::Relaxed);
    }
}
