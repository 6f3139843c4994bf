//! The cell of a `get_or_update` field: the last update wins, and reads clone the value under a hazard pointer.
//!
//! In: a value, or a closure that makes the next value from the last. Out: clones of the value, the old or the new
//! (R2); or the value itself, taken out of a shared cell. Neighbours: `bias.rs`, the pointer to the newest node, with
//! the orderings of readers and writers; `hazard/`, hazards; `accessor/get_or_update.rs`.
//!
//! A value is in a node on the heap. Reads must neither contend for a cache line nor wait for a thread. But a read runs
//! a user's `Clone`, of any duration, and the value must stay until the end of the clone. So a reader protects the node
//! by a hazard in a slot of its own (`hazard/guard.rs`). A writer that has replaced a node scans the slots before the
//! drop of the node.
//!
//! # Writer's path
//!
//! Exchange the pointer. The previous node then belongs to the writer, until the writer frees or retires the node. Scan
//! the slots. Without a hazard, return the previous value. With a hazard, spin and scan again, since most clones take
//! less time than the spin. If the hazard is still there, return a clone of the value, and retire the node
//! (`hazard/retired.rs`). So no writer waits for a reader, however long the reader's clone takes.
//!
//! # Taker's path
//!
//! A take is an update without a next node: the exchange stores the pointer of a vacated cell (`bias.rs`), and the
//! taker continues as a writer that has replaced the node. What may race with a take:
//!
//! - A *reader* finds the node, and protects the node in time, or finds the cell vacated (O5). A reader that protects
//!   the taken node finds, after the clear of the hazard, that the cell no longer has the node, and reclaims the list.
//! - A second *taker* finds the cell vacated: of two exchanges only one returns the node.
//! - An *update* stores a node in a vacated cell as in an empty cell, and counts as an attach. The first update of a
//!   declaration does not race: it fills the field set before the publication of the set.
//! - A *closure* of an update has seen the taken value: its exchange fails, and the closure runs again on `None`. A
//!   closure that has seen `None` succeeds also if, meanwhile, another thread has attached and taken a value: `None` is
//!   again what the cell has.
//!
//! The first-ready flag (N4 of `fields/mod.rs`) stays. A reader by the flag knows that the pointer is not null, and
//! does not know that the cell has a node.

use std::{hint, ptr};

use crate::cell::FieldCell;
use crate::cell::bias::{BiasedPtr, Replaced};
use crate::hazard::guard::{Guard, Source};
use crate::hazard::node::Node;
use crate::hazard::retired::Retired;
use crate::hazard::{self, HazardSlot};
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::const_fn;
use crate::value::{CloneValue, Value};

/// One `get_or_update` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdate<V> {
    pub(super) newest: BiasedPtr<V>,
    pub(super) retired: Retired<V>,
}

// SAFETY: by V1 (`cell/mod.rs`) a filled cell has a `V: Value`, which is `Send`. An empty cell holds no value to send.
unsafe impl<V> Send for GetOrUpdate<V> {}
// SAFETY: by V1 a filled cell has a `V: Value`. Threads that share the cell put values in, clone values at the same
// time, and take values out. So `V` must be `Send + Sync`, and every `Value` is.
unsafe impl<V> Sync for GetOrUpdate<V> {}

// SAFETY: by O5 the writer of a protected node sees the hazard, and does not free the node; by O3 the node is
// initialised.
unsafe impl<V> Source for &GetOrUpdate<V> {
    type Value = V;

    #[inline]
    fn protect(self, slot: &HazardSlot, loaded: *mut Node<V>) -> Result<*mut Node<V>, *mut Node<V>> {
        self.newest.protect(slot, loaded)
    }

    #[inline]
    fn is_current(self, node: *mut Node<V>) -> bool {
        self.newest.is_current(node)
    }

    fn reclaim(self) {
        // SAFETY: all hazards of this cell's readers have this address as the cell.
        unsafe { self.retired.reclaim(self.newest.address(), |_| true) };
    }
}

impl<V> GetOrUpdate<V> {
    const_fn! {
        /// An empty cell.
        pub(super) const fn new() -> Self {
            Self { newest: BiasedPtr::null(), retired: Retired::new() }
        }
    }

    /// Initialises an empty cell.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: by the contract `cell` is valid for writes and aligned. The memory has no value yet, so the write
        // drops none.
        unsafe { cell.write(Self::new()) };
    }

    /// A clone of the newest value.
    #[inline]
    pub(crate) fn get(&self) -> Option<V>
    where
        V: CloneValue,
    {
        self.get_from(self.newest.load())
    }

    /// A clone of the newest value of a ready cell (N4 of `fields/mod.rs`), without the test for a cell that never had
    /// a value.
    ///
    /// # Safety
    ///
    /// The cell was filled since the last exclusive borrow. This thread has attached the value, or an `Acquire` of this
    /// thread has synchronised with a `Release` after the attach.
    #[inline]
    pub(crate) unsafe fn get_unchecked(&self) -> Option<V>
    where
        V: CloneValue,
    {
        let loaded = self.newest.load();
        // SAFETY: by the contract the attach happens before this call, and no exclusive borrow has emptied the cell
        // since. A shared cell never becomes null again. So by coherence the load does not return null.
        unsafe { hint::assert_unchecked(!loaded.is_null()) };
        self.get_from(loaded)
    }

    /// A clone of the newest value; `loaded` is the result of a first load.
    #[inline]
    fn get_from(&self, loaded: *mut Node<V>) -> Option<V>
    where
        V: CloneValue,
    {
        match hazard::own_slot() {
            // SAFETY: `own_slot` has returned the slot, so this thread owns the slot, and no read uses the slot. A
            // nested read then finds the slot in use.
            Some(slot) => unsafe { self.get_by(slot, loaded) },
            None => self.get_by_second_slot(),
        }
    }

    /// As [`get_from`](Self::get_from), by this slot.
    ///
    /// # Safety
    ///
    /// This thread owns `slot`, and this read alone uses the slot during the call.
    #[inline]
    unsafe fn get_by(&self, slot: &'static HazardSlot, loaded: *mut Node<V>) -> Option<V>
    where
        V: CloneValue,
    {
        // SAFETY: by the contract this read alone uses the slot.
        let guard = unsafe { Guard::new(self, slot, loaded) }?;
        let clone = guard.value().clone_value();
        // The drop may run destructors, which may panic. The clone is still a local variable then; a clone in the place
        // of the returned value would leak.
        drop(guard);
        Some(clone)
    }

    #[cold]
    fn get_by_second_slot(&self) -> Option<V>
    where
        V: CloneValue,
    {
        let taken = hazard::second_slot();
        // SAFETY: this read has just acquired the slot, and keeps the slot until the end of the function.
        unsafe { self.get_by(taken.slot(), self.newest.load()) }
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell.
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value,
    {
        self.newest.set(Node::new_raw(value));
    }

    /// Fills the empty cell that `to` returns with a clone of the newest value, and counts an attach. `clone` makes the
    /// clone. An empty cell is not cloned, and neither function runs.
    pub fn clone_into<'new>(
        &self,
        clone: impl FnOnce(&V) -> V,
        field: &'static Field,
        to: impl FnOnce() -> &'new mut Self,
    ) where
        V: 'new,
    {
        let taken = hazard::any_slot();
        // SAFETY: this read has just acquired the slot, and releases the slot after the drop of the guard.
        let Some(guard) = (unsafe { Guard::new(self, taken.slot(), self.newest.load()) }) else { return };
        let value = clone(guard.value());
        // The drop may run destructors, which may panic. The clone is still a local variable then.
        drop(guard);
        to().newest.set(Node::new_raw(value));
        field.attached();
    }

    /// Takes the value out, without a count.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        let node = self.newest.take()?;
        // SAFETY: the node comes from `Node::new_raw`, and `take` has emptied the cell. A reader would borrow the cell,
        // which is borrowed by `&mut`. So this thread alone has the node.
        Some(unsafe { Node::into_inner(node) })
    }

    /// Replaces the value. Returns the previous value, or a clone while a reader protects the node.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + CloneValue,
    {
        let previous = self.newest.swap(Node::new_raw(value));
        count(field, previous.as_ref());
        // SAFETY: this call has replaced the node in this cell, and gives the node up.
        previous.map(|previous| unsafe { self.take_or_clone(&previous) })
    }

    /// Replaces the value by the result of `next`, unless `next` fails. Runs `next` again after an update by another
    /// thread in the meantime.
    pub(crate) fn try_update_with<E>(
        &self,
        field: &'static Field,
        mut next: impl FnMut(Option<&V>) -> Result<V, E>,
    ) -> Result<Option<V>, E>
    where
        V: Value + CloneValue,
    {
        loop {
            let taken = hazard::any_slot();
            // SAFETY: this read has just acquired the slot, and releases the slot after the drop of the guard.
            let last = unsafe { Guard::new(self, taken.slot(), self.newest.load()) };
            let attempt = Node::new_raw(next(last.as_ref().map(Guard::value))?);
            match self.newest.exchange(last.as_ref().map_or(ptr::null_mut(), Guard::node), attempt) {
                Ok(previous) => {
                    count(field, previous.as_ref());
                    let Some((last, previous)) = last.zip(previous) else { return Ok(None) };
                    let reclaiming = last.end();
                    // SAFETY: this call has replaced the node in this cell, and gives the node up.
                    let previous = unsafe { self.take_or_clone(&previous) };
                    // The drop may panic, so the previous value is still a local variable, as in `get_by`.
                    drop(reclaiming);
                    return Ok(Some(previous));
                }
                // The destructor is user code. The drop of `last` clears the hazard afterwards, also during unwinding.
                // SAFETY: the node from `Node::new_raw` was never published, and this thread alone has the node.
                Err(attempt) => drop(unsafe { Node::into_inner(attempt) }),
            }
        }
    }

    /// Takes the value out, and leaves the cell vacated. Returns the value, or a clone while a reader protects the
    /// node.
    pub(crate) fn take(&self, field: &'static Field) -> Option<V>
    where
        V: Value + CloneValue,
    {
        let taken = self.newest.vacate()?;
        // Precedes `take_or_clone`, which runs user code that may panic.
        field.counts().detached();
        // SAFETY: this call has replaced the node in this cell, and gives the node up.
        Some(unsafe { self.take_or_clone(&taken) })
    }

    /// The value of a replaced node. If a reader protects the node, returns a clone, and retires the node.
    ///
    /// # Safety
    ///
    /// This thread has replaced the node in this cell, and gives up the ownership.
    unsafe fn take_or_clone(&self, replaced: &Replaced<V>) -> V
    where
        V: CloneValue,
    {
        let is_seen = replaced.order_scan();
        // SAFETY: by the contract this thread has replaced the node in this cell, and passes the ownership on. By O5
        // the scan sees the readers, if `is_seen`.
        match unsafe { self.retired.try_take(self.newest.address(), replaced.node, is_seen, |_| true) } {
            // SAFETY: the node comes from `Node::new_raw`, and by the result of `try_take` this thread alone has the
            // node.
            Ok(node) => unsafe { Node::into_inner(node) },
            Err(retiring) => retiring.retire_after(V::clone_value),
        }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        let mut node = self.newest.get_mut()?;
        // SAFETY: the cell's node is live. A reader would borrow the cell, which is borrowed by `&mut`.
        Some(unsafe { node.as_mut() }.value_mut())
    }
}

/// Counts an update. Must precede `take_or_clone`, which runs user code that may panic.
fn count<V>(field: &'static Field, previous: Option<&Replaced<V>>) {
    if previous.is_some() { field.counts().updated() } else { field.attached() }
}

impl<V> FieldCell for GetOrUpdate<V> {
    fn is_attached(&self) -> bool {
        self.newest.has_node()
    }

    fn destroy(&mut self, field: &'static Field, panics: &mut Panics) {
        if let Some(node) = self.newest.take() {
            field.counts().detached();
            // SAFETY: the node comes from `Node::new_raw`, and `take` has emptied the cell. A reader would borrow the
            // cell, which is borrowed by `&mut`. So this thread alone has the node.
            panics.contain(field, || unsafe { Node::destroy(node) });
        }
        // SAFETY: a reader would borrow the cell, which is borrowed by `&mut`.
        unsafe { self.retired.destroy(field, panics) };
    }
}

#[cfg(all(test, any(target_os = "linux", target_os = "android"), not(any(loom, miri))))]
mod tests {
    use std::mem;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use super::*;
    use crate::policy::Policy;
    use crate::sync::{AtomicUsize, Ordering};

    /// Reads by the thread's own slot, by a second slot inside of such a read, and of a value that is replaced during
    /// the clone.
    #[test]
    fn a_thread_is_in_a_clone_while_it_runs_one_and_at_no_other_time() {
        /// The clone of this value asserts that the thread is in a clone, and then runs a function.
        struct Asking(Option<fn(&Asked)>, Arc<Asked>);
        struct Asked {
            cells: [GetOrUpdate<Asking>; 2],
            clones: AtomicUsize,
        }
        impl Clone for Asking {
            fn clone(&self) -> Self {
                assert!(hazard::is_in_clone());
                self.1.clones.fetch_add(1, Ordering::Relaxed);
                if let Some(act) = self.0 {
                    act(&self.1);
                    assert!(hazard::is_in_clone());
                }
                Self(None, Arc::clone(&self.1))
            }
        }
        impl Drop for Asking {
            fn drop(&mut self) {
                assert!(!hazard::is_in_clone());
            }
        }
        static FIELD: Field = Field::new("app", "Host", "field", "Asking", Policy::GetOrUpdate, None);
        let asked = Arc::new(Asked { cells: [GetOrUpdate::new(), GetOrUpdate::new()], clones: AtomicUsize::new(0) });
        let [first, second] = &asked.cells;
        let value = |act| Asking(act, Arc::clone(&asked));
        assert!(first.update(&FIELD, value(Some(|asked| mem::forget(asked.cells[1].get())))).is_none());
        assert!(second.update(&FIELD, value(None)).is_none());
        for round in 1..=3 {
            mem::forget(first.get());
            assert_eq!(asked.clones.load(Ordering::Relaxed), 2 * round);
            assert!(!hazard::is_in_clone());
        }
        // The clone replaces the value that is being cloned. So the writer also makes a clone.
        let replace: fn(&Asked) = |asked| {
            let newest = Asking(None, Arc::clone(&asked.cells[1].get().expect("there is one").1));
            mem::forget(asked.cells[0].update(&FIELD, newest));
        };
        assert!(first.update(&FIELD, value(Some(replace))).is_some());
        assert!(!hazard::is_in_clone());
        let panics: fn(&Asked) = |_| panic!("no clone");
        assert!(second.update(&FIELD, value(Some(panics))).is_some());
        assert!(catch_unwind(AssertUnwindSafe(|| second.get())).is_err());
        assert!(!hazard::is_in_clone());
    }

    /// A read protects a value, finds the value replaced, and goes on to the next value: the state after these steps.
    #[test]
    fn an_update_that_had_moved_on_reclaims_the_list() {
        let field: &'static Field =
            Box::leak(Box::new(Field::new("app", "Host", "field", "Arc<i32>", Policy::GetOrUpdate, None)));
        let [first, second] = [1, 2].map(Arc::new);
        let mut cell = GetOrUpdate::new();
        assert_eq!(cell.update(field, Arc::clone(&first)), None);
        let taken = hazard::second_slot();
        cell.newest.protect(taken.slot(), cell.newest.load()).expect("newest");
        let previous = cell.update(field, Arc::clone(&second));
        assert_eq!(Arc::strong_count(&first), 3, "the one that was replaced stays, and what is returned is a clone");
        drop(previous);

        // SAFETY: no other read uses the slot, which lives longer than the guard.
        let guard = unsafe { Guard::retry(&cell, taken.slot(), cell.newest.load()) }.expect("there is a value");
        assert_eq!(**guard.value(), 2);
        let reclaiming = guard.end();
        assert_eq!(Arc::strong_count(&first), 2, "no thread has reclaimed yet");
        drop(reclaiming);
        assert_eq!(Arc::strong_count(&first), 1);
        assert!(cell.retired.is_empty());
        assert_eq!(cell.take_back(), Some(second));
    }

    /// A reader has cleared its hazard, and is about to load the list. Then an update runs that has protected no
    /// earlier node.
    #[test]
    fn an_update_leaves_the_list_to_the_readers_of_retired_nodes() {
        /// Panics on drop if the flag is set. The flag of a clone is not set.
        struct Bomb(bool, Arc<()>);
        impl Clone for Bomb {
            fn clone(&self) -> Self {
                Self(false, Arc::clone(&self.1))
            }
        }
        impl Drop for Bomb {
            fn drop(&mut self) {
                assert!(!self.0, "boom");
            }
        }
        let field: &'static Field =
            Box::leak(Box::new(Field::new("app", "Host", "field", "Bomb", Policy::GetOrUpdate, None)));
        let [first, second, third] = [(); 3].map(Arc::new);
        let mut cell = GetOrUpdate::new();
        assert!(cell.update(field, Bomb(true, Arc::clone(&first))).is_none());
        let taken = hazard::second_slot();
        cell.newest.protect(taken.slot(), cell.newest.load()).expect("newest");
        drop(cell.update(field, Bomb(false, Arc::clone(&second))));
        taken.slot().clear();

        let previous = cell.try_update_with(field, |_| Ok::<_, ()>(Bomb(false, Arc::clone(&third))));
        assert!(previous.is_ok_and(|previous| previous.is_some_and(|previous| Arc::ptr_eq(&previous.1, &second))));
        assert_eq!(Arc::strong_count(&second), 1, "nothing of it is left behind");
        assert_eq!(Arc::strong_count(&first), 2, "it is there for the reader");
        let look = AssertUnwindSafe(|| (&cell).reclaim());
        assert!(catch_unwind(look).is_err());
        assert!(cell.retired.is_empty());
        assert!(cell.take_back().is_some_and(|last| Arc::ptr_eq(&last.1, &third)));
    }
}
