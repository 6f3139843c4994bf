//! Side tables: concurrent hash maps from the address of an object to an opaque pointer. Lookups take no lock; writers
//! hold the lock of a shard.
//!
//! In: an address, the key. Out: the pointer that the table stores for the key. Each kind of host with a table defines
//! the pointee, and when an entry is removed: `host/arc/mod.rs`, `host/static_ref.rs`, `raw/ids.rs`, `raw/table.rs`.
//! This file has the design, the invariants and the lookup. Neighbours: `writer.rs`, with insertion, removal and
//! growth; `walk.rs`, with the walk over the keys of a shard; `array.rs`, with the memory of slots and tags.
//!
//! A table consists of shards. No user code and no global allocator runs under a shard's lock (R4): a writer drops
//! removed values after it has unlocked the shard, and allocates a larger array while the shard is unlocked.
//!
//! # Layout
//!
//! The hash table uses open addressing with linear probing, in units of groups: four slots and their tags (`array.rs`).
//! The hash of a key selects the home group. A key is in the home group or, if the home group was full, in the next
//! group of the probe sequence that was not full. Insertion sets the *overflow bit* of every full group that the probe
//! passes. Removal leaves no tombstone: backward-shift deletion moves a later key into the freed slot, and without such
//! a key, removal clears the overflow bit. So a shard never rehashes at constant size. Time and memory do not degrade,
//! however many keys come and go.
//!
//! - **T1** Only a thread that holds the shard's lock stores to the shard.
//! - **T2** Every group of a key's probe sequence before the key's own group has the overflow bit set. A group with the
//!   overflow bit set is full: no tag of the group is vacant.
//! - **T3** A replaced array receives no stores.
//! - **T4** An array is not freed once a writer has filled or published the array.
//! - **T5** A key is not removed during a lookup of the key, nor while a thread uses the result of the lookup. The
//!   callers guarantee T5: a thread that looks up the entry of an `Arc` holds the `Arc`, and the entry is removed only
//!   after the last `Arc` is gone. Only the tables of `raw/table.rs` do without T5: see `raw/update_table.rs` and
//!   `raw/pointer_table.rs`.
//! - **T6** A key in its home group stays in its slot until the key is removed or the array is replaced: backward-shift
//!   deletion moves only keys that are outside of their home groups.
//! - **T7** The entries and the reserved slots of a shard together are at most as many as the load factor admits. While
//!   a [`RoomyGuard`](writer::RoomyGuard) is held, they are fewer. So the array has slots, and at least one slot is
//!   vacant.
//! - **T8** A counted removal increments the move counter after the slot's key has become [`DELETED_KEY`], and before
//!   the slot gets another value.
//!
//! # Lookup
//!
//! A full lookup loads the move counter (Acquire), and then the array. For each group of the probe sequence, the lookup
//! loads the tags. For each slot with a matching tag, the lookup loads the key, the value, and the key again. If both
//! loads of the key return the wanted key, the value belongs to the key. A group without the overflow bit ends the
//! probe sequence: the key is absent. The lookup then loads the move counter again, and starts over if the counter has
//! changed.
//!
//! Most lookups end in the home group. So every lookup probes the home group first, without the move counter. A hit in
//! the home group loads the key only once: by T5 and T6 the key stays in its slot, so a value that is loaded after the
//! key is the key's value. A miss in the home group needs one load of the tags. The loaded tags lack the overflow bit,
//! so by T2 the key was in the home group or absent at the time of these tags. No tag matched, so the key was absent.
//!
//! A hit touches two cache lines: a line of tags, shared by 16 groups, and the line of the group's slots. The lookup
//! loads from the line of slots before the tags arrive, so the two cache misses overlap. A miss touches only the line
//! of tags. The overflow bit lets more misses end in the home group when the table is almost full, and about half of
//! the groups are full. Keys at a regular stride, as from an allocator, have overflowed from few full groups. Random
//! keys have overflowed from most full groups, and every second miss probes beyond the home group.
//!
//! In a table larger than the caches, the time of a lookup is the memory latency, divided by the number of lookups that
//! the processor has in flight. The reorder buffer, of about 300 instructions, bounds that number. So each instruction
//! of the lookup counts, even a fast instruction. A lookup has about 30 instructions.
//!
//! # Writers
//!
//! - *Insert*: set the overflow bit of each full group of the probe sequence; then store the value, the tag and the key
//!   of the first vacant slot, in this order.
//! - *Remove*: store the sentinel [`DELETED_KEY`] as the key. If the group has the overflow bit, a key further on may
//!   have overflowed from the group. Copy the first such key into the freed slot, by the stores of an insertion;
//!   increment the move counter; remove the key from its old slot, by the same procedure. Without such a key, store the
//!   vacant tag and clear the overflow bit, in one store. An earlier store would break T2. So an obsolete overflow bit
//!   lasts at most until the next removal from its group.
//! - *Reserve*: under the lock, count one more slot as taken (T7). The insertion by the reservation then needs no
//!   memory.
//! - *Grow*, above a load factor of 13/16: unlock the shard, allocate an array of twice the size, and lock the shard
//!   again. Copy all entries to the new array, link the new array to the old array, and publish the new array. The old
//!   array stays as it is, for lookups that still use it. The global allocator may be user code, so the allocator runs
//!   under no lock (R4). If another writer, or the allocator itself, has made room meanwhile, the writer unlocks the
//!   shard and frees the new array. Each attempt wastes at most one array.
//!
//! # Races
//!
//! - *Lookup and insertion.* The value is stored before the key, by Release stores. A lookup that acquires the key sees
//!   the value, and the initialised memory behind the value. A tag that is visible before the key costs one useless
//!   comparison. The key is stored last, after the overflow bits and the tag. A first lookup may reach the slot by the
//!   tag of an earlier key, and find the new key. Every lookup that happens after the first must find the new key, too,
//!   and reaches the slot by the overflow bits and the tag.
//! - *Lookup and reuse of a slot.* A writer may store the value of another key between the two loads of the key. The
//!   slot's key became `DELETED_KEY` before that Release store of the value. A lookup that acquires the new value finds
//!   at the second load that the wanted key is gone. The wanted key does not return to a slot: within an array, keys
//!   only move towards their home groups, and by T5 the key is not removed and inserted again during the lookup.
//! - *Lookup and move.* A lookup may pass the freed slot before the copy, and reach the old slot after the key is gone.
//!   The move counter is stored by Release, after the copy and before the key is removed. Removal stores `DELETED_KEY`
//!   and the tags by Release, as do later stores to the same memory, and lookups load by Acquire. A lookup that has
//!   read one of these stores finds the counter changed. A lookup that has acquired the new counter at the start sees
//!   the copy, or finds a later counter.
//! - *Lookup and counted removal, without T5.* A lookup may load the wanted key from a slot, and then the value of
//!   another key, which got the slot meanwhile. So [`Shard::find_counted`] loads the move counter before the key and
//!   after the value, and starts over if the counter has changed. *In the home group*, by T6 the wanted key left the
//!   slot by a removal. By T8 the removal stores its count after `DELETED_KEY`, and before the Release store of the
//!   other value. If the first load of the counter returns this count or a later count, the lookup does not load the
//!   wanted key from the slot. If not, the lookup acquires the other value, and the second load returns a changed
//!   counter. *In a full probe*, the wanted key may also have left the slot by a move, which stores its count before
//!   `DELETED_KEY`. But a full probe loads the key again, after the value. This load returns the wanted key only if the
//!   key has come back to the slot. Before that, the other key left the slot, by a second move or removal. This second
//!   change stores its count after the Release store of the other value, and before the wanted key comes back. So a
//!   lookup that acquires the returned key loads a changed counter.
//! - *Lookup, removal and insertion of the wanted key.* If a removal of the key happens before the call, the first load
//!   of the counter returns the removal's count or a later count. By Acquire the lookup sees the removal, in this array
//!   or in a newer array, and returns no earlier value. So a returned value was the key's value at a time during the
//!   call. A miss is right, too: a key that is present during the whole call is not removed during the lookup. So T5
//!   holds for this key, and the lookup finds the key.
//! - *Lookup and growth.* The pointer to the array is stored by Release and loaded by Acquire. A lookup in the old
//!   array finds every entry that was present at the replacement. By T5 these entries include the wanted key, if the
//!   key was present. If the old array lacks the key, the key was absent when the lookup loaded the pointer.
//! - *Writers* hold the lock, so Relaxed suffices for their loads.
//! - *Lookup and destruction of the value* cannot meet, by T5.
//!
//! # Memory, and the price of the design
//!
//! A slot and its tag take 17 bytes. Replaced arrays stay allocated (T4), since a lookup leaves no trace, and no writer
//! can know that a lookup has ended. Together the replaced arrays are smaller than the current array. A shard that has
//! grown takes at most 5 times 17 bytes for each entry of its peak, and about half of that when the array is full. A
//! shard does not shrink when the number of entries falls. The memory behind the values, the larger part, is not kept.
//! Growth copies one shard of many, so growth delays only writers of that shard.
//!
//! # Literature
//!
//! - Groups in a cache line, lookups without a store: CLHT (David, Guerraoui, Trigonakis: "Asynchronized Concurrency",
//!   ASPLOS 2015).
//! - Tags, several compared at once: Swiss tables (Kulukundis, `CppCon` 2017), also in papaya and hashbrown.
//! - Overflow per group: Folly's `F14` (Bronson and Shi, 2019), with a counter instead of a bit.
//! - Backward-shift deletion: Knuth, volume 3, 6.4, algorithm R.
//! - Locks that a lookup of the array does not take, and replaced arrays that stay allocated: `parking_lot`'s table of
//!   queues.

mod array;
#[cfg(all(test, not(loom)))]
mod tests;
mod walk;
mod writer;

use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicUsize, Mutex, Ordering, array_of, const_fn};
use array::{Array, Slot, Tags};
pub(crate) use writer::Reservation;

/// Bits of a hash that select a shard. Under loom 0, since every run of a model must be the same, whatever the
/// addresses. Few under Miri, where a sweep of 128 shards takes a second, but enough for a table of `raw`, which has 8
/// shards.
const SHARD_BITS: u32 = if cfg!(loom) {
    0
} else if cfg!(miri) {
    3
} else {
    7
};

/// Default number of shards of a table, and the maximum.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;

/// A hash table from addresses to pointers. The number of shards is a power of two, and at most [`SHARDS`].
pub(crate) struct SideTable<N, const COUNT: usize = SHARDS> {
    arrays: [ArrayPtr<N>; COUNT],
    states: [WriterState; COUNT],
}

impl<N, const COUNT: usize> SideTable<N, COUNT> {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { arrays: array_of!(COUNT, ArrayPtr::new()), states: array_of!(COUNT, WriterState::new()) }
        }
    }

    /// Finds the pointer of `key`. Takes no lock.
    #[inline]
    pub(crate) fn find(&self, key: usize) -> Option<NonNull<N>> {
        let hash = hash(key);
        match self.arrays[shard_number(hash) % COUNT].find_at_home(key, hash) {
            Ok(value) => Some(value),
            Err(Miss::Absent) => None,
            Err(Miss::NotHome) => self.search(key, hash),
        }
    }

    /// Continues a lookup behind the home group. Takes the hash and computes the shard again, so that a hit in the home
    /// group keeps no other state alive for this call.
    #[cold]
    #[inline(never)]
    fn search(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.shard(hash).search(key, hash)
    }

    /// The shard of a hash.
    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> Shard<'_, N> {
        self.shard_at(shard_number(hash))
    }

    /// The shard of a number, modulo the number of shards.
    #[inline]
    pub(crate) fn shard_at(&self, number: usize) -> Shard<'_, N> {
        let index = number % COUNT;
        Shard::of(&self.arrays[index], &self.states[index])
    }

    #[cfg(test)]
    pub(crate) fn shards(&self) -> impl Iterator<Item = Shard<'_, N>> {
        (0..COUNT).map(|number| self.shard_at(number))
    }
}

/// Shard number of a hash, before the reduction modulo the number of shards: the low bits of the hash.
#[inline]
const fn shard_number(hash: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    let number = hash as usize;
    number
}

/// Fibonacci hashing: multiplies by 2^64 divided by the golden ratio, to 128 bits, and folds the two halves. Real
/// addresses have regular strides, and a table uses bits from either end of the hash: low bits for the shard and the
/// tags, high bits for the group.
#[inline]
pub(crate) fn hash(key: usize) -> u64 {
    let product = (key as u128) * 0x9E37_79B9_7F4A_7C15;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded
}

/// Sentinel key of a slot without an entry. No caller looks up `DELETED_KEY`, or 0, the key of a slot that was never
/// filled. A lookup may see the tag of a slot before the slot's key, and then loads the sentinel or 0.
pub(crate) const DELETED_KEY: usize = usize::MAX;

/// Handle to one shard of a table.
pub(crate) struct Shard<'table, N> {
    array: &'table ArrayPtr<N>,
    state: &'table WriterState,
}

impl<N> Clone for Shard<'_, N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Shard<'_, N> {}

/// Pointer to the current array of a shard. A table stores the pointers of all shards together, in few cache lines.
pub(crate) struct ArrayPtr<N>(AtomicPtr<N>);

/// State of a shard that most lookups do not load. The alignment prevents false sharing between shards.
#[repr(align(64))]
pub(crate) struct WriterState {
    /// Move counter: counts the keys that were moved within an array, and the counted removals (T8). The counter wraps
    /// around. A lookup would miss a change only if a multiple of 2^32 changes, on a 32-bit target, came between the
    /// two loads of the counter. Each change takes the lock of the shard. So the lookup would have to be suspended for
    /// minutes, while other threads do nothing but change the shard, and would have to go on at exactly that count.
    moves: AtomicUsize,
    entries: AtomicUsize,
    /// The lock of all writers.
    room: Mutex<Room>,
}

/// The room of a shard, under the shard's lock.
struct Room {
    /// The most entries of the current array, by the load factor.
    capacity: usize,
    /// The slots for writers with a [`Reservation`].
    reserved: usize,
}

impl<N> ArrayPtr<N> {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self(AtomicPtr::new(Array::empty().into_raw()))
        }
    }

    #[inline]
    fn array(&self) -> Array<N> {
        // Acquire: pairs with the Release store in `Guard::replace_array`.
        // SAFETY: the atomic only ever holds pointers from `Array::into_raw`.
        unsafe { Array::from_raw(self.0.load(Ordering::Acquire)) }
    }

    /// Finds the value of `key` in the key's home group. An error says whether the probe has to continue.
    #[inline]
    fn find_at_home(&self, key: usize, hash: u64) -> Result<NonNull<N>, Miss> {
        let array = self.array();
        let group = array.home(hash);
        // Relaxed: a hit depends on the key, which is acquired, and a miss on this word alone (see "Lookup").
        // SAFETY: a home group is within the array, and by T4 the array is not freed.
        let tags = unsafe { array.tags(group, Ordering::Relaxed) };
        let matches = tags.matches(hash);
        if matches.is_empty() {
            return Err(if tags.has_overflowed() { Miss::NotHome } else { Miss::Absent });
        }
        // SAFETY: a tag matches, so the array is not the empty one and, by M1, has slots; by T4 the array is not freed.
        let first = unsafe { array.slot(group, 0) };
        // Starts the cache miss of the slots before the tags select a slot. Relaxed: the result is not used.
        first.key.load(Ordering::Relaxed);
        // SAFETY: a tag matches, so `matches` has a slot, and by M1 the array has slots; by T4 the array is not freed.
        unsafe { array.first_of(group, &matches) }.value_at_home(key).ok_or(Miss::NotHome)
    }
}

/// Outcome of a lookup that found no value in the home group.
pub(crate) enum Miss {
    /// Not in the home group, but the probe sequence continues; or a counted removal came in between.
    NotHome,
    /// Absent from the shard.
    Absent,
}

impl WriterState {
    const_fn! {
        pub(crate) const fn new() -> Self {
            let room = Mutex::new(Room { capacity: 0, reserved: 0 });
            Self { moves: AtomicUsize::new(0), entries: AtomicUsize::new(0), room }
        }
    }
}

impl<'table, N> Shard<'table, N> {
    #[inline]
    pub(crate) const fn of(array: &'table ArrayPtr<N>, state: &'table WriterState) -> Self {
        Self { array, state }
    }

    /// Finds the value of `key`. Takes no lock.
    #[inline]
    pub(crate) fn find(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        match self.array.find_at_home(key, hash) {
            Ok(value) => Some(value),
            Err(Miss::Absent) => None,
            Err(Miss::NotHome) => self.search(key, hash),
        }
    }

    /// Finds the value of `key` in a table without T5, where every removal is counted (T8). A returned value was the
    /// value of `key` at a time during the call. Takes no lock; starts over if another thread removes an entry of the
    /// shard meanwhile.
    #[inline]
    pub(crate) fn find_counted(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        match self.find_counted_at_home(key, hash) {
            Ok(value) => Some(value),
            Err(Miss::Absent) => None,
            Err(Miss::NotHome) => self.search_counted(key, hash),
        }
    }

    /// As [`find_counted`](Self::find_counted), in the home group alone. After [`Miss::NotHome`], the caller continues
    /// by `find_counted`.
    #[inline]
    pub(crate) fn find_counted_at_home(self, key: usize, hash: u64) -> Result<NonNull<N>, Miss> {
        // Acquire and Relaxed: as in `search_counted`.
        let moves = self.state.moves.load(Ordering::Acquire);
        let value = self.array.find_at_home(key, hash)?;
        if self.state.moves.load(Ordering::Relaxed) == moves { Ok(value) } else { Err(Miss::NotHome) }
    }

    /// Continues [`find_counted`](Self::find_counted) after a removal, or behind the home group.
    #[cold]
    #[inline(never)]
    fn search_counted(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        loop {
            // Acquire: pairs with the Release store in `count_move`. A lookup that acquires the count of a removal
            // sees the removal.
            let moves = self.state.moves.load(Ordering::Acquire);
            let value = self.find(key, hash)?;
            // Relaxed: the Acquire load of the value orders this load after the count of every removal that came
            // before the store of the value.
            if self.state.moves.load(Ordering::Relaxed) == moves {
                return Some(value);
            }
        }
    }

    /// Finds the value of `key` by the full probe sequence. Takes no lock.
    #[inline]
    fn search(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        loop {
            // Acquire: pairs with the Release store in `count_move`.
            let moves = self.state.moves.load(Ordering::Acquire);
            if let Some(value) = probe(self.array.array(), key, hash) {
                return Some(value);
            }
            // Relaxed: the Acquire loads of tags and keys order this load after the counter of every move that they
            // have seen.
            if self.state.moves.load(Ordering::Relaxed) == moves {
                return None;
            }
        }
    }

    /// Number of entries; an estimate for callers without the lock.
    pub(crate) fn entries(self) -> usize {
        // Relaxed: no memory is accessed by means of the number. A thread that holds the lock loads the exact number.
        self.state.entries.load(Ordering::Relaxed)
    }
}

/// Probes an array once.
fn probe<N>(array: Array<N>, key: usize, hash: u64) -> Option<NonNull<N>> {
    let mut group = array.home(hash);
    for _ in 0..array.groups() {
        // SAFETY: the group is less than `groups`: `home` or `after` has returned it.
        let (tags, value) = unsafe { probe_group(array, group, key, hash) };
        if value.is_some() || !tags.has_overflowed() {
            return value;
        }
        group = array.after(group);
    }
    None
}

/// Probes one group. The returned tags were loaded before the keys.
///
/// # Safety
///
/// `group` is less than `groups`.
#[inline]
unsafe fn probe_group<N>(array: Array<N>, group: usize, key: usize, hash: u64) -> (Tags, Option<NonNull<N>>) {
    // Acquire: pairs with the Release stores of tags in `put`, `fill` and `make_vacant`.
    // SAFETY: by the contract the group exists, and by T4 the array is not freed.
    let tags = unsafe { array.tags(group, Ordering::Acquire) };
    for index in tags.matches(hash) {
        // SAFETY: a tag matches, so the array is not the empty one and, by M1, has slots; by the contract the group
        // exists, and by T4 the array is not freed.
        if let Some(value) = unsafe { array.slot(group, index) }.value_of(key) {
            return (tags, Some(value));
        }
    }
    (tags, None)
}

impl<N> Slot<N> {
    /// The slot's value, if the slot has `key` and is in the key's home group, where the key stays (T6).
    #[inline]
    fn value_at_home(&self, key: usize) -> Option<NonNull<N>> {
        // Acquire: pairs with the Release store of the key in `fill`.
        let seen = self.key.load(Ordering::Acquire);
        // Acquire: pairs with the Release stores of the value in `fill` and `replace`. The load is unconditional, which
        // saves the calculation of an address.
        let value = self.value.load(Ordering::Acquire);
        // SAFETY: `fill` stores a non-null value before the key, and the Acquire load has returned that key.
        (seen == key).then(|| unsafe { NonNull::new_unchecked(value) })
    }

    /// The slot's value, if the slot has `key` before and after the load of the value.
    #[inline]
    fn value_of(&self, key: usize) -> Option<NonNull<N>> {
        // Acquire: pairs with the Release stores of the key in `fill` and `mark_deleted`.
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        // Acquire: pairs with the Release stores of the value in `fill` and `replace`.
        let value = self.value.load(Ordering::Acquire);
        // Acquire: pairs with the Release store of `DELETED_KEY` in `mark_deleted`. The miss that follows must see the
        // move counter.
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        NonNull::new(value)
    }
}

impl<N> Shard<'_, N> {
    /// Number of groups of the current array, for the models.
    #[cfg(all(test, loom))]
    pub(crate) fn groups(self) -> usize {
        self.array.array().groups()
    }

    /// Number of arrays so far, except for the empty array, for the models.
    #[cfg(all(test, loom))]
    pub(crate) fn arrays(self) -> usize {
        std::iter::successors(Some(self.array.array()), |array| array.previous()).count()
    }

    /// Frees all arrays, for the models. The tables of hosts are statics and stay.
    ///
    /// # Safety
    ///
    /// No thread uses the shard during or after the call.
    #[cfg(all(test, loom))]
    pub(crate) unsafe fn free(self) {
        let current = self.array.array();
        let mut next = (!current.is_empty()).then_some(current);
        while let Some(array) = next {
            next = array.previous();
            // SAFETY: the array is not the empty one, so `Array::allocate` made it. No thread uses it, as this function
            // requires.
            unsafe { array.free() };
        }
    }
}
