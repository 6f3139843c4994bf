//! The drop of a value that a reader had protected when a writer replaced the value.
//!
//! In: nodes that a writer has replaced. Out: the value of a node without a hazard. A node with a hazard is dropped by
//! its last reader, or by the writer if this reader clears the hazard in the meantime. Neighbours: `node.rs`, one node;
//! `cell/bias.rs` and `raw/update_table.rs`, which argue the visibility of hazards. In this file, a table of
//! `raw/update_table.rs` is a cell, too.
//!
//! A writer that finds a hazard for its node clones the value, pushes the node to the cell's list of retired nodes, and
//! scans the slots again. A reader that finds its node replaced, after the clear, takes the list, reclaims the
//! nodes without a hazard, and pushes the rest again. Neither allocates: the nodes have the links of the list.
//!
//! - **E1** A retired node was replaced, and belongs to the list alone. A thread that takes the list takes the whole
//!   list.
//! - **E2** No reader protects a retired node anew and keeps the node. So after a scan without a hazard for the node,
//!   no reader uses the node.
//! - **E3** A thread that leaves a node in the list has pushed the node, and has seen a hazard for the node afterwards.
//!   So the reader with this hazard has yet to clear the hazard, and will load the list.
//!
//! E3 is a store-load (Dekker) race: a writer pushes, and then scans the slots; a reader clears its hazard, and then
//! loads the word and the list. Every read clears a hazard, but a push is rare. So a reader has no fence there, and a
//! push pays with a process-wide barrier (`barrier.rs`, about a microsecond). If a reader clears its hazard before the
//! barrier, the scan sees the clear. If a reader clears its hazard after the barrier, the reader's loads also come
//! after the barrier, and see the list. On a system without the barrier, the four accesses are `SeqCst`. So a retired
//! node stays as long as a reader uses the node, and no longer, with or without a later update. And the list has at
//! most as many nodes as there are such readers.
//!
//! *Limits*: the barrier may cease to be available, if a sandbox is closed after the first use. A scan after a failed
//! barrier may miss the hazards of a read-biased cell, so the scan does not prove that a node of this cell is unused.
//! Such a node stays in the list until the end of the cell; the low bit of the node's link says so. A cell has at most
//! one such node, since no cell becomes read-biased any more (a thread inside of `lower` at that moment may add one).
//! And the last reader of a node may miss a push at that moment; then the node stays until the next thread takes the
//! list.

use std::any::type_name;
use std::fmt::Display;
use std::hint;
use std::ptr::{self, NonNull};

use crate::hazard::node::Node;
use crate::hazard::slot::Unshown;
use crate::hazard::{self, barrier};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering, const_fn, full_fence};

/// The spin of a writer before the second scan, in steps: about three microseconds, more on processors with a slow
/// step. The clone of a small value takes less time. During the rest of the spin, the reader keeps its cache lines, and
/// gets on. With an eighth of this spin, two threads that read and write the same field take nearly twice as long.
const SPIN: usize = 512;

/// The list of retired nodes: a stack of nodes that were replaced while a reader had protected the node.
pub(crate) struct Retired<V> {
    first: AtomicPtr<Node<V>>,
}

/// The most nodes that a reclaim pushes with one barrier: more than a list has in most programs.
const BATCH: usize = 8;

/// Nodes that a thread has taken from a list, linked by [`Node::link`]. By E1 the nodes belong to the thread alone.
struct Nodes<V> {
    next: *mut Node<V>,
}

/// A node with a hazard, which is retired on drop.
pub(crate) struct Retiring<'cell, V, F: Fn(&V) -> bool> {
    retired: &'cell Retired<V>,
    cell: usize,
    node: NonNull<Node<V>>,
    is_seen: bool,
    is_own: F,
}

impl<V> Retired<V> {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    /// Whether the list is empty.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        // SeqCst: after the clear; pairs with the CAS of `push` (E3). No node is used by this load: `take_all` acquires
        // the nodes.
        self.first.load(Ordering::SeqCst).is_null()
    }

    /// Returns `node` once the caller alone has the node. While a reader has protected the node, returns an error,
    /// which retires the node on drop. `cell` is the cell of this list; `is_own` is as in [`reclaim`](Self::reclaim).
    ///
    /// # Safety
    ///
    /// `node` was replaced in `cell`, the cell of this list, and the caller may retire the node. If `is_seen`, scans
    /// from now on see the hazard of every reader that uses the node, now or later.
    pub(crate) unsafe fn try_take<F: Fn(&V) -> bool>(
        &self,
        cell: usize,
        node: NonNull<Node<V>>,
        is_seen: bool,
        is_own: F,
    ) -> Result<NonNull<Node<V>>, Retiring<'_, V, F>> {
        let is_free = || !is_protected(cell, node);
        // Under loom, the second scan would only repeat the first scan.
        if is_seen && (is_free() || (!cfg!(loom) && spin_then(is_free))) {
            // By O5 of `cell/bias.rs`, or J2 of `raw/update_table.rs`, no reader uses the node.
            return Ok(node);
        }
        Err(Retiring { retired: self, cell, node, is_seen, is_own })
    }

    /// Pushes nodes to the list. Returns whether one of the nodes can be reclaimed now (E3).
    ///
    /// # Safety
    ///
    /// The nodes are retired nodes of the caller, by E1: replaced in `cell`, and in no list.
    unsafe fn push(&self, cell: usize, nodes: &[(NonNull<Node<V>>, bool)]) -> bool {
        if nodes.is_empty() {
            return false;
        }
        for &(node, is_seen) in nodes {
            // ABA: a later pusher may have loaded, as `first`, the pointer to a freed node at the same address. The CAS
            // of this pusher succeeds, and its link has the address of `node` with the provenance of the freed node. So
            // the provenance of `node` is exposed here, and `Node::link` recovers a pointer to `node` from the address.
            let _ = node.as_ptr().expose_provenance();
            // Relaxed: the CAS validates the pointer.
            let mut first = self.first.load(Ordering::Relaxed);
            loop {
                // SAFETY: by the contract the node belongs to the caller, and is in no list until the CAS below. Only a
                // thread that takes the list frees its nodes (E1), so the node is live.
                unsafe { node.as_ref() }.set_link(first, is_seen);
                // SeqCst: before the scan; pairs with the loads of the list by readers (E3). By that a Release of the
                // node and the link, for the Acquire of `take_all`.
                match self.first.compare_exchange(first, node.as_ptr(), Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(newer) => first = newer,
                }
            }
        }
        if barrier::is_available() {
            // Pairs with `barrier::light` of `HazardSlot::clear` (E3). For a failure see *Limits* in the header.
            let _ = barrier::heavy();
        }
        full_fence();
        // No access to the nodes from here on, but by address: another thread may have reclaimed the nodes.
        nodes.iter().any(|&(node, is_seen)| is_seen && !is_protected(cell, node))
    }

    /// Reclaims the retired nodes without a hazard.
    ///
    /// # Panics
    ///
    /// If destructors of the caller's own values do: the first panic is raised again after the last destructor has run.
    /// Panics of destructors of foreign values are discarded (R5).
    ///
    /// # Safety
    ///
    /// `cell` is the cell of this list.
    #[cold]
    pub(crate) unsafe fn reclaim(&self, cell: usize, is_own: impl Fn(&V) -> bool) {
        if self.is_empty() {
            return;
        }
        let (mut own, mut others) = (Panics::none(), Panics::with_context("of another object"));
        loop {
            // SAFETY: by the contract `cell` is the cell of this list.
            let (gone, again) = unsafe { self.take_unprotected(cell) };
            for (node, _) in gone {
                // SAFETY: by E1 this thread alone has the node. The scan found no hazard of `cell`, by the contract the
                // cell of the node. So by E2 no reader uses the node.
                let is_own = is_own(unsafe { node.as_ref() }.value());
                let panics = if is_own { &mut own } else { &mut others };
                // SAFETY: by E1 and E2 this thread alone has the node, and `Node::new_raw` has made every node of a
                // list.
                let destroy = || unsafe { Node::destroy(node) };
                panics.contain(&format_args!("a replaced value of type `{}`", type_name::<V>()), destroy);
            }
            if !again {
                break;
            }
        }
        others.discard();
        own.raise();
    }

    /// Takes the nodes without a hazard, and pushes the other nodes again. Returns also whether one of the pushed nodes
    /// can be reclaimed now. The taken nodes have the links of their list, so the call allocates no memory.
    ///
    /// # Safety
    ///
    /// `cell` is the cell of this list.
    unsafe fn take_unprotected(&self, cell: usize) -> (Nodes<V>, bool) {
        let (mut gone, mut again) = (Nodes { next: ptr::null_mut() }, false);
        let (mut kept, mut count) = ([(NonNull::dangling(), false); BATCH], 0);
        for (node, is_seen) in self.take_all() {
            if is_seen && !is_protected(cell, node) {
                // SAFETY: by E1 the node is live and belongs to this thread since `take_all`.
                unsafe { node.as_ref() }.set_link(gone.next, is_seen);
                gone.next = node.as_ptr();
                continue;
            }
            kept[count] = (node, is_seen);
            count += 1;
            if count == BATCH {
                // SAFETY: by E1 `take_all` has moved the nodes from the list to this thread.
                again |= unsafe { self.push(cell, &kept) };
                count = 0;
            }
        }
        // SAFETY: as above.
        again |= unsafe { self.push(cell, &kept[..count]) };
        (gone, again)
    }

    /// Takes the whole list. The nodes then belong to the caller.
    fn take_all(&self) -> Nodes<V> {
        // SeqCst: as in `is_empty`. By that an Acquire of the nodes and links: pairs with the Release of `push`.
        Nodes { next: self.first.swap(ptr::null_mut(), Ordering::SeqCst) }
    }

    /// Drops all nodes of a cell that the caller alone has.
    ///
    /// # Safety
    ///
    /// No reader uses a node of the list.
    pub(crate) unsafe fn destroy(&mut self, owner: &dyn Display, panics: &mut Panics) {
        for (node, _) in self.take_all() {
            // SAFETY: by E1 this thread alone has the node, which comes from `Node::new_raw`. By the contract no reader
            // uses the node.
            panics.contain(owner, || unsafe { Node::destroy(node) });
        }
    }
}

/// Yields each node after the read of its link, so the caller may destroy the node.
impl<V> Iterator for Nodes<V> {
    type Item = (NonNull<Node<V>>, bool);

    fn next(&mut self) -> Option<Self::Item> {
        let node = NonNull::new(self.next)?;
        // SAFETY: by E1 the node is live and belongs to this thread since the swap of `take_all`.
        let (following, is_seen) = unsafe { node.as_ref() }.link();
        self.next = following;
        Some((node, is_seen))
    }
}

/// Spins for [`SPIN`] steps, and then runs `is_free`.
#[cold]
fn spin_then(is_free: impl Fn() -> bool) -> bool {
    (0..SPIN).for_each(|_| hint::spin_loop());
    is_free()
}

fn is_protected<V>(cell: usize, node: NonNull<Node<V>>) -> bool {
    hazard::is_protected(cell, node.as_ptr().cast())
}

impl<V, F: Fn(&V) -> bool> Retiring<'_, V, F> {
    /// Calls `look` with the value, and then retires the node, also during unwinding.
    pub(crate) fn retire_after<R>(self, look: impl FnOnce(&V) -> R) -> R {
        let unshown = Unshown::begin();
        // SAFETY: `try_take` has left the node to this `Retiring`, so the node is live until the drop below.
        let seen = look(unsafe { self.node.as_ref() }.value());
        drop(unshown);
        // The drop may run destructors, which may panic, so the result is still a local variable.
        drop(self);
        seen
    }
}

impl<V, F: Fn(&V) -> bool> Drop for Retiring<'_, V, F> {
    fn drop(&mut self) {
        // SAFETY: by the contract of `try_take` the node was replaced in `self.cell`, and this `Retiring` alone has the
        // right to retire the node. So until this push the node is in no list (E1).
        if unsafe { self.retired.push(self.cell, &[(self.node, self.is_seen)]) } {
            // SAFETY: by the contract of `try_take` the cell is that of the list.
            unsafe { self.retired.reclaim(self.cell, &self.is_own) };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;
    use crate::hazard::Fence;
    use crate::hazard::slot::SlotGuard;

    const CELL: usize = 8;

    /// A value with a counter of the values that are alive.
    type Counted = Arc<()>;

    fn there_are(count: &Counted) -> usize {
        Arc::strong_count(count) - 1
    }

    fn protected(count: &Counted) -> (NonNull<Node<Counted>>, SlotGuard) {
        let node = Node::new_raw(Arc::clone(count));
        let taken = hazard::second_slot();
        taken.slot().protect(Fence::SeqCst, CELL, node.as_ptr().cast());
        (node, taken)
    }

    /// Retires a node with a hazard, and returns the reader.
    fn retire(retired: &Retired<Counted>, count: &Counted, is_seen: bool) -> SlotGuard {
        let (node, taken) = protected(count);
        // SAFETY: the node is in no cell, and no reader uses the value.
        match unsafe { retired.try_take(CELL, node, is_seen, |_| true) } {
            Ok(_) => panic!("it is protected"),
            Err(retiring) => retiring.retire_after(|value| assert!(Arc::ptr_eq(value, count))),
        }
        taken
    }

    #[test]
    fn a_node_without_a_hazard_is_returned_at_once() {
        let (retired, count) = (Retired::new(), Counted::default());
        let node = Node::new_raw(Arc::clone(&count));
        // SAFETY: the node is in no cell.
        let Ok(node) = (unsafe { retired.try_take(CELL, node, true, |_| true) }) else { panic!("it is free") };
        // SAFETY: this thread alone has the node, which comes from `Node::new_raw`.
        drop(unsafe { Node::into_inner(node) });
        assert_eq!(there_are(&count), 0);
        assert!(retired.is_empty());
    }

    #[test]
    fn a_protected_node_is_dropped_after_the_clear() {
        let (retired, count) = (Retired::new(), Counted::default());
        let readers = [(); 4].map(|()| retire(&retired, &count, true));
        assert!(!retired.is_empty());
        for (number, reader) in [2, 0, 3, 1].into_iter().enumerate() {
            // SAFETY: `CELL` is the cell of the list.
            unsafe { retired.reclaim(CELL, |_| true) };
            assert_eq!(there_are(&count), 4 - number);
            readers[reader].slot().clear();
        }
        // SAFETY: `CELL` is the cell of the list.
        unsafe { retired.reclaim(CELL, |_| true) };
        assert_eq!(there_are(&count), 0);
        assert!(retired.is_empty());
    }

    #[test]
    fn a_reclaim_of_more_nodes_than_a_batch_keeps_the_protected_ones() {
        const COUNT: usize = 2 * BATCH + 3;
        let (retired, count) = (Retired::new(), Counted::default());
        let readers: Vec<_> = (0..COUNT).map(|_| retire(&retired, &count, true)).collect();
        let mut kept: Vec<usize> = (0..COUNT).collect();
        for step in [5, 2, 1] {
            readers.iter().step_by(step).for_each(|reader| reader.slot().clear());
            // SAFETY: `CELL` is the cell of the list.
            unsafe { retired.reclaim(CELL, |_| true) };
            kept.retain(|number| number % step != 0);
            assert_eq!(there_are(&count), kept.len(), "{step}");
        }
        assert!(retired.is_empty());
    }

    /// The allocator of the tests counts in builds with debug assertions.
    #[cfg(debug_assertions)]
    #[test]
    fn a_reclaim_allocates_nothing() {
        use crate::allocator_without_locks::allocations;

        let (retired, count) = (Retired::new(), Counted::default());
        let readers = [(); BATCH + 2].map(|()| retire(&retired, &count, true));
        for left in [BATCH + 2, BATCH + 1, 0] {
            // SAFETY: `CELL` is the cell of the list.
            assert_eq!(allocations(|| unsafe { retired.reclaim(CELL, |_| true) }), 0);
            assert_eq!(there_are(&count), left);
            readers.iter().take(if left > BATCH + 1 { 1 } else { BATCH + 2 }).for_each(|reader| reader.slot().clear());
        }
        assert!(retired.is_empty());
    }

    #[test]
    fn a_destructor_may_reclaim_nodes_of_the_same_list() {
        /// Clears the hazard of the next value, and reclaims that value.
        struct Clears<'list> {
            list: &'list Retired<Self>,
            next: Option<SlotGuard>,
            dropped: &'list Cell<usize>,
        }
        impl Drop for Clears<'_> {
            fn drop(&mut self) {
                self.next.take().inspect(|next| next.slot().clear());
                // SAFETY: `CELL` is the cell of the list.
                unsafe { self.list.reclaim(CELL, |_| true) };
                self.dropped.set(self.dropped.get() + 1);
            }
        }
        let (list, dropped) = (Retired::new(), Cell::new(0));
        let mut next = None;
        for _ in 0..3 {
            let node = Node::new_raw(Clears { list: &list, next, dropped: &dropped });
            let taken = hazard::second_slot();
            taken.slot().protect(Fence::SeqCst, CELL, node.as_ptr().cast());
            // SAFETY: the node is in no cell, and no reader uses the value.
            assert!(unsafe { list.try_take(CELL, node, true, |_| true) }.is_err());
            next = Some(taken);
        }
        next.inspect(|next| next.slot().clear());
        // SAFETY: `CELL` is the cell of the list.
        unsafe { list.reclaim(CELL, |_| true) };
        assert_eq!(dropped.get(), 3);
        assert!(list.is_empty());
    }

    #[test]
    fn a_hazard_cleared_before_the_push_leaves_the_drop_to_the_writer() {
        let (retired, count) = (Retired::new(), Counted::default());
        let (node, taken) = protected(&count);
        // SAFETY: the node is in no cell, and no reader uses the value.
        let retiring = unsafe { retired.try_take(CELL, node, true, |_| true) };
        taken.slot().clear();
        assert_eq!(there_are(&count), 1);
        match retiring {
            Ok(_) => panic!("it was protected"),
            Err(retiring) => drop(retiring),
        }
        assert_eq!(there_are(&count), 0);
    }

    #[test]
    fn the_unseen_bit_stays_with_its_node() {
        let (mut retired, count) = (Retired::new(), Counted::default());
        let readers = [false, true, true, false, true, true].map(|is_seen| retire(&retired, &count, is_seen));
        // SAFETY: `CELL` is the cell of the list.
        unsafe { retired.reclaim(CELL, |_| true) };
        assert_eq!(there_are(&count), 6);
        let kept: Vec<_> = retired.take_all().collect();
        assert_eq!(kept.iter().filter(|(_, is_seen)| *is_seen).count(), 4);
        // SAFETY: by E1 the nodes belong to this thread since `take_all`.
        unsafe { retired.push(CELL, &kept) };
        for reader in &readers {
            reader.slot().clear();
        }
        // SAFETY: `CELL` is the cell of the list.
        unsafe { retired.reclaim(CELL, |_| true) };
        assert_eq!(there_are(&count), 2, "those whose readers are never seen");
        let mut panics = Panics::none();
        // SAFETY: no reader is left.
        unsafe { retired.destroy(&"a value", &mut panics) };
        panics.raise();
        assert_eq!(there_are(&count), 0);
    }
}
