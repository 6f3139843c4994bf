//! The values of an [`UpdateId`](super::UpdateId): readers look up and clone a value while writers replace and detach.
//!
//! In: a value, for an object. Out: clones of the newest value. Neighbours: `table.rs`, the map from objects to nodes;
//! `hazard/`, the hazard slots; `hazard/retired.rs`, the drop of a value that a writer found protected;
//! `cell/get_or_update.rs`, the same protocol for a field of a host that outlives its reads.
//!
//! # Reader's path
//!
//! Look the object up, and read under a hazard (`hazard/guard.rs`); the second load is a second lookup. The node also
//! has to belong to the object.
//!
//! # Writer's path
//!
//! Under the shard's lock, remove or replace the node; pass a fence; scan the hazard slots. Without a hazard on the
//! node, the writer owns the node. With a hazard, the writer clones the value and retires the node, and the last reader
//! drops the node. Writers wait for no reader.
//!
//! # Why a node is not freed under a reader
//!
//! The caller promises nothing about readers here, so T5 of `side_table/mod.rs` does not hold. A lookup may return a
//! node that was removed, and perhaps freed, or the node of another object, which got the slot between the loads of key
//! and value. The reader does not dereference the pointer before the second lookup, so the stale pointer is harmless.
//!
//! - **J2** A reader protects a node, passes a fence, and looks the object up again. If this lookup returns the node,
//!   the node is not freed before the clear.
//!
//! For each node that a writer W removes or replaces, W stores to the table, passes a fence, and loads the hazard
//! slots. A reader R stores to its slot, passes a fence, and loads from the table. In the order of `SeqCst` fences,
//! either R's fence comes first: then W sees the hazard, and the node stays. Or W's fence comes first: then each load
//! of R's lookup sees W's store, or a later store, and the lookup does not return the node:
//!
//! - If a growth replaced the slot's array before W, R loads the newer array.
//! - If W stored [`DELETED_KEY`](crate::side_table::DELETED_KEY) as the slot's key, R's first load of the slot's key
//!   returns `DELETED_KEY` or a later key. By `Acquire` of a later key, R sees the value stored with this key, or a
//!   later value.
//! - If W replaced the slot's value, R loads a later value.
//!
//! The node of the second lookup may belong to another object, if the slot had a node of this address at both lookups.
//! So a node stores its object's address, which the reader compares.
//!
//! A lookup finds each key that is in the table during the whole lookup: for such a key T5 holds.
//!
//! # The drop of a protected value
//!
//! The argument is in `hazard/retired.rs`, where all readers of a table are readers of one cell. By E3 a reader must
//! search the list if its node may be in the list. After the clear, the reader loads the head of the list, in the
//! order that `hazard/retired.rs` requires. If the node is in the list, this load acquires the push of the node. The
//! change of the table happens before the push, so the following lookup does not return the node. If the lookup returns
//! the node, the node is not in the list, and the reader leaves the list to other threads. A reader that protected
//! other nodes before, perhaps of other objects, always searches the list.
//!
//! The list holds nodes of all objects. So a thread that takes the list may drop values of other objects,
//! and discards their panics (R5).

#[cfg(all(test, loom))]
#[path = "../loom_tests/update_table.rs"]
mod loom_tests;

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::{self, NonNull};

use crate::fallible::OutOfMemory;
use crate::hazard::guard::{Guard, Source};
use crate::hazard::node::Node;
use crate::hazard::retired::{Retired, Retiring};
use crate::hazard::{self, Fence, HazardSlot};
use crate::host::SweepDeferred;
use crate::raw::InitError;
use crate::raw::ids::{ErasedTable, Typed, ValueTable};
use crate::raw::table::{Cursor, Refused, Table};
use crate::sync::{Ordering, fence};

/// The values of one number.
pub(super) struct UpdateTable<V> {
    nodes: Table<Node<ObjectValue<V>>>,
    retired: Retired<ObjectValue<V>>,
}

/// The content of a node.
pub(super) struct ObjectValue<V> {
    object: usize,
    value: V,
}

/// The value of one object, for a reader.
struct Lookup<'values, V> {
    values: &'values UpdateTable<V>,
    object: usize,
}

/// The result of [`UpdateTable::try_take`].
type TryTake<'values, V, F> = Result<NonNull<Node<ObjectValue<V>>>, Retiring<'values, ObjectValue<V>, F>>;

impl<V: Clone + 'static> Typed<UpdateTable<V>> {
    /// Attaches or replaces the value of `object`, and returns the previous value, or a clone if a reader is cloning
    /// the previous value. Without memory, ends the process.
    pub(super) fn update(&self, object: usize, value: V) -> Option<V> {
        self.try_update(object, value).unwrap_or_else(|_| handle_alloc_error(Layout::new::<Node<ObjectValue<V>>>()))
    }

    /// As [`update`](Self::update), with an error if there is no memory. The error changes nothing, and drops `value`.
    pub(super) fn try_update(&self, object: usize, value: V) -> Result<Option<V>, OutOfMemory> {
        let node = Node::try_new_raw(ObjectValue { object, value }).map_err(|_| OutOfMemory)?;
        let Ok(previous) = self.table.nodes.try_put(self.registration, object, node) else {
            // SAFETY: `try_new_raw` has made the node, which the table has refused; this thread alone has the node.
            unsafe { Node::destroy(node) };
            return Err(OutOfMemory);
        };
        // Counted before user code, which may panic, clones or drops the previous value.
        match previous {
            Some(_) => self.registration.field.counts().updated(),
            None => self.registration.field.attached(),
        }
        // SAFETY: this call removed the node from the table, so by F1 this thread owns the node.
        Ok(previous.map(|node| unsafe { self.table.take_or_clone(object, node) }))
    }

    /// Replaces the value of `object` by the result of `next`, unless `next` fails or there is no memory. Returns the
    /// previous value, or a clone if a reader is cloning the previous value. Runs `next` again after a change by
    /// another thread in the meantime.
    pub(super) fn try_update_with<E>(
        &self,
        object: usize,
        mut next: impl FnMut(Option<&V>) -> Result<V, E>,
    ) -> Result<Option<V>, InitError<E>> {
        let (values, field) = (self.table, &self.registration.field);
        loop {
            let first = values.nodes.find(object).map_or(ptr::null_mut(), NonNull::as_ptr);
            let taken = hazard::try_any_slot()?;
            // SAFETY: this read has just acquired the slot, and releases the slot after the drop of the guard.
            let last = unsafe { Guard::new(Lookup { values, object }, taken.slot(), first) };
            let Some(last) = last else {
                let value = next(None).map_err(InitError::Init)?;
                match self.try_attach(object, value) {
                    Ok(()) => return Ok(None),
                    Err((_, Refused::OutOfMemory)) => return Err(OutOfMemory.into()),
                    // A value of `None` is valid only for an empty field.
                    Err((value, Refused::IsAttached)) => {
                        drop(value);
                        continue;
                    }
                }
            };
            let value = next(Some(&last.value().value)).map_err(InitError::Init)?;
            let attempt = Node::try_new_raw(ObjectValue { object, value }).map_err(|_| OutOfMemory)?;
            if values.nodes.replace_exact(object, last.node(), attempt) {
                // Counted before user code, which may panic, clones or drops the previous value.
                field.counts().updated();
                let previous = NonNull::new(last.node()).expect("a guard has a node");
                let reclaiming = last.end();
                // SAFETY: this call replaced the node in the table, so by F1 this thread owns the node.
                let previous = unsafe { values.take_or_clone(object, previous) };
                // The drop may panic. The previous value is still a local variable then; a returned value would leak.
                drop(reclaiming);
                return Ok(Some(previous));
            }
            // The destructor is user code. The drop of `last` clears the hazard afterwards, also during unwinding.
            // SAFETY: `try_new_raw` has made the node, which the table does not have; this thread alone has the node.
            drop(unsafe { Node::into_inner(attempt) });
        }
    }

    /// Attaches `value` to `object` if the field is empty, else returns the value, and the reason.
    pub(super) fn try_attach(&self, object: usize, value: V) -> Result<(), (V, Refused)> {
        let node =
            Node::try_new_raw(ObjectValue { object, value }).map_err(|entry| (entry.value, Refused::OutOfMemory))?;
        match self.table.nodes.try_attach(self.registration, object, node) {
            Ok(()) => {
                self.registration.field.attached();
                Ok(())
            }
            // SAFETY: `try_new_raw` has made the node, which the table has refused. So no reader has found the node,
            // and this thread alone has the node.
            Err(reason) => Err((unsafe { Node::into_inner(node) }.value, reason)),
        }
    }
}

impl<V> UpdateTable<V> {
    /// Whether `object` has a value. A value that is detached during the call may count.
    pub(super) fn has(&self, object: usize) -> bool {
        self.nodes.find(object).is_some()
    }

    /// A clone of the newest value of `object`. Without memory, ends the process.
    pub(super) fn get(&self, object: usize) -> Option<V>
    where
        V: Clone,
    {
        self.inspect(object, V::clone).unwrap_or_else(|_| handle_alloc_error(Layout::new::<HazardSlot>()))
    }

    /// Calls `look` with the newest value of `object`. An error, before the call, if there is no memory for a hazard
    /// slot.
    pub(super) fn inspect<R>(&self, object: usize, look: impl FnOnce(&V) -> R) -> Result<Option<R>, OutOfMemory> {
        let Some(first) = self.nodes.find(object) else { return Ok(None) };
        // Dropped last: runs the sweeps that attaches inside of `look` have deferred.
        let _sweep_deferred = SweepDeferred;
        let taken = hazard::try_any_slot()?;
        // SAFETY: this read has just acquired the slot, and releases the slot after the drop of the guard.
        let guard = unsafe { Guard::new(Lookup { values: self, object }, taken.slot(), first.as_ptr()) };
        let Some(guard) = guard else { return Ok(None) };
        let result = look(&guard.value().value);
        // The result is still a local here, and unwinding drops it if a destructor panics. A return value would leak.
        drop(guard);
        Ok(Some(result))
    }

    /// Returns the value of a removed node; or, if a reader has protected the node, clones the value and retires the
    /// node.
    ///
    /// # Safety
    ///
    /// The caller has removed `node` from this table, and gives up the ownership.
    unsafe fn take_or_clone(&self, object: usize, node: NonNull<Node<ObjectValue<V>>>) -> V
    where
        V: Clone,
    {
        // SAFETY: by the contract the node was removed from this table, and belongs to this call, which passes the
        // ownership on.
        match unsafe { self.try_take(object, node) } {
            // SAFETY: `try_take` returned the node, so this thread owns the node and no reader has it.
            Ok(node) => unsafe { Node::into_inner(node) }.value,
            Err(retiring) => {
                // Dropped last: runs the sweeps that attaches inside of the clone have deferred.
                let _sweep_deferred = SweepDeferred;
                retiring.retire_after(|entry| entry.value.clone())
            }
        }
    }

    /// Returns a removed node if no reader has protected the node, else a guard that retires the node. A panic of a
    /// destructor that the guard runs is the caller's own if the value belongs to `object`.
    ///
    /// # Safety
    ///
    /// The caller has removed `node` from this table, and gives up the ownership.
    unsafe fn try_take(
        &self,
        object: usize,
        node: NonNull<Node<ObjectValue<V>>>,
    ) -> TryTake<'_, V, impl Fn(&ObjectValue<V>) -> bool> {
        let is_own = move |entry: &ObjectValue<V>| entry.object == object;
        // SeqCst: between the store to the table and the scan; pairs with the reader's fence in `HazardSlot::protect`
        // (J2).
        fence(Ordering::SeqCst);
        // SAFETY: by the contract this call owns the removed node. By J2, a reader that uses the node protected it
        // before the fence, so the scan finds the hazard.
        unsafe { self.retired.try_take(self.address(), node, true, is_own) }
    }

    /// The address that hazards give as the cell.
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl<V: Send + Sync + 'static> ErasedTable for UpdateTable<V> {
    fn none() -> Self {
        Self { nodes: Table::new(), retired: Retired::new() }
    }

    fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.nodes.remove(object).map(NonNull::cast)
    }

    unsafe fn destroy(&'static self, object: usize, taken: NonNull<()>) {
        // SAFETY: by the contract `take` has removed `taken` from this table for this object, so by F1 `taken` is a
        // node of this type, which the caller owns. By the contract this call alone ends the node, so gives up the
        // ownership.
        match unsafe { self.try_take(object, taken.cast()) } {
            // SAFETY: `try_take` returned the node, so this thread owns the node and no reader has it.
            Ok(node) => unsafe { Node::destroy(node) },
            Err(retiring) => drop(retiring),
        }
    }

    fn next_object(&self, cursor: &mut Cursor) -> Option<usize> {
        self.nodes.next_object(cursor)
    }
}

impl<V: Clone + Send + Sync + 'static> ValueTable for UpdateTable<V> {
    type Value = V;

    unsafe fn value_of(&'static self, object: usize, taken: NonNull<()>) -> V {
        // SAFETY: by the contract `take` has removed `taken` from this table, so by F1 `taken` is a node of this type,
        // which the caller owns and gives up.
        unsafe { self.take_or_clone(object, taken.cast()) }
    }
}

impl<V> Clone for Lookup<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Lookup<'_, V> {}

// SAFETY: by J2 the writer of a protected node does not free the node. The lookup acquires the node's initialisation.
unsafe impl<V> Source for Lookup<'_, V> {
    type Value = ObjectValue<V>;

    #[inline]
    fn protect(
        self,
        slot: &HazardSlot,
        loaded: *mut Node<ObjectValue<V>>,
    ) -> Result<*mut Node<ObjectValue<V>>, *mut Node<ObjectValue<V>>> {
        slot.protect(Fence::Full, self.values.address(), loaded.cast());
        let again = self.values.nodes.find(self.object).ok_or(ptr::null_mut())?;
        // SAFETY: this thread protects the node, and the lookup after that returned the node, so by J2 the node is
        // live.
        let is_own = || unsafe { again.as_ref() }.value().object == self.object;
        if again.as_ptr() == loaded && is_own() { Ok(again.as_ptr()) } else { Err(again.as_ptr()) }
    }

    #[inline]
    fn is_current(self, node: *mut Node<ObjectValue<V>>) -> bool {
        self.values.retired.is_empty() || self.values.nodes.find(self.object) == NonNull::new(node)
    }

    fn reclaim(self) {
        // SAFETY: all hazards of the table's readers have this address as the cell.
        unsafe { self.values.retired.reclaim(self.values.address(), |entry| entry.object == self.object) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, Location, catch_unwind};
    use std::sync::Arc;

    use super::*;
    use crate::hazard::slot::SlotGuard;
    use crate::policy::Policy;
    use crate::raw::ids::{self, IdType};

    fn values<V: Send + Sync + 'static>(number: u64) -> Typed<UpdateTable<V>> {
        let id_type = IdType::new::<V>("UpdateId", Policy::GetOrUpdate, None, Location::caller());
        ids::register(number, id_type).expect("each test has a number of its own")
    }

    fn reading<V>(values: &'static UpdateTable<V>, object: usize, taken: &SlotGuard) -> Guard<Lookup<'static, V>> {
        let node = values.nodes.find(object).expect("it is attached");
        // SAFETY: the tests have a slot for each guard, and do not use a value after the clear of its slot.
        unsafe { Guard::new(Lookup { values, object }, taken.slot(), node.as_ptr()) }.expect("it stays")
    }

    /// A slow reader finds a node that was removed meanwhile, or that belongs to another object by now.
    #[test]
    fn a_node_is_used_only_if_the_table_has_the_node_for_this_object() {
        let Typed { table: values, .. } = values::<u8>(1);
        let taken = hazard::second_slot();
        let is_found = |node: NonNull<Node<ObjectValue<u8>>>| {
            Lookup { values, object: 1 }.protect(taken.slot(), node.as_ptr()).is_ok()
        };
        let [own, other] = [1, 2].map(|object| Node::new_raw(ObjectValue { object, value: 0 }));
        assert!(!is_found(own), "it may be gone");
        values.nodes.insert(1, own);
        assert!(is_found(own));
        assert_eq!(values.nodes.replace(1, other), Some(own));
        assert!(!is_found(other), "it is another's");
        assert_eq!(values.nodes.remove(1), Some(other));
        for node in [own, other] {
            // SAFETY: no table has the node, and no reader uses it.
            unsafe { Node::destroy(node) };
        }
    }

    /// A thread makes a node in the memory of the node that it unmade last. Only Miri tells the two pointers apart.
    #[test]
    fn a_node_in_recycled_memory_is_read_by_its_own_pointer() {
        let known = values::<u64>(4);
        let values = known.table;
        known.update(1, 10);
        let late = values.nodes.find(1).expect("it is attached");
        known.update(1, 11);
        known.update(1, 12);
        assert_eq!(values.nodes.find(1), Some(late), "the memory is used again");
        let taken = hazard::second_slot();
        let lookup = Lookup { values, object: 1 };
        // SAFETY: no other read uses the slot, which lives longer than the guard.
        let guard = unsafe { Guard::new(lookup, taken.slot(), late.as_ptr()) }.expect("it is attached");
        assert_eq!(guard.value().value, 12);
        drop(guard);
        assert_eq!(known.detach(1), Some(12));
    }

    #[test]
    fn a_reader_of_a_current_node_leaves_the_list_to_the_readers_of_retired_nodes() {
        let known = values::<Arc<()>>(2);
        let values = known.table;
        let (count, taken) = (Arc::new(()), hazard::second_slot());
        assert!(known.update(1, Arc::clone(&count)).is_none());
        let slow = reading(values, 1, &taken);
        assert!(known.update(1, Arc::new(())).is_some());
        // The slow reader is about to search the list.
        taken.slot().clear();
        assert!(values.get(1).is_some());
        assert_eq!(Arc::strong_count(&count), 2);
        assert!(!values.retired.is_empty());
        drop(slow);
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(values.retired.is_empty());
        assert!(known.detach(1).is_some());
    }

    /// The first reader clears its hazard just before the writer retires its node. The second reader has cleared its
    /// hazard, and is about to search the list. So the thread that takes the first node out drops both nodes, of which
    /// one panics.
    #[test]
    fn a_detach_raises_the_panics_of_its_own_value_alone() {
        /// Panics on drop, if the flag is set.
        #[derive(Clone)]
        struct Bomb(bool);
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0, "boom of a Bomb");
            }
        }
        let known = values::<Bomb>(3);
        let values = known.table;
        for (own, other) in [(true, false), (false, true)] {
            assert!(known.update(1, Bomb(own)).is_none() && known.update(2, Bomb(other)).is_none());
            let taken = [hazard::second_slot(), hazard::second_slot()];
            let _readers = [reading(values, 1, &taken[0]), reading(values, 2, &taken[1])];
            let taken_out = known.registration.table.take(2).expect("it is there");
            // SAFETY: the line above has just taken the value out for this object.
            unsafe { known.registration.table.destroy(2, taken_out) };
            taken[1].slot().clear();
            let node = known.registration.table.take(1).expect("it is there").cast();
            // SAFETY: the line above removed the node from the table.
            let Err(retiring) = (unsafe { values.try_take(1, node) }) else { panic!("it is protected") };
            taken[0].slot().clear();
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
