//! The values of an [`UpdateId`](super::UpdateId): readers look up and clone a value while writers replace and detach.
//!
//! In: a value, for an object. Out: clones of the newest value. Neighbours: `table.rs`, the map from objects to nodes;
//! `readers/`, the hazard slots; `readers/retired.rs`, the drop of a value that a writer found announced;
//! `cell/get_or_update.rs`, the same protocol for a field of a host that outlives its reads.
//!
//! # Reader's path
//!
//! Look the object up; announce the node in a hazard slot; look the object up again. If both lookups return the same
//! node, the node is not freed while the announcement stands. If the node belongs to the object, clone the value.
//! Otherwise start again with the second lookup's node. Withdraw the announcement. If the retired list is not empty,
//! and the table no longer has the node, search the list.
//!
//! # Writer's path
//!
//! Under the shard's lock, remove or replace the node; pass a fence; scan the hazard slots. Without a hazard on the
//! node, the writer owns the node. With a hazard, the writer clones the value and retires the node, and the last reader
//! drops the node. Writers wait for no reader.
//!
//! # Why a node is not freed under a reader
//!
//! The caller promises nothing about readers here, so T5 of `side_table/shard.rs` does not hold. A lookup may return a
//! node that was removed, and perhaps freed, or the node of another object, which got the slot between the loads of key
//! and value. The reader does not dereference the pointer before the second lookup, so the stale pointer is harmless.
//!
//! - **J2** A reader announces a node, passes a fence, and looks the object up again. If this lookup returns the node,
//!   the node is not freed before the withdrawal.
//!
//! For each node that a writer W removes or replaces, W stores to the table, passes a fence, and loads the hazard
//! slots. A reader R stores to its slot, passes a fence, and loads from the table. In the order of `SeqCst` fences,
//! either R's fence comes first: then W sees the hazard, and the node stays. Or W's fence comes first: then each load
//! of R's lookup sees W's store, or a later store, and the lookup does not return the node:
//!
//! - If a growth replaced the slot's array before W, R loads the newer array.
//! - If W stored [`NOBODY`](crate::side_table::NOBODY) as the slot's key, R's first load of the slot's key returns
//!   `NOBODY` or a later key. By `Acquire` of a later key, R sees the value stored with this key, or a later value.
//! - If W replaced the slot's value, R loads a later value.
//!
//! A node of the second lookup may be a new node at the same address (ABA). The announcement then protects the new
//! node. The reader uses the pointer of the second lookup, since the first pointer may have the provenance of a freed
//! node. The node may also belong to another object, if the slot had a node of this address at both lookups. So a node
//! stores its object's address, which the reader compares.
//!
//! A lookup never misses a key that stays in the table during the lookup: for such a key T5 holds.
//!
//! # The drop of an announced value
//!
//! The argument is in `readers/retired.rs`, where all readers of a table are readers of one cell. By E3 a reader must
//! search the list if its node may be in the list. After the withdrawal, the reader loads the head of the list, in the
//! order that `readers/retired.rs` requires. If the node is in the list, this load acquires the push of the node. The
//! change of the table happens before the push, so the following lookup does not return the node. If the lookup returns
//! the node, the node is not in the list, and the reader leaves the list to other threads. A reader that announced
//! other nodes before, perhaps of other objects, always searches the list.
//!
//! The list holds nodes of all objects of the kind. So a thread that takes the list may drop values of other objects,
//! and discards their panics (R5).

#[cfg(loom)]
pub mod modelled;

use std::ptr::NonNull;

use crate::raw::kind::{Known, Values};
use crate::raw::table::Table;
use crate::readers::node::Node;
use crate::readers::retired::{Retired, Retiring};
use crate::readers::{self, Slot};
use crate::sync::{Ordering, fence};

/// The values of one kind.
pub(super) struct Newest<V> {
    table: Table<Node<Kept<V>>>,
    retired: Retired<Kept<V>>,
}

/// The content of a node.
struct Kept<V> {
    object: usize,
    value: V,
}

/// A read in progress: a node that this thread has announced.
struct Reading<'values, V> {
    values: &'values Newest<V>,
    slot: &'static Slot,
    object: usize,
    node: NonNull<Node<Kept<V>>>,
    /// Whether this read announced an earlier node, which a writer may have retired because of that hazard.
    has_moved_on: bool,
}

/// The result of [`Newest::reclaim`].
type Reclaimed<'values, V, F> = Result<NonNull<Node<Kept<V>>>, Retiring<'values, Kept<V>, F>>;

impl<V: Clone + 'static> Known<Newest<V>> {
    /// Attaches or replaces the value of `object`, and returns the previous value, or a clone if a reader is cloning
    /// the previous value.
    pub(super) fn update(&self, object: usize, value: V) -> Option<V> {
        let node = Node::make(Kept { object, value });
        let table = &self.values.table;
        let previous = table.replace(object, node).or_else(|| table.put(self.kind, object, node));
        // Counted before user code, which may panic, clones or drops the previous value.
        match previous {
            Some(_) => self.kind.field.counts().updated(),
            None => self.kind.field.attached(),
        }
        // SAFETY: this call removed the node from the table, so by F1 this thread owns the node.
        previous.map(|node| unsafe { self.values.hand_over(object, node) })
    }

    /// Detaches the field of `object`, and returns the value, or a clone if a reader is cloning the value.
    pub(super) fn detach(&self, object: usize) -> Option<V> {
        let node = self.values.table.take(self.kind, object)?;
        // SAFETY: this call removed the node from the table, so by F1 this thread owns the node.
        Some(unsafe { self.values.hand_over(object, node) })
    }

    pub(super) fn detach_all(&self, each: impl FnMut(*const (), V)) -> usize {
        self.values.table.end_each(self.kind, |object| self.detach(object), each)
    }
}

impl<V> Newest<V> {
    /// A clone of the newest value of `object`.
    pub(super) fn get(&self, object: usize) -> Option<V>
    where
        V: Clone,
    {
        let first = self.table.find(object)?;
        let taken = readers::any();
        let reading = self.read(object, first, taken.slot())?;
        let clone = reading.value().clone();
        // The clone is still a local here, and unwinding drops it if a destructor panics. A return value would leak.
        drop(reading);
        Some(clone)
    }

    /// Announces the newest node of `object`; `node` is the result of a first lookup.
    #[inline]
    fn read(&self, object: usize, node: NonNull<Node<Kept<V>>>, slot: &'static Slot) -> Option<Reading<'_, V>> {
        let mut reading = Reading { values: self, slot, object, node, has_moved_on: false };
        while !reading.announce() {
            reading.has_moved_on = true;
            reading.node = self.table.find(object)?;
        }
        Some(reading)
    }

    /// Returns the value of a removed node; or, if a reader has announced the node, clones the value and retires the
    /// node.
    ///
    /// # Safety
    ///
    /// The caller has removed `node` from this table, and gives up the ownership.
    unsafe fn hand_over(&self, object: usize, node: NonNull<Node<Kept<V>>>) -> V
    where
        V: Clone,
    {
        // SAFETY: the caller has removed the node from this table, and gives up the ownership.
        match unsafe { self.reclaim(object, node) } {
            // SAFETY: `reclaim` returned the node, so this thread owns the node and no reader has it.
            Ok(node) => unsafe { Node::unmake(node) }.value,
            Err(retiring) => retiring.leave(|kept| kept.value.clone()),
        }
    }

    /// Returns a removed node if no reader has announced the node, else a guard that retires the node. A panic of a
    /// destructor that the guard runs is the caller's own if the value belongs to `object`.
    ///
    /// # Safety
    ///
    /// The caller has removed `node` from this table, and gives up the ownership.
    unsafe fn reclaim(
        &self,
        object: usize,
        node: NonNull<Node<Kept<V>>>,
    ) -> Reclaimed<'_, V, impl Fn(&Kept<V>) -> bool> {
        let is_own = move |kept: &Kept<V>| kept.object == object;
        fence(Ordering::SeqCst);
        // SAFETY: the caller owns the removed node. By J2, a reader that uses the node announced it before the fence,
        // so the scan finds the hazard.
        unsafe { self.retired.reclaim(self.address(), node, true, is_own) }
    }

    /// The address that hazards give as the cell.
    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl<V: Send + Sync + 'static> Values for Newest<V> {
    fn none() -> Self {
        Self { table: Table::new(), retired: Retired::new() }
    }

    fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.table.remove(object).map(NonNull::cast)
    }

    unsafe fn end(&'static self, object: usize, taken: NonNull<()>) {
        // SAFETY: the caller promises that `take` removed `taken` from this table for this object, and that `end` is
        // called once. So by F1 `taken` is a node of this type, and the caller owns the node.
        match unsafe { self.reclaim(object, taken.cast()) } {
            // SAFETY: `reclaim` returned the node, so this thread owns the node and no reader has it.
            Ok(node) => unsafe { Node::end(node) },
            Err(retiring) => drop(retiring),
        }
    }
}

impl<V> Reading<'_, V> {
    /// Announces the node, and returns whether the table still has the node for the object.
    #[inline]
    fn announce(&mut self) -> bool {
        self.slot.announce_by_fence(self.values.address(), self.node.as_ptr().cast());
        let Some(again) = self.values.table.find(self.object) else { return false };
        if again != self.node {
            return false;
        }
        // ABA: the address is equal, but the node may be a new one. Then the first pointer has a freed node's
        // provenance.
        self.node = again;
        self.kept().object == self.object
    }

    #[inline]
    fn is_there(&self) -> bool {
        self.values.table.find(self.object) == Some(self.node)
    }

    #[inline]
    fn kept(&self) -> &Kept<V> {
        // SAFETY: this thread has announced the node, and the lookup after that returned this pointer, so by J2 the
        // node is live.
        unsafe { self.node.as_ref() }.value()
    }

    #[inline]
    fn value(&self) -> &V {
        &self.kept().value
    }
}

impl<V> Drop for Reading<'_, V> {
    #[inline]
    fn drop(&mut self) {
        self.slot.withdraw();
        let Self { values, object, .. } = *self;
        if !values.retired.is_empty() && (self.has_moved_on || !self.is_there()) {
            values.retired.collect(values.address(), |kept| kept.object == object);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, Location, catch_unwind};
    use std::sync::Arc;

    use super::*;
    use crate::policy::Policy;
    use crate::raw::kind::{self, Wanted};
    use crate::readers::Taken;

    fn values<V: Send + Sync + 'static>(number: u64) -> Known<Newest<V>> {
        let wanted = Wanted::new::<V>(Policy::GetOrUpdate, Location::caller());
        kind::name(number, wanted).expect("each test has a number of its own")
    }

    fn reading<V>(values: &'static Newest<V>, object: usize, taken: &Taken) -> Reading<'static, V> {
        let node = values.table.find(object).expect("it is attached");
        values.read(object, node, taken.slot()).expect("it stays")
    }

    /// A slow reader finds a node that was removed meanwhile, or that belongs to another object by now.
    #[test]
    fn a_node_is_only_looked_at_if_it_is_there_and_its_value_only_if_it_is_of_this_object() {
        let Known { values, .. } = values::<u8>(1);
        let taken = readers::take();
        let is_found = |node| Reading { values, slot: taken.slot(), object: 1, node, has_moved_on: false }.announce();
        let [own, other] = [1, 2].map(|object| Node::make(Kept { object, value: 0 }));
        assert!(!is_found(own), "it may be gone");
        values.table.insert(1, own);
        assert!(is_found(own));
        assert_eq!(values.table.replace(1, other), Some(own));
        assert!(!is_found(other), "it is another's");
        assert_eq!(values.table.remove(1), Some(other));
        for node in [own, other] {
            // SAFETY: no table has the node, and no reader uses it.
            unsafe { Node::end(node) };
        }
    }

    /// A thread makes a node in the memory of the node that it unmade last. Only Miri tells the two pointers apart.
    #[test]
    fn a_node_in_the_memory_of_the_one_before_is_read_by_its_own_pointer() {
        let known = values::<u64>(4);
        let values = known.values;
        known.update(1, 10);
        let late = values.table.find(1).expect("it is attached");
        known.update(1, 11);
        known.update(1, 12);
        assert_eq!(values.table.find(1), Some(late), "the memory is used again");
        let taken = readers::take();
        let reading = values.read(1, late, taken.slot()).expect("it is attached");
        assert_eq!(*reading.value(), 12);
        drop(reading);
        assert_eq!(known.detach(1), Some(12));
    }

    #[test]
    fn a_reader_whose_node_stays_leaves_the_list_to_those_who_are_waited_for() {
        let known = values::<Arc<()>>(2);
        let values = known.values;
        let (count, taken) = (Arc::new(()), readers::take());
        assert!(known.update(1, Arc::clone(&count)).is_none());
        let slow = reading(values, 1, &taken);
        assert!(known.update(1, Arc::new(())).is_some());
        // The slow reader is about to search the list.
        slow.slot.withdraw();
        assert!(values.get(1).is_some());
        assert_eq!(Arc::strong_count(&count), 2);
        assert!(!values.retired.is_empty());
        drop(slow);
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(values.retired.is_empty());
        assert!(known.detach(1).is_some());
    }

    /// The first reader withdraws just before the writer retires its node. The second reader has withdrawn, and is
    /// about to search the list. So the thread that takes the first node out drops both nodes, of which one panics.
    #[test]
    fn who_takes_a_value_out_gets_its_panics_and_no_others() {
        /// Panics on drop, if the flag is set.
        #[derive(Clone)]
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0, "boom of a Bomb");
            }
        }
        let known = values::<Bomb>(3);
        let values = known.values;
        for (own, other) in [(true, false), (false, true)] {
            assert!(known.update(1, Bomb(own)).is_none() && known.update(2, Bomb(other)).is_none());
            let taken = [readers::take(), readers::take()];
            let [first, second] = [reading(values, 1, &taken[0]), reading(values, 2, &taken[1])];
            let taken_out = known.kind.take(2).expect("it is there");
            // SAFETY: the line above has just taken the value out for this object.
            unsafe { known.kind.end(2, taken_out) };
            second.slot.withdraw();
            let node = values.table.take(known.kind, 1).expect("it is there");
            // SAFETY: the line above removed the node from the table.
            let Err(retiring) = (unsafe { values.reclaim(1, node) }) else { panic!("it is announced") };
            first.slot.withdraw();
            assert!(!values.retired.is_empty());
            let panics = || assert_eq!(catch_unwind(AssertUnwindSafe(|| drop(retiring))).is_err(), own);
            #[cfg(feature = "log")]
            {
                let logged = crate::panics::tests::logs("boom of a Bomb", panics);
                assert!(logged.len() == usize::from(other), "{logged:?}");
                assert!(logged.iter().all(|line| line.contains("Bomb") && line.contains("of another object")));
            }
            #[cfg(not(feature = "log"))]
            panics();
            assert!(values.retired.is_empty(), "both are dropped");
        }
    }
}
