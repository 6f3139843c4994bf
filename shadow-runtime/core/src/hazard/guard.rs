//! The protocol of a read under a hazard: protect, load again, use, clear, reclaim.
//!
//! In: a pointer to a node, from a first load. Out: a guard, which keeps the node until the drop. Neighbours:
//! `cell/get_or_update.rs` and `raw/update_table.rs`, the two sources of nodes; `retired.rs`, which argues when a
//! reader must reclaim.
//!
//! 1. Protect the node in a hazard slot, and load the pointer again ([`Source::protect`]). If the source still has the
//!    node, the hazard keeps the node. Otherwise repeat with the newer node.
//! 2. Use the value.
//! 3. Clear the hazard, and load the pointer again ([`Source::is_current`]). If the node was replaced meanwhile, the
//!    writer may have retired the node and left the drop to the last reader: reclaim the list. A read that protected
//!    other nodes before always reclaims.
//!
//! *ABA*: a node that the second load finds is not freed, so its address is not recycled. A node whose hazard came too
//! late may be freed, and its address may come back as a newer node: then the hazard protects the newer node. The
//! reader uses the pointer of the second load, never the pointer of the first load, which may have the provenance of
//! freed memory.

use std::mem;

use crate::hazard::HazardSlot;
use crate::hazard::node::Node;

/// A place from which a reader loads a pointer to a node.
///
/// # Safety
///
/// No writer frees a node that [`protect`](Self::protect) has returned, from this call until the clear of the slot. The
/// initialisation of the node happens before the return.
pub(crate) unsafe trait Source: Copy {
    /// The value of a node.
    type Value;

    /// Protects the node of `loaded`, and loads the pointer again. `loaded` is the result of an earlier load, and not
    /// null. Returns the node of the second load.
    ///
    /// # Errors
    ///
    /// If the second load has found a different node, or none, or if the hazard may be too late: returns the pointer of
    /// the second load, for a new attempt. If `loaded` has no node: returns null.
    fn protect(
        self,
        slot: &HazardSlot,
        loaded: *mut Node<Self::Value>,
    ) -> Result<*mut Node<Self::Value>, *mut Node<Self::Value>>;

    /// Whether the source still has `node`, by a load that comes after the clear of the hazard (E3 of `retired.rs`).
    fn is_current(self, node: *mut Node<Self::Value>) -> bool;

    /// Reclaims the source's retired nodes.
    fn reclaim(self);
}

/// A node that the slot of this thread protects. The drop clears the hazard.
pub(crate) struct Guard<S: Source> {
    source: S,
    slot: &'static HazardSlot,
    node: *mut Node<S::Value>,
    /// Whether the slot protected an earlier node, which a writer may have retired for this reader to drop.
    has_moved_on: bool,
}

/// Reclaims the retired nodes of a source on drop, also during unwinding.
pub(crate) struct Reclaiming<S: Source>(S);

impl<S: Source> Guard<S> {
    /// Protects the newest node; `loaded` is the result of a first load. `None` if the source has no node.
    ///
    /// # Safety
    ///
    /// This thread owns `slot`, and the guard alone uses the slot: no other code stores to the slot before the last use
    /// of the guard's value.
    #[inline]
    pub(crate) unsafe fn new(source: S, slot: &'static HazardSlot, loaded: *mut Node<S::Value>) -> Option<Self> {
        if loaded.is_null() {
            return None;
        }
        match source.protect(slot, loaded) {
            Ok(node) => Some(Self { source, slot, node, has_moved_on: false }),
            // SAFETY: by the contract.
            Err(newer) => unsafe { Self::retry(source, slot, newer) },
        }
    }

    /// Continues `new` after a hazard that came too late.
    ///
    /// # Safety
    ///
    /// As of [`new`](Self::new).
    #[cold]
    pub(crate) unsafe fn retry(source: S, slot: &'static HazardSlot, mut loaded: *mut Node<S::Value>) -> Option<Self> {
        while !loaded.is_null() {
            match source.protect(slot, loaded) {
                Ok(node) => return Some(Self { source, slot, node, has_moved_on: true }),
                Err(newer) => loaded = newer,
            }
        }
        slot.clear();
        source.reclaim();
        None
    }

    #[inline]
    pub(crate) fn value(&self) -> &S::Value {
        // SAFETY: `protect` has returned the node, so by the contract of `Source` the node is initialised, and is not
        // freed before the clear. By the contract of `new` only `end` and the drop clear the hazard, and neither runs
        // while `self` is borrowed.
        unsafe { &*self.node }.value()
    }

    pub(crate) const fn node(&self) -> *mut Node<S::Value> {
        self.node
    }

    /// Clears the hazard for a caller that has replaced the node, so that no load of the pointer is needed. If the slot
    /// protected an earlier node, the drop of the result reclaims the list.
    pub(crate) fn end(self) -> Option<Reclaiming<S>> {
        self.slot.clear();
        let reclaiming = self.has_moved_on.then(|| Reclaiming(self.source));
        mem::forget(self);
        reclaiming
    }
}

impl<S: Source> Drop for Guard<S> {
    #[inline]
    fn drop(&mut self) {
        self.slot.clear();
        if self.has_moved_on || !self.source.is_current(self.node) {
            self.source.reclaim();
        }
    }
}

impl<S: Source> Drop for Reclaiming<S> {
    fn drop(&mut self) {
        self.0.reclaim();
    }
}
