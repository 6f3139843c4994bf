//! The writers of a shard: insertion, replacement of values, removal with backward-shift deletion, and growth.
//!
//! In: keys and values, under the shard's lock. Out: a shard that is consistent for concurrent lookups. Neighbours:
//! `mod.rs`, with the invariants T1 to T8, and the argument why the races are harmless; `array.rs`, the memory.

use std::convert::Infallible;
use std::ptr::NonNull;

use super::array::{Array, SLOTS, Tags};
use super::{DELETED_KEY, Room, Shard, WriterState, hash, probe};
use crate::fallible::OutOfMemory;
use crate::sync::{Locked, Ordering, lock};

/// The load factor above which a shard grows, as a fraction.
const LOAD_FACTOR: [usize; 2] = [13, 16];

/// The locked shard: grants write access.
pub(crate) struct Guard<'table, N> {
    pub(super) shard: Shard<'table, N>,
    room: Locked<'table, Room>,
}

/// The locked shard, with room for at least one more entry (T7).
pub(crate) struct RoomyGuard<'table, N> {
    guard: Guard<'table, N>,
    /// Number of entries.
    entries: usize,
}

/// A reserved slot of a shard that is not locked: an insertion by [`lock`](Self::lock) needs no memory. The drop gives
/// the slot back, and takes the lock for a moment.
pub(crate) struct Reservation<'table, N> {
    shard: Shard<'table, N>,
}

/// Position of a slot. The slot exists in an array if the array is not the empty one, `group` is less than `groups`,
/// and `index` is less than [`SLOTS`].
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) group: usize,
    pub(super) index: usize,
}

impl<N> Guard<'_, N> {
    /// Finds the value of `key`.
    pub(crate) fn find(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        probe(self.shard.array.array(), key, hash)
    }

    /// As [`find`](Self::find), for keys that are probably absent: cold, so that the caller's hot path stays small.
    #[cold]
    fn find_if_at_all(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.find(key, hash)
    }

    /// Replaces the value of `key`, if the key is present.
    pub(crate) fn replace(&mut self, key: usize, hash: u64, value: NonNull<N>) {
        let array = self.shard.array.array();
        if let Some(Position { group, index }) = position(array, key, hash) {
            // SAFETY: the key is in the slot, so the slot exists; by T4 the array is not freed.
            // Release: publishes the value; pairs with the Acquire loads of the value in `value_at_home` and
            // `value_of`.
            unsafe { array.slot(group, index) }.value.store(value.as_ptr(), Ordering::Release);
        }
    }

    /// Removes `key` and returns its value. No thread looks up the key during or after the call, or uses its value
    /// (T5).
    #[inline]
    pub(crate) fn remove(&mut self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.remove_with(key, hash, |_| ())
    }

    /// As [`remove`](Self::remove), without T5: lookups of the key may run meanwhile. Counts the removal (T8).
    #[inline]
    pub(crate) fn remove_counted(&mut self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.remove_with(key, hash, WriterState::count_move)
    }

    /// Removes `key`. Calls `deleted` after the slot's key has become [`DELETED_KEY`], and before the slot gets another
    /// value.
    #[inline]
    fn remove_with(&mut self, key: usize, hash: u64, deleted: impl FnOnce(&WriterState)) -> Option<NonNull<N>> {
        let array = self.shard.array.array();
        let position = position(array, key, hash)?;
        // SAFETY: the key is in the slot, so the slot exists.
        let value = unsafe { value_at(array, position) };
        // SAFETY: the key is in the slot, a slot of the current array.
        unsafe { self.vacate(array, position, deleted) };
        Some(value)
    }

    /// Calls `visit` with every key and its value. `visit` runs under the shard's lock.
    pub(crate) fn each(&self, mut visit: impl FnMut(usize, NonNull<N>)) {
        let array = self.shard.array.array();
        for group in 0..array.groups() {
            for index in 0..SLOTS {
                // SAFETY: `group` is less than `groups`, and `index` is less than `SLOTS`.
                if let Some((key, value)) = unsafe { occupant(array, Position { group, index }) } {
                    visit(key, value);
                }
            }
        }
    }

    /// Removes the key of a slot, and calls `deleted` as [`remove_with`](Self::remove_with) does.
    ///
    /// # Safety
    ///
    /// `array` is the current array, and the slot exists and is not vacant.
    #[inline]
    unsafe fn vacate(&mut self, array: Array<N>, position: Position, deleted: impl FnOnce(&WriterState)) {
        // Relaxed: under the lock; lookups without the lock take the number as an estimate.
        self.shard.state.entries.store(self.shard.entries() - 1, Ordering::Relaxed);
        // SAFETY: by the contract the slot exists; `self` holds the lock.
        unsafe { mark_deleted(array, position) };
        deleted(self.shard.state);
        // SAFETY: by the contract the slot exists, and so the group.
        let seen = unsafe { tags(array, position.group) };
        if seen.has_overflowed() {
            // SAFETY: by the contract the slot exists in the current array; its key is deleted.
            unsafe { self.shift_back(array, position) };
        } else {
            // SAFETY: by the contract the slot exists; `self` holds the lock, and `seen` are the group's tags. Without
            // the overflow bit, by T2 no key has overflowed from the group, so no key moves into the slot.
            unsafe { make_vacant(array, position, seen) };
        }
    }

    /// Backward-shift deletion: moves the first key that has overflowed from the freed slot's group into the freed
    /// slot, and continues with the slot that this move frees. The last freed slot becomes vacant (T2).
    ///
    /// # Safety
    ///
    /// `array` is the current array, and the slot `freed` exists, is not vacant, and has the key [`DELETED_KEY`].
    #[cold]
    unsafe fn shift_back(&self, array: Array<N>, mut freed: Position) {
        loop {
            // The overflow bit and the tag stay set until it is known that no key moves here. So T2 holds for lookups
            // at any time.
            // SAFETY: the slot exists, and so the group: by the contract, or since a key was in the slot.
            let seen = unsafe { tags(array, freed.group) };
            let first_overflowed = if seen.has_overflowed() { first_overflowed(array, freed.group) } else { None };
            let Some((from, key, hash)) = first_overflowed else {
                // SAFETY: the slot exists, as above; `self` holds the lock, and `seen` are the group's tags. No key has
                // overflowed from the group, so no key moves into the slot.
                return unsafe { make_vacant(array, freed, seen) };
            };
            // SAFETY: the key is in the slot, so the slot exists.
            let value = unsafe { value_at(array, from) };
            // SAFETY: the slot exists, as above; `self` holds the lock. The tags are the group's tags without the tag
            // of the slot, and the slot has no key any more.
            unsafe { fill(array, freed, seen.without(freed.index), key, hash, value) };
            // After the copy, and before the removal from the old slot.
            self.shard.state.count_move();
            // SAFETY: the key is in the slot, so the slot exists; `self` holds the lock.
            unsafe { mark_deleted(array, from) };
            freed = from;
        }
    }

    /// Publishes `to`, of twice the size, in place of the current array, with a copy of all entries.
    ///
    /// # Safety
    ///
    /// `to` comes from [`Array::allocate`], is not published yet, and has more slots than the current array.
    unsafe fn replace_array(&mut self, to: Array<N>) {
        let from = self.shard.array.array();
        self.each(|key, value| {
            // SAFETY: by the contract `to` is not the empty array, is not published, and has a slot for each entry.
            unsafe { put(to, key, hash(key), value) };
        });
        // SAFETY: by the contract `to` comes from `Array::allocate`, and is not published yet.
        unsafe { to.set_previous(from) };
        // Release: publishes the array; pairs with the Acquire load in `ArrayPtr::array`.
        self.shard.array.0.store(to.into_raw(), Ordering::Release);
        let [part, whole] = LOAD_FACTOR;
        self.room.capacity = to.groups() * SLOTS * part / whole;
    }

    /// Whether one more entry would exceed the load factor.
    #[inline]
    fn is_full(&self) -> bool {
        self.shard.entries() + self.room.reserved >= self.room.capacity
    }
}

impl WriterState {
    /// Increments the move counter. The caller holds the lock.
    #[inline]
    fn count_move(&self) {
        // Relaxed: under the lock. Release: pairs with the Acquire loads in `Shard::search` and `Shard::find_counted`.
        self.moves.store(self.moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
    }
}

impl<'table, N> Shard<'table, N> {
    pub(crate) fn lock(self) -> Guard<'table, N> {
        Guard { shard: self, room: lock(&self.state.room) }
    }

    /// Locks the shard, with room for one more entry. Growth calls the global allocator, under no lock of the shard.
    #[inline]
    pub(crate) fn lock_with_room(self) -> RoomyGuard<'table, N> {
        loop {
            if let Some(guard) = self.lock_if_roomy() {
                return guard;
            }
            self.make_room();
        }
    }

    /// As [`lock_with_room`](Self::lock_with_room), with an error if there is no memory.
    pub(crate) fn try_lock_with_room(self) -> Result<RoomyGuard<'table, N>, OutOfMemory> {
        loop {
            if let Some(guard) = self.lock_if_roomy() {
                return Ok(guard);
            }
            self.try_make_room()?;
        }
    }

    /// Locks the shard, if there is room for one more entry. If not, the shard stays unlocked: the caller releases its
    /// other locks, and then calls [`make_room`](Self::make_room).
    #[inline]
    pub(crate) fn lock_if_roomy(self) -> Option<RoomyGuard<'table, N>> {
        let guard = self.lock();
        let entries = self.entries();
        (!guard.is_full()).then_some(RoomyGuard { guard, entries })
    }

    /// Reserves a slot for one insertion. Growth calls the global allocator, under no lock of the shard.
    pub(crate) fn try_reserve(self) -> Result<Reservation<'table, N>, OutOfMemory> {
        self.try_lock_with_room()?.guard.room.reserved += 1;
        Ok(Reservation { shard: self })
    }

    /// Replaces the array by an array of twice the size, unless another thread has made room meanwhile. The caller
    /// holds no lock: the global allocator runs, and may be user code (R4).
    #[cold]
    pub(crate) fn make_room(self) {
        let made = self.make_room_in(|bits| Ok::<_, Infallible>(Array::allocate(bits)));
        match made {
            Ok(()) => {}
            Err(never) => match never {},
        }
    }

    /// As [`make_room`](Self::make_room), with an error if there is no memory.
    #[cold]
    pub(crate) fn try_make_room(self) -> Result<(), OutOfMemory> {
        self.make_room_in(Array::try_allocate)
    }

    /// Makes room in an array of `allocate`, whose argument is that of [`Array::try_allocate`].
    fn make_room_in<E>(self, allocate: impl FnOnce(u32) -> Result<Array<N>, E>) -> Result<(), E> {
        let from = self.array.array();
        let to = allocate(if from.is_empty() { 1 } else { from.groups().trailing_zeros() + 1 })?;
        let mut guard = self.lock();
        let is_due = guard.shard.array.array() == from && guard.is_full();
        if is_due {
            // SAFETY: `to` comes from `Array::allocate`, is not published, and has more slots than the current array,
            // which is still `from`.
            unsafe { guard.replace_array(to) };
        }
        drop(guard);
        if !is_due {
            // SAFETY: `to` comes from `Array::allocate`, and was not published, so no other thread uses the array.
            unsafe { to.free() };
        }
        Ok(())
    }
}

impl<'table, N> Reservation<'table, N> {
    /// Locks the shard, with the slot for one insertion.
    pub(crate) fn lock(self) -> RoomyGuard<'table, N> {
        let mut guard = self.shard.lock();
        // The entries and the reserved slots together were at most the capacity. So T7 holds for the guard.
        guard.room.reserved -= 1;
        std::mem::forget(self);
        let entries = guard.shard.entries();
        RoomyGuard { guard, entries }
    }
}

impl<N> Drop for Reservation<'_, N> {
    fn drop(&mut self) {
        self.shard.lock().room.reserved -= 1;
    }
}

impl<N> RoomyGuard<'_, N> {
    /// Finds the value of `key`.
    pub(crate) fn find(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.guard.find(key, hash)
    }

    /// Replaces the value of `key`, if the key is present.
    pub(crate) fn replace(mut self, key: usize, hash: u64, value: NonNull<N>) {
        self.guard.replace(key, hash, value);
    }

    /// Inserts `key`, which must be absent, with `value`.
    pub(crate) fn insert(self, key: usize, hash: u64, value: NonNull<N>) {
        let array = self.guard.shard.array.array();
        let home = array.home(hash);
        // SAFETY: the home group is less than `groups`.
        let seen = unsafe { tags(array, home) };
        // SAFETY: `home` is the key's home group in the current array, and `seen` are the tags of that group.
        unsafe { self.insert_at(array, home, seen, key, hash, value) };
    }

    /// As [`insert`](Self::insert), for a caller that has loaded the array, the key's home group, and its tags.
    ///
    /// # Safety
    ///
    /// `array` is the current array, `home` is the key's home group, and `seen` are the tags of `home`, loaded under
    /// the lock.
    #[inline]
    unsafe fn insert_at(self, array: Array<N>, home: usize, seen: Tags, key: usize, hash: u64, value: NonNull<N>) {
        debug_assert_ne!(key, DELETED_KEY, "a caller looks for it");
        // Relaxed: under the lock; lookups without the lock take the number as an estimate.
        self.guard.shard.state.entries.store(self.entries + 1, Ordering::Relaxed);
        match seen.vacant() {
            // SAFETY: by T7 the current array has slots, and by the contract `home` is a group; so the slot exists. By
            // the contract `seen` are the group's tags, and the slot is vacant. `self` holds the lock.
            Some(index) => unsafe { fill(array, Position { group: home, index }, seen, key, hash, value) },
            // SAFETY: by T7 the current array has slots, and a vacant slot. `self` holds the lock.
            None => unsafe { put_beyond_home(array, key, hash, value) },
        }
    }

    /// Inserts `key` with `value`, if the key is absent. Otherwise returns the present value.
    #[inline]
    pub(crate) fn insert_first(self, key: usize, hash: u64, value: NonNull<N>) -> Option<NonNull<N>> {
        let array = self.guard.shard.array.array();
        let home = array.home(hash);
        // SAFETY: the home group is less than `groups`.
        let seen = unsafe { tags(array, home) };
        // By T2 a key is absent, if no tag of its home group matches, and the overflow bit is clear.
        let is_absent = seen.matches(hash).is_empty() && !seen.has_overflowed();
        let there = if is_absent { None } else { self.guard.find_if_at_all(key, hash) };
        if there.is_none() {
            // SAFETY: `home` is the key's home group in the current array, and `seen` are the tags of that group: the
            // lock has been held since the load.
            unsafe { self.insert_at(array, home, seen, key, hash, value) };
        }
        there
    }
}

/// Loads the tags of a group, under the lock.
///
/// # Safety
///
/// `group` is less than `groups`.
pub(super) unsafe fn tags<N>(array: Array<N>, group: usize) -> Tags {
    // SAFETY: by the contract the group exists, and by T4 the array is not freed.
    // Relaxed: under the lock.
    unsafe { array.tags(group, Ordering::Relaxed) }
}

/// Finds the position of a key, under the lock. Fast path: the home group.
#[inline]
pub(super) fn position<N>(array: Array<N>, key: usize, hash: u64) -> Option<Position> {
    let home = array.home(hash);
    // SAFETY: the home group is less than `groups`.
    let seen = unsafe { tags(array, home) };
    // SAFETY: the home group is less than `groups`, and `seen` are its tags.
    match unsafe { position_in(array, home, seen, key, hash) } {
        // SAFETY: the next group is less than `groups`.
        None if seen.has_overflowed() => unsafe { position_from(array, array.after(home), key, hash) },
        position => position,
    }
}

/// As [`position`], from `group` on, the group after the home group.
///
/// # Safety
///
/// `group` is less than `groups`.
#[cold]
unsafe fn position_from<N>(array: Array<N>, mut group: usize, key: usize, hash: u64) -> Option<Position> {
    for _ in 1..array.groups() {
        // SAFETY: the group is less than `groups`: by the contract, or since `after` has returned it.
        let seen = unsafe { tags(array, group) };
        // SAFETY: the group is less than `groups`, as above, and `seen` are its tags.
        let position = unsafe { position_in(array, group, seen, key, hash) };
        if position.is_some() || !seen.has_overflowed() {
            return position;
        }
        group = array.after(group);
    }
    None
}

/// Finds the position of a key in a group with these tags, under the lock.
///
/// # Safety
///
/// `group` is less than `groups`, and `tags` are the group's tags.
#[inline]
unsafe fn position_in<N>(array: Array<N>, group: usize, tags: Tags, key: usize, hash: u64) -> Option<Position> {
    // SAFETY: by the contract the group exists, and a tag of the group matches, so by M1 the array has slots; by T4 the
    // array is not freed.
    // Relaxed: under the lock.
    let has_key = |index: &usize| unsafe { array.slot(group, *index) }.key.load(Ordering::Relaxed) == key;
    tags.matches(hash).find(has_key).map(|index| Position { group, index })
}

/// The key and the value of a slot, or `None` for a vacant slot. Under the lock.
///
/// # Safety
///
/// The position's group is less than `groups`, and the index is less than [`SLOTS`].
unsafe fn occupant<N>(array: Array<N>, position: Position) -> Option<(usize, NonNull<N>)> {
    // SAFETY: by the contract the group exists.
    let seen = unsafe { tags(array, position.group) };
    seen.is_taken(position.index).then(|| {
        // SAFETY: the slot is not vacant, so by M1 the array has slots, and by the contract this slot.
        let key = unsafe { key_at(array, position) };
        // SAFETY: the slot exists, as above.
        (key, unsafe { value_at(array, position) })
    })
}

/// The key of a slot that is not vacant, under the lock.
///
/// # Safety
///
/// The slot exists.
pub(super) unsafe fn key_at<N>(array: Array<N>, Position { group, index }: Position) -> usize {
    // SAFETY: by the contract the slot exists; by T4 the array is not freed.
    // Relaxed: under the lock.
    unsafe { array.slot(group, index) }.key.load(Ordering::Relaxed)
}

/// The value of a slot that is not vacant, under the lock.
///
/// # Safety
///
/// The slot exists.
unsafe fn value_at<N>(array: Array<N>, Position { group, index }: Position) -> NonNull<N> {
    // SAFETY: by the contract the slot exists; by T4 the array is not freed.
    // Relaxed: under the lock.
    let value = unsafe { array.slot(group, index) }.value.load(Ordering::Relaxed);
    NonNull::new(value).expect("a slot that is not vacant has a value")
}

/// Cold path of an insertion: the home group is full. By T7 a later group of the probe sequence has a vacant slot.
///
/// # Safety
///
/// As of [`put`].
#[cold]
unsafe fn put_beyond_home<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    // SAFETY: by the contract.
    unsafe { put(array, key, hash, value) };
}

/// Inserts a key in the first vacant slot of its probe sequence, and sets the overflow bit of each full group before
/// that slot.
///
/// # Safety
///
/// The array is not the empty one, and has a vacant slot. The caller holds the shard's lock, and the array is the
/// current array or not published yet.
unsafe fn put<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    let mut group = array.home(hash);
    loop {
        // SAFETY: the group is less than `groups`: `home` or `after` has returned it.
        let seen = unsafe { tags(array, group) };
        if let Some(index) = seen.vacant() {
            // SAFETY: the group exists, as above, and by the contract the array is not the empty one; so the slot
            // exists. `seen` are the group's tags, and the slot is vacant. By the contract the lock is held.
            return unsafe { fill(array, Position { group, index }, seen, key, hash, value) };
        }
        // SAFETY: the group exists, as above; by T4 the array is not freed, and by T1 no other thread stores tags.
        // Release: pairs with the Acquire load of the tags in `probe_group`. A lookup that loads these tags instead of
        // those of an earlier `make_vacant` must see the move counter, too.
        unsafe { array.set_tags(group, seen.with_overflow(), Ordering::Release) };
        group = array.after(group);
    }
}

/// Fills a slot, vacant according to the tags of its group.
///
/// # Safety
///
/// The slot exists and has no key. `tags` are the tags of the slot's group, without a tag of the slot. The caller holds
/// the shard's lock, and the array is the current array or not published yet.
#[inline]
unsafe fn fill<N>(array: Array<N>, at: Position, tags: Tags, key: usize, hash: u64, value: NonNull<N>) {
    let Position { group, index } = at;
    debug_assert!(!tags.is_taken(index), "its tag would be mixed with another");
    // SAFETY: by the contract the slot exists, and by T4 the array is not freed.
    let slot = unsafe { array.slot(group, index) };
    // Release: after the `DELETED_KEY` of an earlier key; pairs with the Acquire loads of the value in `value_at_home`
    // and `value_of`.
    slot.value.store(value.as_ptr(), Ordering::Release);
    // SAFETY: by the contract the slot exists, and so the group; by T4 the array is not freed. By the contract the lock
    // is held, so by T1 no other thread stores tags.
    // Release: as in `put`, pairs with the Acquire load of the tags in `probe_group`.
    unsafe { array.set_tags(group, tags.with(index, hash), Ordering::Release) };
    // Release: after the value and the tag; pairs with the Acquire loads of the key in `value_of` and `value_at_home`.
    slot.key.store(key, Ordering::Release);
}

/// Marks the key of a slot as deleted.
///
/// # Safety
///
/// The slot exists in the current array, and the caller holds the shard's lock.
#[inline]
unsafe fn mark_deleted<N>(array: Array<N>, Position { group, index }: Position) {
    // SAFETY: by the contract the slot exists, and by T4 the array is not freed.
    // Release: after the move counter; pairs with the Acquire loads of the key in `value_of`.
    unsafe { array.slot(group, index) }.key.store(DELETED_KEY, Ordering::Release);
}

/// Makes a slot vacant, and clears the overflow bit of its group.
///
/// # Safety
///
/// The slot exists in the current array, and no key moves into the slot. `tags` are the tags of the slot's group. The
/// caller holds the shard's lock.
#[inline]
unsafe fn make_vacant<N>(array: Array<N>, Position { group, index }: Position, tags: Tags) {
    let vacant = tags.without_overflow().without(index);
    // SAFETY: by the contract the slot exists, and so the group; by T4 the array is not freed. By the contract the lock
    // is held, so by T1 no other thread stores tags.
    // Release: after the move counter; pairs with the Acquire load of the tags in `probe_group`.
    unsafe { array.set_tags(group, vacant, Ordering::Release) };
}

/// Finds the first key after `group` whose probe sequence includes `group`. By T2 the search ends behind a group
/// without the overflow bit.
fn first_overflowed<N>(array: Array<N>, group: usize) -> Option<(Position, usize, u64)> {
    let distance = |from: usize, to: usize| to.wrapping_sub(from) % array.groups();
    let mut later = array.after(group);
    while later != group {
        // SAFETY: `after` has returned the group, so the group is less than `groups`.
        for index in unsafe { tags(array, later) }.taken() {
            // SAFETY: the group exists, as above, and the slot is not vacant, so by M1 the array has slots.
            let key = unsafe { key_at(array, Position { group: later, index }) };
            let hash = hash(key);
            if distance(array.home(hash), later) >= distance(group, later) {
                return Some((Position { group: later, index }, key, hash));
            }
        }
        // SAFETY: the group exists, as above.
        if !unsafe { tags(array, later) }.has_overflowed() {
            return None;
        }
        later = array.after(later);
    }
    None
}
