//! The drop of a value that a reader had announced when a writer replaced the value.
//!
//! In: nodes that a writer has replaced. Out: the value of a node without a hazard. A node with a hazard is dropped by
//! its last reader, or by the writer if this reader withdraws in the meantime. Neighbours: `node.rs`, one node;
//! `cell/get_or_update.rs` and `raw/newest.rs`, which argue the visibility of hazards. In this file, a table of
//! `raw/newest.rs` is a cell, too.
//!
//! A writer that finds a hazard for its node clones the value, pushes the node to the cell's list of retired nodes, and
//! scans the slots again. A reader that finds its node replaced, after the withdrawal, takes the list, reclaims the
//! nodes without a hazard, and pushes the rest again.
//!
//! - **E1** A retired node was replaced, and belongs to the list alone. A thread that takes the list takes the whole
//!   list.
//! - **E2** No reader announces a retired node anew and keeps the node. So after a scan without a hazard for the node,
//!   no reader uses the node.
//! - **E3** A thread that leaves a node in the list has pushed the node, and has seen a hazard for the node afterwards.
//!   So the reader with this hazard has yet to withdraw, and will load the list.
//!
//! E3 is a store-load (Dekker) race: a writer pushes, and then scans the slots; a reader withdraws, and then loads the
//! word and the list. Every read withdraws, but a push is rare. So a reader has no fence there, and a push pays with a
//! process-wide barrier (`barrier.rs`, about a microsecond). If a reader withdraws before the barrier, the scan sees
//! the withdrawal. If a reader withdraws after the barrier, the reader's loads also come after the barrier, and see the
//! list. On a system without the barrier, the four accesses are `SeqCst`. So a retired node stays as long as a reader
//! uses the node, and no longer, with or without a later update. And the list has at most as many nodes as there are
//! such readers.
//!
//! *Limits*: the barrier may cease to be available, if a sandbox is closed after the first use. Then no scan proves
//! that a node is unused if the node was replaced in a cold cell. Such a node stays in the list until the end of the
//! cell; the low bit of the node's link says so. A cell has at most one such node, since no cell becomes cold any more
//! (a thread inside of `cool` at that moment may add one). And the last reader of a node may miss a push at that
//! moment; then the node stays until the next thread takes the list.

use std::any::type_name;
use std::fmt::Display;
use std::hint;
use std::ptr::{self, NonNull};

use crate::panics::Panics;
use crate::readers::node::Node;
use crate::readers::{self, Unshown, barrier};
use crate::sync::{AtomicPtr, Ordering, const_fn, full_fence};

/// The spin of a writer before the second scan, in steps: about three microseconds, more on processors with a slow
/// step. The clone of a small value takes less time. During the rest of the spin, the reader keeps its cache lines, and
/// gets on. With an eighth of this spin, two threads that read and write the same field take nearly twice as long.
const PATIENCE: usize = 512;

/// The list of retired nodes: a stack of nodes that were replaced while a reader had announced the node.
pub(crate) struct Retired<V> {
    first: AtomicPtr<Node<V>>,
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
        // SeqCst: after the withdrawal; pairs with the CAS of `put` (E3). No node is used by this load: `take` acquires
        // the nodes.
        self.first.load(Ordering::SeqCst).is_null()
    }

    /// Returns `node` once the caller alone has the node. While a reader has announced the node, returns an error,
    /// which retires the node on drop. `cell` is the cell of this list; `is_own` is as in [`collect`](Self::collect).
    ///
    /// # Safety
    ///
    /// `node` was replaced in `cell`, and the caller may retire the node. If `is_seen`, scans from now on see the
    /// hazard of every reader that uses the node, now or later.
    pub(crate) unsafe fn reclaim<F: Fn(&V) -> bool>(
        &self,
        cell: usize,
        node: NonNull<Node<V>>,
        is_seen: bool,
        is_own: F,
    ) -> Result<NonNull<Node<V>>, Retiring<'_, V, F>> {
        let is_free = || !is_announced(cell, node);
        // Under loom, the second scan would only repeat the first scan.
        if is_seen && (is_free() || (!cfg!(loom) && wait_and(is_free))) {
            // By O5 of `cell/get_or_update.rs`, or J2 of `raw/newest.rs`, no reader uses the node.
            return Ok(node);
        }
        Err(Retiring { retired: self, cell, node, is_seen, is_own })
    }

    /// Pushes nodes to the list. Returns whether one of the nodes can be reclaimed now (E3).
    ///
    /// # Safety
    ///
    /// The nodes are retired nodes of the caller, by E1: replaced in `cell`, and in no list.
    unsafe fn put(&self, cell: usize, nodes: &[(NonNull<Node<V>>, bool)]) -> bool {
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
                // SAFETY: the caller guarantees that the node is in no list, so the node is live until the CAS below.
                unsafe { node.as_ref() }.set_link(first, is_seen);
                // SeqCst: before the scan; pairs with the loads of the list by readers (E3). By that a Release of the
                // node and the link, for the Acquire of `take`.
                match self.first.compare_exchange(first, node.as_ptr(), Ordering::SeqCst, Ordering::Relaxed) {
                    Ok(_) => break,
                    Err(newer) => first = newer,
                }
            }
        }
        if barrier::is_available() {
            // Pairs with `barrier::light` of `Slot::withdraw` (E3). For a failure see *Limits* in the header.
            let _ = barrier::heavy();
        }
        full_fence();
        // No access to the nodes from here on, but by address: another thread may have reclaimed the nodes.
        nodes.iter().any(|&(node, is_seen)| is_seen && !is_announced(cell, node))
    }

    /// Reclaims the retired nodes without a hazard.
    ///
    /// # Panics
    ///
    /// If destructors of the caller's own values do: the first panic is raised again after the last destructor has run.
    /// Panics of destructors of foreign values are discarded (R5).
    #[cold]
    pub(crate) fn collect(&self, cell: usize, is_own: impl Fn(&V) -> bool) {
        if self.is_empty() {
            return;
        }
        let (mut own, mut others) = (Panics::none(), Panics::of("of another object"));
        let whose = &format_args!("a replaced value of type `{}`", type_name::<V>());
        loop {
            let (kept, gone): (Vec<_>, Vec<_>) =
                self.take().partition(|(node, is_seen)| !is_seen || is_announced(cell, *node));
            // SAFETY: by E1 `take` has moved the nodes from the list to this thread.
            let again = unsafe { self.put(cell, &kept) };
            for (node, _) in gone {
                // SAFETY: by E1 this thread alone has the node, which comes from `take`. By E2 no reader uses the node.
                let is_own = is_own(unsafe { node.as_ref() }.value());
                let panics = if is_own { &mut own } else { &mut others };
                // SAFETY: by E1 and E2 this thread alone has the node, and `Node::make` has made every node of a list.
                panics.contain(whose, || unsafe { Node::end(node) });
            }
            if !again {
                break;
            }
        }
        others.discard();
        own.raise();
    }

    /// Takes the whole list. The nodes then belong to the caller.
    fn take(&self) -> impl Iterator<Item = (NonNull<Node<V>>, bool)> {
        // SeqCst: as in `is_empty`. By that an Acquire of the nodes and links: pairs with the Release of `put`.
        let mut next = self.first.swap(ptr::null_mut(), Ordering::SeqCst);
        std::iter::from_fn(move || {
            let node = NonNull::new(next)?;
            // SAFETY: by E1 the node is live and belongs to this thread since the swap.
            let (following, is_seen) = unsafe { node.as_ref() }.link();
            next = following;
            Some((node, is_seen))
        })
    }

    /// Drops all nodes of a cell that the caller alone has, so that no reader uses the nodes.
    pub(crate) fn end(&mut self, whose: &dyn Display, panics: &mut Panics) {
        for (node, _) in self.take() {
            // SAFETY: by E1 this thread alone has the node, which comes from `Node::make`. A reader would borrow the
            // cell, which is borrowed by `&mut`.
            panics.contain(whose, || unsafe { Node::end(node) });
        }
    }
}

/// Spins for [`PATIENCE`] steps, and then runs `is_free`.
#[cold]
fn wait_and(is_free: impl Fn() -> bool) -> bool {
    (0..PATIENCE).for_each(|_| hint::spin_loop());
    is_free()
}

fn is_announced<V>(cell: usize, node: NonNull<Node<V>>) -> bool {
    readers::is_announced(cell, node.as_ptr().cast())
}

impl<V, F: Fn(&V) -> bool> Retiring<'_, V, F> {
    /// Calls `look` with the value, and then retires the node, also during unwinding.
    pub(crate) fn leave<R>(self, look: impl FnOnce(&V) -> R) -> R {
        let unshown = Unshown::begin();
        // SAFETY: `reclaim` has left the node to this `Retiring`, so the node is live until the drop below.
        let seen = look(unsafe { self.node.as_ref() }.value());
        drop(unshown);
        // The drop may run destructors, which may panic, so the result is still a local variable.
        drop(self);
        seen
    }
}

impl<V, F: Fn(&V) -> bool> Drop for Retiring<'_, V, F> {
    fn drop(&mut self) {
        // SAFETY: the caller of `reclaim` has guaranteed that the node was replaced and may be retired. The node is in
        // no list.
        if unsafe { self.retired.put(self.cell, &[(self.node, self.is_seen)]) } {
            self.retired.collect(self.cell, &self.is_own);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::readers::Taken;

    const CELL: usize = 8;

    /// A value with a counter of the values that are alive.
    type Counted = Arc<()>;

    fn there_are(count: &Counted) -> usize {
        Arc::strong_count(count) - 1
    }

    fn announced(count: &Counted) -> (NonNull<Node<Counted>>, Taken) {
        let node = Node::make(Arc::clone(count));
        let taken = readers::take();
        taken.slot().announce(CELL, node.as_ptr().cast());
        (node, taken)
    }

    /// Retires a node with a hazard, and returns the reader.
    fn retire(retired: &Retired<Counted>, count: &Counted, is_seen: bool) -> Taken {
        let (node, taken) = announced(count);
        // SAFETY: the node is in no cell, and no reader uses the value.
        match unsafe { retired.reclaim(CELL, node, is_seen, |_| true) } {
            Ok(_) => panic!("it is announced"),
            Err(retiring) => retiring.leave(|value| assert!(Arc::ptr_eq(value, count))),
        }
        taken
    }

    #[test]
    fn what_nobody_has_announced_is_given_back_at_once() {
        let (retired, count) = (Retired::new(), Counted::default());
        let node = Node::make(Arc::clone(&count));
        // SAFETY: the node is in no cell.
        let Ok(node) = (unsafe { retired.reclaim(CELL, node, true, |_| true) }) else { panic!("it is free") };
        // SAFETY: this thread alone has the node, which comes from `Node::make`.
        drop(unsafe { Node::unmake(node) });
        assert_eq!(there_are(&count), 0);
        assert!(retired.is_empty());
    }

    #[test]
    fn what_is_announced_is_dropped_when_that_is_withdrawn() {
        let (retired, count) = (Retired::new(), Counted::default());
        let readers = [(); 4].map(|()| retire(&retired, &count, true));
        assert!(!retired.is_empty());
        for (number, reader) in [2, 0, 3, 1].into_iter().enumerate() {
            retired.collect(CELL, |_| true);
            assert_eq!(there_are(&count), 4 - number);
            readers[reader].slot().withdraw();
        }
        retired.collect(CELL, |_| true);
        assert_eq!(there_are(&count), 0);
        assert!(retired.is_empty());
    }

    #[test]
    fn what_is_withdrawn_before_it_is_in_the_list_is_dropped_by_who_puts_it_there() {
        let (retired, count) = (Retired::new(), Counted::default());
        let (node, taken) = announced(&count);
        // SAFETY: the node is in no cell, and no reader uses the value.
        let retiring = unsafe { retired.reclaim(CELL, node, true, |_| true) };
        taken.slot().withdraw();
        assert_eq!(there_are(&count), 1);
        match retiring {
            Ok(_) => panic!("it was announced"),
            Err(retiring) => drop(retiring),
        }
        assert_eq!(there_are(&count), 0);
    }

    #[test]
    fn whether_the_readers_of_a_node_are_seen_stays_with_it() {
        let (mut retired, count) = (Retired::new(), Counted::default());
        let readers = [false, true, true, false, true, true].map(|is_seen| retire(&retired, &count, is_seen));
        retired.collect(CELL, |_| true);
        assert_eq!(there_are(&count), 6);
        let kept: Vec<_> = retired.take().collect();
        assert_eq!(kept.iter().filter(|(_, is_seen)| *is_seen).count(), 4);
        // SAFETY: by E1 the nodes belong to this thread since `take`.
        unsafe { retired.put(CELL, &kept) };
        for reader in &readers {
            reader.slot().withdraw();
        }
        retired.collect(CELL, |_| true);
        assert_eq!(there_are(&count), 2, "those whose readers are never seen");
        let mut panics = Panics::none();
        retired.end(&"a value", &mut panics);
        panics.raise();
        assert_eq!(there_are(&count), 0);
    }
}
