//! The writers of a shard: insertion, replacement of values, removal with backward-shift deletion, and growth.
//!
//! In: keys and values, under the shard's lock. Out: a shard that is consistent for concurrent lookups. `../shard.rs`
//! has the invariants T1 to T7, and argues which races are harmless.

use std::ptr::NonNull;

use super::{NOBODY, Shard, look};
use crate::side_table::array::{Array, SLOTS};
use crate::side_table::hash;
use crate::side_table::tags::Tags;
use crate::sync::{Locked, Ordering, lock};

/// State of a shard that only writers access, under the shard's lock.
pub(super) struct Writer {
    /// Maximum number of entries of the current array, by the load factor.
    most: usize,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { most: 0 }
    }
}

/// The locked shard: grants write access.
pub(crate) struct Guard<'table, N> {
    pub(super) shard: Shard<'table, N>,
    pub(super) writer: Locked<'table, Writer>,
}

/// The locked shard, with room for at least one more entry (T7).
pub(crate) struct RoomyGuard<'table, N> {
    guard: Guard<'table, N>,
    /// Number of entries.
    entries: usize,
}

/// Position of a slot in an array.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) group: usize,
    pub(super) index: usize,
}

impl<N> Guard<'_, N> {
    /// Finds the value of `key`.
    pub(crate) fn find(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        look(self.shard.array.array(), key, hash)
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
        let array = self.shard.array.array();
        let position = position(array, key, hash)?;
        let value = value_at(array, position);
        self.vacate(array, position);
        Some(value)
    }

    /// Calls `visit` with every key and its value. `visit` runs under the shard's lock.
    pub(crate) fn each(&self, mut visit: impl FnMut(usize, NonNull<N>)) {
        let array = self.shard.array.array();
        for group in 0..array.groups() {
            for index in 0..SLOTS {
                if let Some((key, value)) = occupant(array, Position { group, index }) {
                    visit(key, value);
                }
            }
        }
    }

    /// Removes the key of a slot.
    #[inline]
    pub(super) fn vacate(&mut self, array: Array<N>, position: Position) {
        // Relaxed: under the lock; lookups without the lock take the number as an estimate.
        self.shard.upkeep.entries.store(self.shard.entries() - 1, Ordering::Relaxed);
        take_away(array, position);
        let seen = tags(array, position.group);
        if seen.was_passed() {
            self.move_back(array, position);
        } else {
            make_vacant(array, position, seen);
        }
    }

    /// Backward-shift deletion: moves the first key that has overflowed from the freed slot's group into the freed
    /// slot, and continues with the slot that this move frees. The last freed slot becomes vacant (T2).
    #[cold]
    fn move_back(&self, array: Array<N>, mut hole: Position) {
        loop {
            // The overflow bit and the tag stay set until it is known that no key moves here. So T2 holds for lookups
            // at any time.
            let seen = tags(array, hole.group);
            let overflown = if seen.was_passed() { overflown(array, hole.group) } else { None };
            let Some((from, key, hash)) = overflown else {
                return make_vacant(array, hole, seen);
            };
            fill(array, hole, seen.without(hole.index), key, hash, value_at(array, from));
            // Relaxed load: under the lock. Release: after the copy, and before the removal from the old slot; pairs
            // with the Acquire load of the move counter in `search`.
            let moves = &self.shard.upkeep.moves;
            moves.store(moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
            take_away(array, from);
            hole = from;
        }
    }

    /// Publishes `to`, of twice the size, in place of the current array, with a copy of all entries.
    fn replace_array(&mut self, to: Array<N>) {
        let from = self.shard.array.array();
        self.each(|key, value| put(to, key, hash(key), value));
        // SAFETY: `to` comes from `Array::allocate`, and is not published yet.
        unsafe { to.set_previous(from) };
        // Release: publishes the array; pairs with the Acquire load in `Current::array`.
        self.shard.array.0.store(to.into_raw(), Ordering::Release);
        self.writer.most = to.groups() * SLOTS * 13 / 16;
    }

    /// Whether one more entry would exceed the load factor.
    #[inline]
    fn is_full(&self) -> bool {
        self.shard.entries() >= self.writer.most
    }
}

impl<'table, N> Shard<'table, N> {
    pub(crate) fn lock(self) -> Guard<'table, N> {
        Guard { shard: self, writer: lock(&self.upkeep.writer) }
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

    /// Locks the shard, if there is room for one more entry. If not, the shard stays unlocked: the caller releases its
    /// other locks, and then calls [`make_room`](Self::make_room).
    #[inline]
    pub(crate) fn lock_if_roomy(self) -> Option<RoomyGuard<'table, N>> {
        let guard = self.lock();
        let entries = self.entries();
        (entries < guard.writer.most).then_some(RoomyGuard { guard, entries })
    }

    /// Replaces the array by an array of twice the size, unless another thread has made room meanwhile. The caller
    /// holds no lock: the global allocator runs, and may be user code (R4).
    #[cold]
    pub(crate) fn make_room(self) {
        let from = self.array.array();
        let to = Array::allocate(if from.is_empty() { 1 } else { from.groups().trailing_zeros() + 1 });
        let mut guard = self.lock();
        let is_due = guard.shard.array.array() == from && guard.is_full();
        if is_due {
            guard.replace_array(to);
        }
        drop(guard);
        if !is_due {
            // SAFETY: `to` comes from `Array::allocate`, and was not published, so no other thread uses the array.
            unsafe { to.free() };
        }
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
        self.insert_at(array, home, tags(array, home), key, hash, value);
    }

    /// As [`insert`](Self::insert), for a caller that has loaded the array, the key's home group, and its tags.
    #[inline]
    fn insert_at(self, array: Array<N>, home: usize, seen: Tags, key: usize, hash: u64, value: NonNull<N>) {
        debug_assert_ne!(key, NOBODY, "a caller looks for it");
        // Relaxed: under the lock; lookups without the lock take the number as an estimate.
        self.guard.shard.upkeep.entries.store(self.entries + 1, Ordering::Relaxed);
        match seen.vacant() {
            // By T7 the array has slots.
            Some(index) => fill(array, Position { group: home, index }, seen, key, hash, value),
            None => put_further_on(array, key, hash, value),
        }
    }

    /// Inserts `key` with `value`, if the key is absent. Otherwise returns the present value.
    #[inline]
    pub(crate) fn insert_first(self, key: usize, hash: u64, value: NonNull<N>) -> Option<NonNull<N>> {
        let array = self.guard.shard.array.array();
        let home = array.home(hash);
        let seen = tags(array, home);
        // By T2 a key is absent, if no tag of its home group matches, and the overflow bit is clear.
        let is_absent = seen.matches(hash).is_empty() && !seen.was_passed();
        let there = if is_absent { None } else { self.guard.find_if_at_all(key, hash) };
        if there.is_none() {
            self.insert_at(array, home, seen, key, hash, value);
        }
        there
    }
}

/// Loads the tags of a group, under the lock.
pub(super) fn tags<N>(array: Array<N>, group: usize) -> Tags {
    // SAFETY: all callers pass a group of the array, and by T4 the array is not freed.
    // Relaxed: under the lock.
    unsafe { array.tags(group, Ordering::Relaxed) }
}

/// Finds the position of a key, under the lock. Fast path: the home group.
#[inline]
pub(super) fn position<N>(array: Array<N>, key: usize, hash: u64) -> Option<Position> {
    let home = array.home(hash);
    let seen = tags(array, home);
    match position_in(array, home, seen, key, hash) {
        None if seen.was_passed() => position_from(array, array.after(home), key, hash),
        position => position,
    }
}

/// As [`position`], from `group` on, the group after the home group.
#[cold]
fn position_from<N>(array: Array<N>, mut group: usize, key: usize, hash: u64) -> Option<Position> {
    for _ in 1..array.groups() {
        let seen = tags(array, group);
        let position = position_in(array, group, seen, key, hash);
        if position.is_some() || !seen.was_passed() {
            return position;
        }
        group = array.after(group);
    }
    None
}

/// Finds the position of a key in a group with these tags, under the lock.
#[inline]
fn position_in<N>(array: Array<N>, group: usize, tags: Tags, key: usize, hash: u64) -> Option<Position> {
    // SAFETY: a tag matches, so the array has slots (M1); by T4 the array is not freed.
    // Relaxed: under the lock.
    let has_key = |index: &usize| unsafe { array.slot(group, *index) }.key.load(Ordering::Relaxed) == key;
    tags.matches(hash).find(has_key).map(|index| Position { group, index })
}

/// The key and the value of a slot, or `None` for a vacant slot. Under the lock.
pub(super) fn occupant<N>(array: Array<N>, position: Position) -> Option<(usize, NonNull<N>)> {
    let Position { group, index } = position;
    tags(array, group).is_taken(index).then(|| (key_at(array, position), value_at(array, position)))
}

/// The key of a slot that is not vacant, under the lock.
pub(super) fn key_at<N>(array: Array<N>, Position { group, index }: Position) -> usize {
    // SAFETY: the slot is not vacant, so the array has slots (M1); by T4 the array is not freed.
    // Relaxed: under the lock.
    unsafe { array.slot(group, index) }.key.load(Ordering::Relaxed)
}

/// The value of a slot that is not vacant, under the lock.
pub(super) fn value_at<N>(array: Array<N>, Position { group, index }: Position) -> NonNull<N> {
    // SAFETY: the slot is not vacant, so the array has slots (M1); by T4 the array is not freed.
    // Relaxed: under the lock.
    let value = unsafe { array.slot(group, index) }.value.load(Ordering::Relaxed);
    NonNull::new(value).expect("a slot that is not vacant has a value")
}

/// Cold path of an insertion: the home group is full. By T7 a later group of the probe sequence has a vacant slot.
#[cold]
fn put_further_on<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    put(array, key, hash, value);
}

/// Inserts a key in the first vacant slot of its probe sequence, and sets the overflow bit of each full group before
/// that slot. The array must have a vacant slot.
fn put<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    let mut group = array.home(hash);
    loop {
        let seen = tags(array, group);
        if let Some(index) = seen.vacant() {
            return fill(array, Position { group, index }, seen, key, hash, value);
        }
        // SAFETY: the group exists, by T4 the array is not freed, and by T1 no other thread stores tags.
        // Release: pairs with the Acquire load of the tags in `look_in`. A lookup that loads these tags instead of
        // those of an earlier `make_vacant` must see the move counter, too.
        unsafe { array.set_tags(group, seen.passed(), Ordering::Release) };
        group = array.after(group);
    }
}

/// Fills a slot, vacant according to the tags of its group.
#[inline]
fn fill<N>(array: Array<N>, at: Position, tags: Tags, key: usize, hash: u64, value: NonNull<N>) {
    let Position { group, index } = at;
    debug_assert!(!tags.is_taken(index), "its tag would be mixed with another");
    // SAFETY: the slot exists, and by T4 the array is not freed.
    let slot = unsafe { array.slot(group, index) };
    // Release: after the `NOBODY` of an earlier key; pairs with the Acquire loads of the value in `value_at_home` and
    // `value_of`.
    slot.value.store(value.as_ptr(), Ordering::Release);
    // SAFETY: the group exists, by T4 the array is not freed, and by T1 no other thread stores tags.
    // Release: as in `put`, pairs with the Acquire load of the tags in `look_in`.
    unsafe { array.set_tags(group, tags.with(index, hash), Ordering::Release) };
    // Release: after the value and the tag; pairs with the Acquire loads of the key in `value_of` and `value_at_home`.
    slot.key.store(key, Ordering::Release);
}

/// Marks the key of a slot as deleted.
#[inline]
fn take_away<N>(array: Array<N>, Position { group, index }: Position) {
    // SAFETY: the slot exists, and by T4 the array is not freed.
    // Release: after the move counter; pairs with the Acquire loads of the key in `value_of`.
    unsafe { array.slot(group, index) }.key.store(NOBODY, Ordering::Release);
}

/// Makes a slot vacant, and clears the overflow bit of its group. `tags` are the group's tags. The caller knows that no
/// key moves into the slot.
#[inline]
fn make_vacant<N>(array: Array<N>, Position { group, index }: Position, tags: Tags) {
    let vacant = tags.not_passed().without(index);
    // SAFETY: the group exists, by T4 the array is not freed, and by T1 no other thread stores tags.
    // Release: after the move counter; pairs with the Acquire load of the tags in `look_in`.
    unsafe { array.set_tags(group, vacant, Ordering::Release) };
}

/// Finds the first key after `group` whose probe sequence includes `group`. By T2 the search ends behind a group
/// without the overflow bit.
fn overflown<N>(array: Array<N>, group: usize) -> Option<(Position, usize, u64)> {
    let distance = |from: usize, to: usize| to.wrapping_sub(from) % array.groups();
    let mut later = array.after(group);
    while later != group {
        for index in tags(array, later).taken() {
            let key = key_at(array, Position { group: later, index });
            let hash = hash(key);
            if distance(array.home(hash), later) >= distance(group, later) {
                return Some((Position { group: later, index }, key, hash));
            }
        }
        if !tags(array, later).was_passed() {
            return None;
        }
        later = array.after(later);
    }
    None
}
