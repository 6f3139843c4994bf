//! One shard of a side table: reads take no lock; writers hold the shard's.
//!
//! In: a key and its hash. Out: the value, a pointer that is not this file's business. The reader's half is here, the
//! writer's in `shard/writer.rs`.
//!
//! # What is where
//!
//! Open addressing with groups of four slots (`array.rs`) and their tags (`tags.rs`). A key is in its home group, or,
//! if that was full, in the next that was not; each group that it could not stay in is marked as passed. What is
//! removed leaves no tombstone: what comes after moves back, and if there is nothing, the mark goes. So the table never
//! has to be rebuilt at one size, and its time and memory stay as they are however much comes and goes.
//!
//! - **T1** Only who holds the lock stores anything.
//! - **T2** If a key is not in its home, each group from there to the one before the key's is marked as passed. A group
//!   that is marked is full: none of its tags is vacant.
//! - **T3** An array that has been replaced is not stored to any more.
//! - **T4** An array is not freed.
//! - **T5** For as long as anybody looks for a key, or uses what was found for it, it is not removed. The callers see
//!   to that: of an `Arc`'s entry, whoever looks for it holds the `Arc`, and it is removed only when there is none.
//!   Only `raw/newest.rs` does without, and argues what a look-up is good for then.
//!
//! - **T6** A key that is in its home stays in its slot, until it is removed or the array is replaced: what moves back
//!   comes from a group that is not its home.
//! - **T7** While a [`RoomyGuard`](writer::RoomyGuard) is held, there are fewer entries than the array may have, so it
//!   has slots, and one of them is vacant.
//!
//! # Reader's path
//!
//! Load the count of moves (`Acquire`), and the array. From the home group on: load the tags; of each slot whose tag
//! matches, load the key, the value, and the key again; if both are the wanted one, the value is its value. If the
//! group was not passed, the key is not there: load the count of moves again, and if it has changed, look again.
//!
//! Mostly the home group is all there is to see, and is looked at first, without the count. A hit there needs the key
//! but once: by T5 and T6 it stays, so the value, which is loaded after it, is its value. And for a miss one load of
//! the home's tags is enough: when they had this value, without the mark, the key was, by T2, at home or nowhere, and
//! its tag was not there. So a hit touches a line of tags, which 16 groups share, and the line of its slot, which is
//! touched while the tags are still on their way, so that the two waits are one; and a miss the line of tags. The mark
//! is what makes that so for more of the misses in a table that is almost full, where about half of the groups are
//! full. Addresses at a stride, as allocators give them, have passed few of those; random ones have passed most, and
//! every other miss goes on from its home.
//!
//! In a table that is larger than the caches, a reader's time is the time that lines take to come, divided by how many
//! reads the processor has begun at once: as many as fit the some three hundred instructions that it looks ahead. So
//! each instruction of this path counts, however quick it is by itself; without its lines, it is some 30.
//!
//! # Writer's path
//!
//! *Insert*: at the first vacant slot from the home group on, store the value, the tag, the key; before that, mark the
//! groups before it as passed. *Remove*: store [`NOBODY`] for the key. If the group was passed, something may have been
//! put further on for want of room here: the first such is copied into the hole as by an insert, the count of moves
//! goes up by one, and it is removed from where it was, by the same path. If there is no such, store the vacant tag,
//! and with it that the group was not passed; not before, so that T2 holds at any time. So a mark that is not needed
//! any more stays no longer than until something of its group is removed. *Grow*: when more than 13 of 16 slots would
//! be taken, unlock the shard; allocate an array of twice the size; lock again; copy all into the new array, link the
//! new one to the old one, and store the new one. The old one stays as it is, for those who are in it. The global
//! allocator may be code of the user, so it runs under no lock (R4). If another writer, or the allocator itself, has
//! made room meanwhile, the array is freed, after the shard is unlocked: each writer wastes one at most.
//!
//! # Who races with what
//!
//! - *Reader and insert.* The value is stored before the key, by `Release`; who loads the key by `Acquire` loads that
//!   value, and sees what it points to as it was made. A tag that is seen early only means that the key is looked at
//!   for nothing. The key comes last, since a reader may look at it by the tag of another key that its slot had before:
//!   whoever then hears of it from that reader has to find it, too, by the marks and the tag.
//! - *Reader and a slot that gets another key.* Between the two loads of the key the value of another may be stored:
//!   its key was `NOBODY` before, stored earlier than the value, which is stored by `Release` and loaded by `Acquire`;
//!   so whoever loads the new value finds at its second look that the key is not there. A key does not come back to a
//!   slot that it has left: within an array keys only move back, towards their home, and by T5 it is not removed and
//!   inserted anew meanwhile.
//! - *Reader and move.* A reader may pass the hole before the key is copied there, and reach the place where it was
//!   when it is gone. The count of moves is stored by `Release` after the copy and before the key is taken away; the
//!   `NOBODY`, the tags, and all that is stored in their places later are stored by `Release`, and loaded by `Acquire`:
//!   a reader who has seen any of it finds the count changed. If it has loaded the new count from the start, by
//!   `Acquire`, it sees the copy, or a later count.
//! - *Reader and growth.* The array is stored by `Release` and loaded by `Acquire`. Who still has the old one finds in
//!   it what was there when it was replaced, which includes, by T5, the key that it looks for, if that was there. If
//!   that is not, it was not there when the array was loaded.
//! - *Writers* hold the lock, so all that they load may be `Relaxed`.
//! - *The end of an entry and a reader of it* cannot meet, by T5.
//!
//! # Memory, and what the choice gives up
//!
//! A slot and its tag are 17 bytes. Arrays that were replaced are kept (T4), since a reader leaves no trace by which
//! one could know that it has left: together they are as large as the current one at most. So a shard has at most 4
//! times 17 bytes for each entry that was there at the same time, mostly half of that, and does not give it back when
//! there are fewer. What the entries point to, which is the larger part, is not kept. Growth copies one shard of many
//! at a time, so that only those wait who want to write to it.
//!
//! # Where it comes from
//!
//! Groups in a cache line, reads without a store: CLHT (David, Guerraoui, Trigonakis: "Asynchronized Concurrency",
//! ASPLOS 2015). Tags that are compared several at once: Swiss tables (Kulukundis, `CppCon` 2017), which papaya and
//! hashbrown have. That a group says whether it was passed: Folly's `F14` (Bronson and Shi, 2019), which counts how
//! often. Removal by moving back: Knuth, volume 3, 6.4, algorithm R. Locks of shards that readers do without are those
//! of `parking_lot`'s table of queues, whose tables are also kept when they are replaced.

mod writer;

use std::ptr::NonNull;

use crate::side_table::array::{Array, Slot};
use crate::side_table::tags::Tags;
use crate::sync::{AtomicPtr, AtomicUsize, Mutex, Ordering, const_fn};
use writer::Writer;

/// A key that is nobody's: no caller looks for it, nor for 0, which a slot has that was never filled. A reader may see
/// the tag of such a slot before its key.
pub(crate) const NOBODY: usize = usize::MAX;

/// A part of a table.
pub(crate) struct Shard<'table, N> {
    array: &'table Current<N>,
    upkeep: &'table Upkeep,
}

impl<N> Clone for Shard<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Shard<'_, N> {}

/// Where the array of a shard is. Those of all shards lie together, so that readers have them in few cache lines.
pub(super) struct Current<N>(AtomicPtr<N>);

/// What else a shard has, which readers mostly do without.
#[repr(align(64))]
pub(super) struct Upkeep {
    /// How often a key was moved within an array.
    moves: AtomicUsize,
    entries: AtomicUsize,
    writer: Mutex<Writer>,
}

impl<N> Current<N> {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self(AtomicPtr::new(Array::empty().into_raw()))
        }
    }

    #[inline]
    fn array(&self) -> Array<N> {
        // Acquire: pairs with the Release of `grow`. SAFETY: nothing else is ever in this word.
        unsafe { Array::from_raw(self.0.load(Ordering::Acquire)) }
    }

    /// The value of `key`, if it can be told from its home group.
    #[inline]
    pub(super) fn look_at_home(&self, key: usize, hash: u64) -> Result<NonNull<N>, Not> {
        let array = self.array();
        let group = array.home(hash);
        // Relaxed: a hit is decided by the key, and a miss by this one word: see the header.
        // SAFETY: a home is a group, and by T4 the array is not freed.
        let tags = unsafe { array.tags(group, Ordering::Relaxed) };
        let matches = tags.matches(hash);
        if matches.is_empty() {
            return Err(if tags.was_passed() { Not::AtHome } else { Not::There });
        }
        // SAFETY: the tag says that there are slots; by T4 the array is not freed.
        let first = unsafe { array.slot(group, 0) };
        // Only to have the line on its way: which slot it will be is known when the tags are. Relaxed: not used.
        first.key.load(Ordering::Relaxed);
        // SAFETY: as above, and there is one.
        unsafe { array.first_of(group, &matches) }.value_at_home(key).ok_or(Not::AtHome)
    }
}

/// Where a key is not.
pub(super) enum Not {
    /// Not in its home group: it may be in another.
    AtHome,
    /// Nowhere.
    There,
}

impl Upkeep {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                moves: AtomicUsize::new(0),
                entries: AtomicUsize::new(0),
                writer: Mutex::new(Writer::new()),
            }
        }
    }
}

impl<'table, N> Shard<'table, N> {
    #[inline]
    pub(super) const fn of(array: &'table Current<N>, upkeep: &'table Upkeep) -> Self {
        Self { array, upkeep }
    }

    /// The value of `key`.
    #[inline]
    pub(crate) fn find(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        match self.array.look_at_home(key, hash) {
            Ok(value) => Some(value),
            Err(Not::There) => None,
            Err(Not::AtHome) => self.search(key, hash),
        }
    }

    /// As [`find`](Self::find), as far as it takes.
    #[inline]
    pub(super) fn search(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        loop {
            // Acquire: pairs with the Release of `Guard::move_back`.
            let moves = self.upkeep.moves.load(Ordering::Acquire);
            if let Some(value) = look(self.array.array(), key, hash) {
                return Some(value);
            }
            // Relaxed: what has to be seen by now is seen, by the Acquire loads of tags and keys.
            if self.upkeep.moves.load(Ordering::Relaxed) == moves {
                return None;
            }
        }
    }

    /// About how many entries it has.
    pub(crate) fn entries(self) -> usize {
        // Relaxed: an estimate.
        self.upkeep.entries.load(Ordering::Relaxed)
    }
}

/// One look through an array.
fn look<N>(array: Array<N>, key: usize, hash: u64) -> Option<NonNull<N>> {
    let mut group = array.home(hash);
    for _ in 0..array.groups() {
        let (tags, value) = look_in(array, group, key, hash);
        if value.is_some() || !tags.was_passed() {
            return value;
        }
        group = array.after(group);
    }
    None
}

/// One look into a group. Its tags are what was seen before the look at the keys.
#[inline]
fn look_in<N>(array: Array<N>, group: usize, key: usize, hash: u64) -> (Tags, Option<NonNull<N>>) {
    // SAFETY: it is a group, and by T4 the array is not freed. Acquire: argued in the header.
    let tags = unsafe { array.tags(group, Ordering::Acquire) };
    for index in tags.matches(hash) {
        // SAFETY: the tag says that there are slots; by T4 the array is not freed.
        if let Some(value) = unsafe { array.slot(group, index) }.value_of(key) {
            return (tags, Some(value));
        }
    }
    (tags, None)
}

impl<N> Slot<N> {
    /// The value, if it is that of `key`, and the slot is in its home: then the key stays there (T6).
    #[inline]
    fn value_at_home(&self, key: usize) -> Option<NonNull<N>> {
        // Acquire: pairs with the Release of `fill`.
        let seen = self.key.load(Ordering::Acquire);
        // Acquire: pairs with the Release of `fill` and `replace`. Loaded whosever it is, which is one address less to
        // calculate.
        let value = self.value.load(Ordering::Acquire);
        // SAFETY: the value was stored before the key, and is not null.
        (seen == key).then(|| unsafe { NonNull::new_unchecked(value) })
    }

    /// The value, if it is that of `key`.
    #[inline]
    fn value_of(&self, key: usize) -> Option<NonNull<N>> {
        // Acquire: pairs with the Release of `fill`, and of `take_away`.
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        // Acquire: pairs with the Release of `fill`.
        let value = self.value.load(Ordering::Acquire);
        // Acquire: pairs with the Release of `take_away`; the miss that follows has to see the count of moves.
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        NonNull::new(value)
    }
}

impl<N> Shard<'_, N> {
    /// How many groups its array has, for the models.
    #[cfg(loom)]
    pub(crate) fn groups(self) -> usize {
        self.array.array().groups()
    }

    /// How many arrays it has had that are not empty, for the models.
    #[cfg(loom)]
    pub(crate) fn arrays(self) -> usize {
        std::iter::successors(Some(self.array.array()), |array| array.previous()).count()
    }

    /// Frees all arrays, for the models: the tables of hosts stay.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    #[cfg(loom)]
    pub(crate) unsafe fn free(self) {
        let current = self.array.array();
        let mut next = (!current.is_empty()).then_some(current);
        while let Some(array) = next {
            next = array.previous();
            // SAFETY: it was allocated, and the caller says that nobody uses it.
            unsafe { array.free() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
