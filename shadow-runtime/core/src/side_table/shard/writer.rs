//! Who writes to a shard: puts keys in, takes them out, moves them, and replaces the array.
//!
//! In: keys and values, under the shard's lock. Out: a shard that readers may look at meanwhile. Why they may, and what
//! T1 to T6 are, is in `../shard.rs`.

use std::ptr::NonNull;

use super::{NOBODY, Shard, look};
use crate::side_table::array::{Array, SLOTS};
use crate::side_table::hash;
use crate::side_table::tags::Tags;
use crate::sync::{Locked, Ordering, lock};

/// What only writers have of a shard.
pub(super) struct Writer {
    /// How many entries the array may have.
    most: usize,
}

impl Writer {
    pub(super) const fn new() -> Self {
        Self { most: 0 }
    }
}

/// The right to write to a shard.
pub(crate) struct Guard<'table, N> {
    pub(super) shard: Shard<'table, N>,
    pub(super) writer: Locked<'table, Writer>,
}

/// The right to write to a shard in which there is room for one more entry (T7).
pub(crate) struct RoomyGuard<'table, N> {
    guard: Guard<'table, N>,
    /// How many entries there are.
    entries: usize,
}

/// Where a key is.
#[derive(Clone, Copy)]
pub(super) struct Position {
    pub(super) group: usize,
    pub(super) index: usize,
}

impl<N> Guard<'_, N> {
    /// The value of `key`.
    pub(crate) fn find(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        look(self.shard.array.array(), key, hash)
    }

    /// As [`find`](Self::find), where it is most likely not there.
    #[cold]
    fn find_if_at_all(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.find(key, hash)
    }

    /// Puts another value there for `key`.
    pub(crate) fn replace(&mut self, key: usize, hash: u64, value: NonNull<N>) {
        let array = self.shard.array.array();
        if let Some(Position { group, index }) = position(array, key, hash) {
            // SAFETY: the key is there. Release: as in `fill`.
            unsafe { array.slot(group, index) }.value.store(value.as_ptr(), Ordering::Release);
        }
    }

    /// Takes `key` out. No thread looks for it meanwhile or later, or uses what it found (T5).
    #[inline]
    pub(crate) fn remove(&mut self, key: usize, hash: u64) -> Option<NonNull<N>> {
        let array = self.shard.array.array();
        let position = position(array, key, hash)?;
        let value = value_at(array, position);
        self.vacate(array, position);
        Some(value)
    }

    /// Calls `visit` with every key and its value.
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

    /// Takes the key out of a slot.
    #[inline]
    pub(super) fn vacate(&mut self, array: Array<N>, position: Position) {
        self.shard.upkeep.entries.store(self.shard.entries() - 1, Ordering::Relaxed);
        take_away(array, position);
        let seen = tags(array, position.group);
        if seen.was_passed() {
            self.move_back(array, position);
        } else {
            make_vacant(array, position, seen);
        }
    }

    /// If something was put further on for want of room in the group of a slot whose key was taken out, moves that into
    /// the slot, and into its own what was put further on from there, and so on; the last slot becomes vacant (T2).
    #[cold]
    fn move_back(&self, array: Array<N>, mut hole: Position) {
        loop {
            // The mark and the tag stay until it is known that nothing moves here, so that T2 holds for a reader.
            let seen = tags(array, hole.group);
            let overflown = if seen.was_passed() { overflown(array, hole.group) } else { None };
            let Some((from, key, hash)) = overflown else {
                return make_vacant(array, hole, seen);
            };
            fill(array, hole, seen.without(hole.index), key, hash, value_at(array, from));
            // Relaxed load: under the lock. Release: after the copy, and before the key is taken away.
            let moves = &self.shard.upkeep.moves;
            moves.store(moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
            take_away(array, from);
            hole = from;
        }
    }

    /// Has `to`, of twice the size of the current array, take the place of that.
    fn replace_array(&mut self, to: Array<N>) {
        let from = self.shard.array.array();
        self.each(|key, value| put(to, key, hash(key), value));
        // SAFETY: it was allocated for this, and readers do not have it yet.
        unsafe { to.set_previous(from) };
        // Release: pairs with the Acquire of `Current::array`.
        self.shard.array.0.store(to.into_raw(), Ordering::Release);
        self.writer.most = to.groups() * SLOTS * 13 / 16;
    }

    /// Whether the array may not have one more entry.
    #[inline]
    fn is_full(&self) -> bool {
        self.shard.entries() >= self.writer.most
    }
}

impl<'table, N> Shard<'table, N> {
    pub(crate) fn lock(self) -> Guard<'table, N> {
        Guard { shard: self, writer: lock(&self.upkeep.writer) }
    }

    /// Locks it with room for one more entry. Where it has to grow, the allocator runs, under no lock of this shard.
    #[inline]
    pub(crate) fn lock_with_room(self) -> RoomyGuard<'table, N> {
        loop {
            if let Some(guard) = self.lock_if_roomy() {
                return guard;
            }
            self.make_room();
        }
    }

    /// Locks it, if there is room for one more entry. If not, it is not locked: have the caller let go of other locks,
    /// and [make room](Self::make_room).
    #[inline]
    pub(crate) fn lock_if_roomy(self) -> Option<RoomyGuard<'table, N>> {
        let guard = self.lock();
        let entries = self.entries();
        (entries < guard.writer.most).then_some(RoomyGuard { guard, entries })
    }

    /// Replaces the array by one of twice the size, unless another thread is first. The allocator runs, under no lock
    /// of this shard, so the caller holds no other.
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
            // SAFETY: it was allocated for this, and nobody else has it.
            unsafe { to.free() };
        }
    }
}

impl<N> RoomyGuard<'_, N> {
    /// The value of `key`.
    pub(crate) fn find(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.guard.find(key, hash)
    }

    /// Puts another value there for `key`.
    pub(crate) fn replace(mut self, key: usize, hash: u64, value: NonNull<N>) {
        self.guard.replace(key, hash, value);
    }

    /// Puts `value` there for `key`, which has none.
    pub(crate) fn insert(self, key: usize, hash: u64, value: NonNull<N>) {
        let array = self.guard.shard.array.array();
        let home = array.home(hash);
        self.insert_at(array, home, tags(array, home), key, hash, value);
    }

    /// The same, for who knows the array, the home group of the key, and its tags.
    #[inline]
    fn insert_at(self, array: Array<N>, home: usize, seen: Tags, key: usize, hash: u64, value: NonNull<N>) {
        debug_assert_ne!(key, NOBODY, "a caller looks for it");
        self.guard.shard.upkeep.entries.store(self.entries + 1, Ordering::Relaxed);
        match seen.vacant() {
            // By T7 the array has slots.
            Some(index) => fill(array, Position { group: home, index }, seen, key, hash, value),
            None => put_further_on(array, key, hash, value),
        }
    }

    /// Puts `value` there for `key`, unless it has one, which is returned.
    #[inline]
    pub(crate) fn insert_first(self, key: usize, hash: u64, value: NonNull<N>) -> Option<NonNull<N>> {
        let array = self.guard.shard.array.array();
        let home = array.home(hash);
        let seen = tags(array, home);
        // By T2, if home was not passed, the key is there or nowhere.
        let is_absent = seen.matches(hash).is_empty() && !seen.was_passed();
        let there = if is_absent { None } else { self.guard.find_if_at_all(key, hash) };
        if there.is_none() {
            self.insert_at(array, home, seen, key, hash, value);
        }
        there
    }
}

/// The tags of a group, for who holds the lock.
pub(super) fn tags<N>(array: Array<N>, group: usize) -> Tags {
    // SAFETY: all groups that are asked for are there; by T4 the array is not freed. Relaxed: under the lock.
    unsafe { array.tags(group, Ordering::Relaxed) }
}

/// Where a key is, for who holds the lock. Mostly it is at home.
#[inline]
pub(super) fn position<N>(array: Array<N>, key: usize, hash: u64) -> Option<Position> {
    let home = array.home(hash);
    let seen = tags(array, home);
    match position_in(array, home, seen, key, hash) {
        None if seen.was_passed() => position_from(array, array.after(home), key, hash),
        position => position,
    }
}

/// As [`position`], from a group on.
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

/// Where in a group with these tags a key is, for who holds the lock.
#[inline]
fn position_in<N>(array: Array<N>, group: usize, tags: Tags, key: usize, hash: u64) -> Option<Position> {
    // SAFETY: the tag says that there are slots; by T4 the array is not freed. Relaxed: under the lock.
    let has_key = |index: &usize| unsafe { array.slot(group, *index) }.key.load(Ordering::Relaxed) == key;
    tags.matches(hash).find(has_key).map(|index| Position { group, index })
}

/// The key and the value in a slot, for who holds the lock.
pub(super) fn occupant<N>(array: Array<N>, position: Position) -> Option<(usize, NonNull<N>)> {
    let Position { group, index } = position;
    tags(array, group).is_taken(index).then(|| (key_at(array, position), value_at(array, position)))
}

/// The key in a slot that is not vacant, for who holds the lock.
pub(super) fn key_at<N>(array: Array<N>, Position { group, index }: Position) -> usize {
    // SAFETY: it is not vacant, so there are slots; by T4 the array is not freed. Relaxed: under the lock.
    unsafe { array.slot(group, index) }.key.load(Ordering::Relaxed)
}

/// What is in a slot that is not vacant, for who holds the lock.
pub(super) fn value_at<N>(array: Array<N>, Position { group, index }: Position) -> NonNull<N> {
    // SAFETY: it is not vacant, so there are slots; by T4 the array is not freed. Relaxed: under the lock.
    let value = unsafe { array.slot(group, index) }.value.load(Ordering::Relaxed);
    NonNull::new(value).expect("a slot that is not vacant has a value")
}

/// Where there is no room at home. By T7 there is some.
#[cold]
fn put_further_on<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    put(array, key, hash, value);
}

/// Puts a key at the first vacant slot from its home on, of which there has to be one, and marks what it passes.
fn put<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    let mut group = array.home(hash);
    loop {
        let seen = tags(array, group);
        if let Some(index) = seen.vacant() {
            return fill(array, Position { group, index }, seen, key, hash, value);
        }
        // SAFETY: the group is there, by T4 the array is not freed, and by T1 nobody else stores. Release: whoever
        // loads this instead of what `make_vacant` has stored sees the count of moves all the same.
        unsafe { array.set_tags(group, seen.passed(), Ordering::Release) };
        group = array.after(group);
    }
}

/// Fills a slot, which is vacant by the tags of its group.
#[inline]
fn fill<N>(array: Array<N>, at: Position, tags: Tags, key: usize, hash: u64, value: NonNull<N>) {
    let Position { group, index } = at;
    debug_assert!(!tags.is_taken(index), "its tag would be mixed with another");
    // SAFETY: the slot is there, and by T4 the array is not freed.
    let slot = unsafe { array.slot(group, index) };
    // Release: after `NOBODY`, if another key was here; pairs with the Acquire of `value_of`.
    slot.value.store(value.as_ptr(), Ordering::Release);
    // SAFETY: as above, and by T1 nobody else stores. Release: as in `put`.
    unsafe { array.set_tags(group, tags.with(index, hash), Ordering::Release) };
    // Release: after the value and the tag; pairs with the Acquire of `value_of` and of `value_at_home`.
    slot.key.store(key, Ordering::Release);
}

/// Takes the key away from a slot.
#[inline]
fn take_away<N>(array: Array<N>, Position { group, index }: Position) {
    // SAFETY: the slot is there, and by T4 the array is not freed. Release: after the count of moves; pairs with the
    // Acquire of `value_of`.
    unsafe { array.slot(group, index) }.key.store(NOBODY, Ordering::Release);
}

/// Makes a slot vacant whose group has these tags, and that nothing moves into; and with it the mark goes, if there is
/// one.
#[inline]
fn make_vacant<N>(array: Array<N>, Position { group, index }: Position, tags: Tags) {
    let vacant = tags.not_passed().without(index);
    // SAFETY: the group is there, by T4 the array is not freed, and by T1 nobody else stores. Release: after the count
    // of moves; pairs with the Acquire of `look_in`.
    unsafe { array.set_tags(group, vacant, Ordering::Release) };
}

/// The first key after `group` that would be in it, or before it, if there had been room. By T2 there is none beyond a
/// group that was not passed.
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
