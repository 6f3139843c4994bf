//! The pointer of a `get_or_update` cell to its newest node, with a bias towards writers or towards readers.
//!
//! In: nodes. Out: a node that a reader has protected, or a node that a writer has replaced. Neighbours:
//! `get_or_update.rs`, the cell; `hazard/guard.rs`, the protocol of a read; `hazard/barrier.rs`, the process-wide
//! barrier.
//!
//! # Why a node is not freed under a reader
//!
//! Hazard and exchange are a store-load (Dekker) race: a reader stores its slot and then loads the pointer; a writer
//! stores the pointer and then loads the slots. Either the reader must see the exchange, and try again, or the writer
//! must see the hazard. A store-load fence on both sides ensures this, but costs a reader as much as the rest of the
//! read. So the pointer selects one of two ways:
//!
//! - A *write-biased* cell was updated recently. Readers and writers have their fences: the four accesses are `SeqCst`,
//!   and the order of `SeqCst` operations is total.
//! - A *read-biased* cell was read often since the last update. Readers have no fence. A writer that replaces a
//!   read-biased pointer issues a process-wide barrier after the exchange (about a microsecond). If a reader protects
//!   the node before the barrier, the writer sees the hazard. If a reader protects the node after the barrier, the
//!   reader's second load also comes after the barrier, and sees the exchange.
//!
//! The low bits of the pointer are the *write bias*. An update sets the bias to [`FULL`]. Every [`DUE`]-th read of a
//! write-biased cell by a slot subtracts one. The cell with bias 0 is read-biased. So the cost of a barrier is
//! amortised over more than a hundred reads. Only an update makes a cell write-biased. On a system without the barrier,
//! no cell becomes read-biased.
//!
//! A cell whose value was taken is *vacated*: the pointer has a write bias and no node. To a reader, a writer and a
//! closure, a vacated cell is a cell without a value. The pointer of a shared cell never becomes null again, so a
//! reader that knows of an earlier value omits the comparison with null. Such a reader meets a vacated cell as a
//! write-biased cell, and compares before the store of the hazard. So a take costs a read of a read-biased cell
//! nothing. A take stores the pointer of a vacated cell by the exchange of an update, and then scans as an update does:
//! each reader of the taken node either finds the cell vacated, or has a hazard that the scan sees.
//!
//! A reader without a fence must find the pointer unchanged, *bias included*: if the same address is back with a write
//! bias, the writer that replaces this pointer omits the barrier and could miss the hazard. A reader with a fence may
//! find less bias: the barrier of a writer only adds order.
//!
//! # Orderings
//!
//! - **O3** Every exchange that stores a node is a `Release`. An exchange that lowers the bias continues the release
//!   sequence. Every load of a pointer that is dereferenced is an `Acquire`. So the initialisation of a node happens
//!   before its use. If the cell is filled before the publication of the field set, the `Release` that publishes the
//!   field set also publishes the node.
//! - **O4** The clear of a hazard is a `Release`, and the load of a writer's scan is an `Acquire`. So a reader's use of
//!   the value happens before the drop of the value.
//! - **O5** The argument above orders a reader's hazard before the reader's second load, and a writer's exchange before
//!   the writer's scan. So the scan sees the hazard of each reader of the replaced node, or the reader does not use the
//!   node. `hazard/retired.rs` orders the clear of a hazard before the reader's last load of the pointer.
#![forbid(unsafe_code)]

use std::ptr::{self, NonNull};

use crate::hazard::node::Node;
use crate::hazard::{Fence, HazardSlot, barrier};
use crate::sync::{AtomicPtr, Ordering, const_fn, full_fence};

/// Null, or [`vacated`], or a pointer to a node, with the bias in the low bits.
pub(super) struct BiasedPtr<V>(AtomicPtr<Node<V>>);

/// A node that this thread has replaced.
pub(super) struct Replaced<V> {
    pub(super) node: NonNull<Node<V>>,
    is_write_biased: bool,
}

/// The bias after an update, and the number of reads by a slot that lower the bias by one.
const FULL: usize = if cfg!(loom) { 1 } else { 7 };
const DUE: u32 = if cfg!(loom) { 1 } else { 16 };

/// The bits of the bias. A node is aligned to 8 bytes, so these bits of its address are 0.
const BIAS: usize = 7;

#[inline]
fn node_of<V>(pointer: *mut Node<V>) -> *mut Node<V> {
    pointer.map_addr(|address| address & !BIAS)
}

#[inline]
fn bias_of<V>(pointer: *mut Node<V>) -> usize {
    pointer.addr() & BIAS
}

/// The pointer of a cell whose value was taken: the full bias, without a node.
fn vacated<V>() -> *mut Node<V> {
    ptr::without_provenance_mut(FULL)
}

fn write_biased<V>(node: NonNull<Node<V>>) -> *mut Node<V> {
    node.as_ptr().map_addr(|address| address | FULL)
}

impl<V> BiasedPtr<V> {
    const_fn! {
        pub(super) const fn null() -> Self {
            Self(AtomicPtr::new(ptr::null_mut()))
        }
    }

    /// The cell's identity in hazards.
    #[inline]
    pub(super) fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }

    /// Loads the pointer, to be protected and compared, and not to be dereferenced.
    #[inline]
    pub(super) fn load(&self) -> *mut Node<V> {
        // Relaxed: no access to memory depends on the result. A caller that has acquired a filled cell does not load
        // null here, by coherence.
        self.0.load(Ordering::Relaxed)
    }

    /// Whether the cell has a node.
    pub(super) fn has_node(&self) -> bool {
        !node_of(self.load()).is_null()
    }

    /// Protects the node of `loaded`, and loads the pointer again: see `Source::protect`.
    #[inline]
    pub(super) fn protect(&self, slot: &HazardSlot, loaded: *mut Node<V>) -> Result<*mut Node<V>, *mut Node<V>> {
        let node = node_of(loaded);
        let is_write_biased = bias_of(loaded) != 0;
        let again = if is_write_biased {
            if node.is_null() {
                // Vacated.
                return Err(node);
            }
            slot.protect(Fence::SeqCst, self.address(), node.cast());
            // SeqCst: O5. Pairs with the exchange of a writer; by that an Acquire: O3.
            self.0.load(Ordering::SeqCst)
        } else {
            slot.protect(Fence::Light, self.address(), node.cast());
            // Acquire: O3. Pairs with the exchange of a writer. `barrier::light` and the writer's `barrier::heavy`
            // order the hazard before this load: O5.
            self.0.load(Ordering::Acquire)
        };
        let found = node_of(again);
        if found != node || (!is_write_biased && bias_of(again) != 0) {
            return Err(again);
        }
        if is_write_biased && slot.is_due(DUE) {
            self.lower(again);
        }
        Ok(found)
    }

    /// Lowers the bias by one, if the pointer is still `pointer`. The node is protected.
    #[cold]
    fn lower(&self, pointer: *mut Node<V>) {
        if bias_of(pointer) != 0 && barrier::is_available() {
            let lower = pointer.map_addr(|address| address - 1);
            // Relaxed: as a read-modify-write, this exchange continues the release sequence of the exchange that stored
            // the node, if there was one (O3). O5 needs `SeqCst` only in the exchanges that store nodes. Such an
            // exchange E follows, in the total order of `SeqCst` operations, each `SeqCst` load of a pointer older than
            // the pointer of E, also if `lower` has stored the older pointer. On failure another thread has lowered the
            // bias, or has updated.
            let _ = self.0.compare_exchange(pointer, lower, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Whether the cell still has `node`, after the clear of a hazard.
    #[inline]
    pub(super) fn is_current(&self, node: *mut Node<V>) -> bool {
        // SeqCst: pairs with the exchange of a writer, and comes after the clear (O5; E3 of `hazard/retired.rs`).
        node_of(self.0.load(Ordering::SeqCst)) == node
    }

    /// Stores `next`, and returns the previous node.
    pub(super) fn swap(&self, next: NonNull<Node<V>>) -> Option<Replaced<V>> {
        // SeqCst: O5. Pairs with the second load of a reader. By that a Release of the node and an Acquire of the
        // previous node: O3.
        Replaced::of(self.0.swap(write_biased(next), Ordering::SeqCst))
    }

    /// Stores `next` if the cell has `expected`, a node that this thread protects, or null. Returns the previous node;
    /// or `next`, if the cell has another node.
    pub(super) fn exchange(
        &self,
        expected: *mut Node<V>,
        next: NonNull<Node<V>>,
    ) -> Result<Option<Replaced<V>>, NonNull<Node<V>>> {
        let mut found = self.load();
        // The bias may change meanwhile.
        while node_of(found) == expected {
            // SeqCst: O5. Pairs with the second load of a reader. By that a Release of the node: O3. Relaxed on
            // failure: the pointer is only compared.
            match self.0.compare_exchange(found, write_biased(next), Ordering::SeqCst, Ordering::Relaxed) {
                Ok(previous) => return Ok(Replaced::of(previous)),
                Err(newer) => found = newer,
            }
        }
        Err(next)
    }

    /// Vacates the cell, and returns the node, if there is one.
    pub(super) fn vacate(&self) -> Option<Replaced<V>> {
        // SeqCst, as in `swap`: O5, and by that an Acquire of the node: O3. A cell without a node stays as it is.
        self.has_node().then(|| Replaced::of(self.0.swap(vacated(), Ordering::SeqCst))).flatten()
    }

    /// The node, without a race.
    pub(super) fn get_mut(&mut self) -> Option<NonNull<Node<V>>> {
        NonNull::new(node_of(self.load()))
    }

    /// Stores a node in an empty cell, without a race.
    pub(super) fn set(&mut self, node: NonNull<Node<V>>) {
        // Relaxed, here and below: `self` is `&mut`, so no thread races.
        self.0.store(write_biased(node), Ordering::Relaxed);
    }

    /// Takes the node out, without a race.
    pub(super) fn take(&mut self) -> Option<NonNull<Node<V>>> {
        let node = self.get_mut()?;
        self.0.store(ptr::null_mut(), Ordering::Relaxed);
        Some(node)
    }
}

impl<V> Replaced<V> {
    fn of(pointer: *mut Node<V>) -> Option<Self> {
        NonNull::new(node_of(pointer)).map(|node| Self { node, is_write_biased: bias_of(pointer) != 0 })
    }

    /// Orders the exchange before a scan. Returns whether the scan sees the hazard of every reader of the node (O5):
    /// the barrier of a read-biased cell may fail. `SeqCst` suffices for a write-biased cell.
    pub(super) fn order_scan(&self) -> bool {
        let is_seen = self.is_write_biased || barrier::heavy();
        full_fence();
        is_seen
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android"), not(any(loom, miri))))]
mod tests {

    use super::*;
    use crate::cell::GetOrUpdate;
    use crate::policy::Policy;
    use crate::registry::Field;

    #[test]
    fn reads_lower_the_bias_and_an_update_restores_the_bias() {
        let field: &'static Field =
            Box::leak(Box::new(Field::new("app", "Host", "field", "String", Policy::GetOrUpdate, None)));
        let bias = |cell: &GetOrUpdate<String>| bias_of(cell.newest.load());
        let has_barrier = barrier::is_available();
        let mut cell = GetOrUpdate::new();
        let mut previous = None;
        for round in 0..3 {
            let value = round.to_string();
            assert_eq!(cell.update(field, value.clone()), previous);
            assert_eq!(bias(&cell), FULL);
            for step in 1..=FULL + 2 {
                for _ in 0..DUE {
                    assert_eq!(cell.get().as_ref(), Some(&value));
                }
                assert_eq!(bias(&cell), if has_barrier { FULL.saturating_sub(step) } else { FULL });
            }
            previous = Some(value);
        }
        let next = |last: Option<&String>| Ok::<_, ()>(format!("{}!", last.expect("there is one")));
        assert_eq!(cell.try_update_with(field, next), Ok(previous));
        assert_eq!(bias(&cell), FULL);
        assert!(cell.retired.is_empty(), "no other thread reads");
        assert_eq!(cell.take_back().as_deref(), Some("2!"));
    }
}
