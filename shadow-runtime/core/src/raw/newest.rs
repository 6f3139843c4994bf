//! The values of an [`UpdateId`](super::UpdateId): replaced, and detached, while others look for them and clone them.
//!
//! In: a value, for an object. Out: clones of the newest. Neighbours: `table.rs`, which has a node for each object;
//! `readers/`, the announcements of readers; `readers/retired.rs`, who drops a value that was still announced.
//! `cell/get_or_update.rs` does the same for a field of a host that stays while it is read.
//!
//! # Reader's path
//!
//! Look the object up; announce the node; look again. If the same node is found, it stays while it is announced. If it
//! is of this object, clone its value; otherwise, and if another was found, begin again with that. Withdraw; if
//! something is in the list of what was retired, and the node is in the table no more, look into the list.
//!
//! # Writer's path
//!
//! Take the node out of the table, or replace it, under its shard's lock; pass a fence; look at all slots. If nobody
//! has announced the node, it is the writer's. Otherwise clone its value, and retire it, so that its last reader drops
//! it. Writers wait for no reader.
//!
//! # Why a node is not freed under a reader
//!
//! The caller promises nothing about readers here, so T5 of `side_table/shard.rs` does not hold: a look-up may find a
//! node that was taken out, and perhaps freed, or even the node of another object, which got the slot between the loads
//! of its key and of its value. It does not touch what it finds, so that is harmless until the second look-up.
//!
//! - **J2** A node that a look-up finds which began after a fence that came after the node's announcement is not freed
//!   before that is withdrawn.
//!
//! For each node that is taken out or replaced, writer W stores to the table, passes a fence, and loads the slots;
//! reader R stores to its slot, passes a fence, and loads from the table. One of the fences comes first. If R's, W sees
//! the announcement, and the node stays. If W's, each load of R's look-up sees what W has stored, or what came later,
//! and then does not find that node:
//!
//! - If its slot's array was replaced before W, R has the newer array.
//! - If its slot got [`NOBODY`](crate::side_table::NOBODY) for a key, R's first load of the slot's key finds that, or a
//!   key that was put there later. With that key R sees, by `Acquire`, the value that was put there with it, or a later
//!   one.
//! - If its slot's value was replaced, R loads the later value.
//!
//! A node that is found again may be another one at the same address: it is the one that is announced. The reader uses
//! the pointer of its second look-up, since the first may have the provenance of a node that was freed. And it may be
//! that of another object, if one at that address was in the slot at each of the two look-ups, so it says whose it is.
//!
//! What is missed was not there all the time: for a key that is not removed meanwhile T5 holds.
//!
//! # Who drops what was announced
//!
//! As argued in `readers/retired.rs`, for which all readers of a table are those of one cell, and by E3 a reader has
//! to look into the list if its node may be there. It looks whether there is a list at all, after its withdrawal, in
//! the order that is argued there; if its node is in it, that load is an `Acquire` of the list, before which the
//! table was changed: so the look-up that follows does not find the node. If it finds it, the list is none of its
//! business, and others see to it. Who has announced other nodes before, which may be of other objects, looks into
//! the list anyway.
//!
//! The list is of all objects of the kind, so who takes it may drop values of others, whose panics are not its (R5).

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

/// What is in a node.
struct Kept<V> {
    object: usize,
    value: V,
}

/// A node that this thread has announced.
struct Reading<'values, V> {
    values: &'values Newest<V>,
    slot: &'static Slot,
    object: usize,
    node: NonNull<Node<Kept<V>>>,
    /// Whether another node was announced before, for which somebody may have waited.
    has_moved_on: bool,
}

/// What [`Newest::reclaim`] says of a node.
type Reclaimed<'values, V, F> = Result<NonNull<Node<Kept<V>>>, Retiring<'values, Kept<V>, F>>;

impl<V: Clone + 'static> Known<Newest<V>> {
    /// Replaces the value of `object`, or attaches it, and returns the previous one, or a clone of it if somebody is
    /// still cloning it.
    pub(super) fn update(&self, object: usize, value: V) -> Option<V> {
        let node = Node::make(Kept { object, value });
        let table = &self.values.table;
        let previous = table.replace(object, node).or_else(|| table.put(self.kind, object, node));
        // Before the previous value is handed out by code of the user, which may panic.
        match previous {
            Some(_) => self.kind.field.counts().updated(),
            None => self.kind.field.attached(),
        }
        // SAFETY: it was in the table until now, so by F1 it is this thread's.
        previous.map(|node| unsafe { self.values.hand_over(object, node) })
    }

    /// Ends the field of `object`, and returns its value, or a clone of it if somebody is still cloning it.
    pub(super) fn detach(&self, object: usize) -> Option<V> {
        let node = self.values.table.take(self.kind, object)?;
        // SAFETY: it was in the table until now, so by F1 it is this thread's.
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
        // While the clone is a local: what is returned already would leak if a destructor panics.
        drop(reading);
        Some(clone)
    }

    /// Announces the newest node of `object`, of which `node` was found.
    #[inline]
    fn read(&self, object: usize, node: NonNull<Node<Kept<V>>>, slot: &'static Slot) -> Option<Reading<'_, V>> {
        let mut reading = Reading { values: self, slot, object, node, has_moved_on: false };
        while !reading.announce() {
            reading.has_moved_on = true;
            reading.node = self.table.find(object)?;
        }
        Some(reading)
    }

    /// The value of a node that was taken out, or a clone of it, if somebody has announced it; then it is retired.
    ///
    /// # Safety
    ///
    /// It is the caller's, who hands it over.
    unsafe fn hand_over(&self, object: usize, node: NonNull<Node<Kept<V>>>) -> V
    where
        V: Clone,
    {
        // SAFETY: the caller's promise is the same.
        match unsafe { self.reclaim(object, node) } {
            // SAFETY: it is this thread's alone.
            Ok(node) => unsafe { Node::unmake(node) }.value,
            Err(retiring) => retiring.leave(|kept| kept.value.clone()),
        }
    }

    /// A node that was taken out, once it is the caller's alone; or else what retires it, whose panics are the caller's
    /// own if they are of values of this object.
    ///
    /// # Safety
    ///
    /// It is the caller's, who hands it over.
    unsafe fn reclaim(
        &self,
        object: usize,
        node: NonNull<Node<Kept<V>>>,
    ) -> Reclaimed<'_, V, impl Fn(&Kept<V>) -> bool> {
        let is_own = move |kept: &Kept<V>| kept.object == object;
        fence(Ordering::SeqCst);
        // SAFETY: the caller's promise is the same. By J2 and the fence its readers are seen.
        unsafe { self.retired.reclaim(self.address(), node, true, is_own) }
    }

    /// What announcements call it.
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
        // SAFETY: the caller promises that `take` has taken it out of this table for this object, and that once: so it
        // is a node of this type, and by F1 the caller's.
        match unsafe { self.reclaim(object, taken.cast()) } {
            // SAFETY: it is this thread's alone.
            Ok(node) => unsafe { Node::end(node) },
            Err(retiring) => drop(retiring),
        }
    }
}

impl<V> Reading<'_, V> {
    /// Announces the node, and returns whether it is still that of the object.
    #[inline]
    fn announce(&mut self) -> bool {
        self.slot.announce_by_fence(self.values.address(), self.node.as_ptr().cast());
        let Some(again) = self.values.table.find(self.object) else { return false };
        if again != self.node {
            return false;
        }
        // Equal addresses, and maybe another node: then the first pointer is to one that was freed.
        self.node = again;
        self.kept().object == self.object
    }

    #[inline]
    fn is_there(&self) -> bool {
        self.values.table.find(self.object) == Some(self.node)
    }

    #[inline]
    fn kept(&self) -> &Kept<V> {
        // SAFETY: by J2; who asks has announced it, and found this pointer after that.
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

    /// What a reader finds when it is slow: a node that has been taken out since, or that is another object's by now.
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
            // SAFETY: it is in no table, and nobody reads it any more.
            unsafe { Node::end(node) };
        }
    }

    /// A thread makes a node in the memory of the one that it has unmade last. Only Miri tells the two pointers apart.
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
        // It is about to look into the list.
        slow.slot.withdraw();
        assert!(values.get(1).is_some());
        assert_eq!(Arc::strong_count(&count), 2);
        assert!(!values.retired.is_empty());
        drop(slow);
        assert_eq!(Arc::strong_count(&count), 1);
        assert!(values.retired.is_empty());
        assert!(known.detach(1).is_some());
    }

    /// The reader of the one withdraws just before its node is left to it; that of the other has withdrawn, and is
    /// about to look into the list. So who takes the one out drops both, of which one panics.
    #[test]
    fn who_takes_a_value_out_gets_its_panics_and_no_others() {
        /// Panics when it is dropped, if it is to.
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
            // SAFETY: it was just taken out for this object.
            unsafe { known.kind.end(2, taken_out) };
            second.slot.withdraw();
            let node = values.table.take(known.kind, 1).expect("it is there");
            // SAFETY: it was in the table until now.
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
