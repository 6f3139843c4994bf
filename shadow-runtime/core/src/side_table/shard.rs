//! One shard of a side table: reads take no lock; writers hold the shard's.
//!
//! In: a key and its hash. Out: the value, a pointer that is not this file's business.
//!
//! # What is where
//!
//! Open addressing with groups of four slots and their tags (`array.rs`). A key is in its home group, or, if that was
//! full, in the next that was not, and so on. What is removed leaves no tombstone: what comes after moves back. So the
//! table never has to be rebuilt at one size, and its time and memory stay as they are however much comes and goes.
//!
//! - **T1** Only who holds the lock stores anything.
//! - **T2** If a key is in a group other than its home, all groups from its home to that one are full.
//! - **T3** An array that has been replaced is not stored to any more.
//! - **T4** An array is not freed.
//! - **T5** For as long as anybody looks for a key, or uses what was found for it, it is not removed. The callers see
//!   to that: of an `Arc`'s entry, whoever looks for it holds the `Arc`, and it is removed only when there is none.
//!   Only `raw/newest.rs` does without, and argues what a look-up is good for then.
//!
//! - **T6** A key that is in its home stays in its slot, until it is removed or the array is replaced: what moves back comes
//!   from a group that is not its home.
//!
//! # Reader's path
//!
//! Load the count of moves (`Acquire`), and the array. From the home group on: load the tags; of each slot whose tag
//! matches, load the key, the value, and the key again; if both are the wanted one, the value is its value. If the
//! group has a vacant tag, the key is not there: load the count of moves again, and if it has changed, look again.
//!
//! Mostly the home group is all there is to see, and then the count need not be loaded. A hit there needs the key but
//! once: by T5 and T6 it stays, so the value is its value. And for a miss one load of the home's tags is enough: when they had this value, with a vacant one, the key was, by T2,
//! at home or nowhere, and its tag was not there. So a hit touches a line of tags, which 16 groups share, and the line
//! of its slot, which is touched while the tags are still on their way, so that the two waits are one; and a miss the
//! line of tags.
//!
//! # Writer's path
//!
//! *Insert*: at the first vacant slot from the home group on, store the value, the key, the tag. *Remove*: store
//! [`NOBODY`] for the key. If the group is full, something may have been put further on for want of room here: the
//! first such is copied into the hole as by an insert, the count of moves goes up by one, and it is removed from where
//! it was, by the same path. If there is no such, store the vacant tag; not before, so that T2 holds at any time.
//! *Grow*: when more than 13 of 16 slots would be taken, copy all into an array of twice the size, and store that. The
//! old one stays as it is, for those who are in it.
//!
//! # Who races with what
//!
//! - *Reader and insert.* The value is stored before the key, by `Release`; who loads the key by `Acquire` loads that
//!   value, and sees what it points to as it was made. A tag that is seen early or late only means that the key is
//!   looked at for nothing, or that the insert has not been yet.
//! - *Reader and a slot that gets another key.* Between the two loads of the key the value of another may be stored:
//!   its key was `NOBODY` before, stored earlier than the value, which is stored by `Release` and loaded by `Acquire`;
//!   so whoever loads the new value finds at its second look that the key is not there. A key does not come back to a
//!   slot that it has left: within an array keys only move back, towards their home, and by T5 it is not removed and
//!   inserted anew meanwhile.
//! - *Reader and move.* A reader may pass the hole before the key is copied there, and reach the place where it was
//!   when it is gone. The count of moves is stored by `Release` after the copy and before the key is taken away; both
//!   the `NOBODY` and the vacant tag are stored by `Release`, and loaded by `Acquire`: a reader who has seen either
//!   finds the count changed. If it has loaded the new count from the start, by `Acquire`, it sees the copy, or a
//!   later count.
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
//! hashbrown have. Removal by moving back: Knuth, volume 3, 6.4, algorithm R. Locks of shards that readers do without
//! are those of `parking_lot`'s table of queues, whose tables are also kept when they are replaced.

use std::ptr::NonNull;

use crate::side_table::array::{Array, SLOTS, Slot, Tags};
use crate::sync::{AtomicPtr, AtomicUsize, Mutex, MutexGuard, Ordering, const_fn, lock};

/// A key that is nobody's: no caller looks for it.
pub(crate) const NOBODY: usize = usize::MAX;

/// How many groups are swept at a time, where most are vacant.
const MOST_GROUPS: usize = 64;

/// A part of a table.
pub(crate) struct Shard<'table, N> {
    array: &'table Current<N>,
    upkeep: &'table Upkeep<N>,
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
pub(super) struct Upkeep<N> {
    /// How often a key was moved within an array.
    moves: AtomicUsize,
    entries: AtomicUsize,
    /// The last round of sweeping that has seen it from end to end.
    swept: AtomicUsize,
    writer: Mutex<Writer<N>>,
}

struct Writer<N> {
    /// The arrays that were replaced, and may still have readers.
    replaced: Vec<Array<N>>,
    /// How many entries the array may have.
    most: usize,
    /// The group that is swept next.
    cursor: usize,
    /// The round of sweeping that is on, and how many groups of the shard it has still to see.
    round: usize,
    left: usize,
}

// SAFETY: arrays are plain memory, which any thread may free. What the values point to is for the callers to argue.
unsafe impl<N> Send for Writer<N> {}

/// The right to write to a shard.
pub(crate) struct Guard<'table, N> {
    shard: Shard<'table, N>,
    writer: MutexGuard<'table, Writer<N>>,
}

/// Where a key is.
#[derive(Clone, Copy)]
struct Position {
    group: usize,
    index: usize,
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
}

impl<N> Upkeep<N> {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                moves: AtomicUsize::new(0),
                entries: AtomicUsize::new(0),
                swept: AtomicUsize::new(0),
                writer: Mutex::new(Writer { replaced: Vec::new(), most: 0, cursor: 0, round: 0, left: 0 }),
            }
        }
    }
}

impl<'table, N> Shard<'table, N> {
    #[inline]
    pub(super) const fn of(array: &'table Current<N>, upkeep: &'table Upkeep<N>) -> Self {
        Self { array, upkeep }
    }

    /// The value of `key`.
    #[inline]
    pub(crate) fn find(self, key: usize, hash: u64) -> Option<NonNull<N>> {
        let array = self.array.array();
        let group = array.home(hash);
        // Relaxed: a hit is decided by the key, and a miss by this one word: see the header.
        // SAFETY: a home is a group, and by T4 the array is not freed.
        let tags = unsafe { array.tags(group, Ordering::Relaxed) };
        if let Some(index) = tags.matches(hash).next() {
            // SAFETY: the tag says that there are slots; by T4 the array is not freed.
            let first = unsafe { array.slot(group, 0) };
            // Only to have the line on its way: which slot it will be is known when the tags are. Relaxed: not used.
            first.key.load(Ordering::Relaxed);
            // SAFETY: as above.
            if let Some(value) = unsafe { array.slot(group, index) }.value_at_home(key) {
                return Some(value);
            }
        } else if !tags.is_full() {
            return None;
        }
        self.search(array, key, hash)
    }

    /// As [`find`](Self::find), from home on, as far as it takes.
    #[inline(never)]
    fn search(self, array: Array<N>, key: usize, hash: u64) -> Option<NonNull<N>> {
        // A hit says by itself that it is one, and most that are not at home are next to it.
        if let Some(value) = look_in(array, array.after(array.home(hash)), key, hash).1 {
            return Some(value);
        }
        loop {
            // Acquire: pairs with the Release of `Guard::vacate`.
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

    /// Whether this round of sweeping has seen it from end to end, or a later one has: then this one is over, and who is
    /// late with it must not count the shard once more.
    pub(crate) fn is_swept(self, round: usize) -> bool {
        // Relaxed: whoever acts upon it looks again under the lock.
        self.upkeep.swept.load(Ordering::Relaxed).wrapping_sub(round) <= usize::MAX / 2
    }

    pub(crate) fn lock(self) -> Guard<'table, N> {
        Guard { shard: self, writer: lock(&self.upkeep.writer) }
    }
}

/// One look through an array.
fn look<N>(array: Array<N>, key: usize, hash: u64) -> Option<NonNull<N>> {
    let mut group = array.home(hash);
    for _ in 0..array.groups() {
        let (tags, value) = look_in(array, group, key, hash);
        if value.is_some() || !tags.is_full() {
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
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        // Acquire: pairs with the Release of `fill` and `replace`. SAFETY: the value was stored before the key, and is not
        // null.
        Some(unsafe { NonNull::new_unchecked(self.value.load(Ordering::Acquire)) })
    }

    /// The value, if it is that of `key`.
    #[inline]
    fn value_of(&self, key: usize) -> Option<NonNull<N>> {
        // Acquire: pairs with the Release of `put`, and of `NOBODY` in `vacate`.
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        // Acquire: pairs with the Release of `put`.
        let value = self.value.load(Ordering::Acquire);
        // Acquire: pairs with the Release of `NOBODY` in `vacate`; the miss that follows has to see the count of moves.
        if self.key.load(Ordering::Acquire) != key {
            return None;
        }
        NonNull::new(value)
    }
}

impl<N> Guard<'_, N> {
    /// The value of `key`.
    pub(crate) fn find(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        look(self.shard.array.array(), key, hash)
    }

    /// Puts `value` there for `key`, which has none.
    pub(crate) fn insert(&mut self, key: usize, hash: u64, value: NonNull<N>) {
        debug_assert_ne!(key, NOBODY, "a caller looks for it");
        let entries = self.shard.entries() + 1;
        let mut array = self.shard.array.array();
        if entries > self.writer.most {
            array = self.grow(array);
        }
        put(array, key, hash, value);
        self.shard.upkeep.entries.store(entries, Ordering::Relaxed);
    }

    /// Puts `value` there for `key`, unless it has one, which is returned.
    pub(crate) fn insert_first(&mut self, key: usize, hash: u64, value: NonNull<N>) -> Option<NonNull<N>> {
        let array = self.shard.array.array();
        let seen = tags(array, array.home(hash));
        // By T2, if there is room at home, the key is there or nowhere.
        let is_absent = seen.matches(hash).next().is_none() && !seen.is_full();
        if let Some(there) = if is_absent { None } else { look(array, key, hash) } {
            return Some(there);
        }
        self.insert(key, hash, value);
        None
    }

    /// Puts another value there for `key`.
    pub(crate) fn replace(&mut self, key: usize, hash: u64, value: NonNull<N>) {
        let array = self.shard.array.array();
        if let Some(Position { group, index }) = position(array, key, hash) {
            // SAFETY: the key is there. Release: as in `put`.
            unsafe { array.slot(group, index) }.value.store(value.as_ptr(), Ordering::Release);
        }
    }

    /// Takes `key` out, if its value `is_gone`: nobody looks for it, and nobody uses what it found (T5).
    pub(crate) fn remove_if(
        &mut self,
        key: usize,
        hash: u64,
        is_gone: impl FnOnce(NonNull<N>) -> bool,
    ) -> Option<NonNull<N>> {
        let array = self.shard.array.array();
        let position = position(array, key, hash)?;
        let value = value_at(array, position);
        is_gone(value).then(|| {
            self.vacate(array, position);
            value
        })
    }

    /// As [`sweep`](Self::sweep), for a round that sees every shard from end to end. Returns whether it now has seen
    /// this one.
    pub(crate) fn sweep_round(
        &mut self,
        round: usize,
        count: usize,
        prefetch: impl Fn(usize, NonNull<N>),
        is_gone: impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) -> bool {
        if self.shard.is_swept(round) {
            return false;
        }
        if self.writer.round != round {
            self.writer.round = round;
            self.writer.left = self.shard.array.array().groups();
        }
        let swept = self.sweep(count, prefetch, is_gone, gone);
        self.writer.left = self.writer.left.saturating_sub(swept);
        if self.writer.left == 0 {
            self.shard.upkeep.swept.store(round, Ordering::Relaxed);
        }
        self.writer.left == 0
    }

    /// Takes out the keys and values that `is_gone` (T5), of as many groups as have `count` entries, but of no more than
    /// [`MOST_GROUPS`], and returns how many groups there were. All of these are given to `prefetch` before the first is
    /// asked about: what is known of them is all over the memory, and can be on its way at once.
    pub(crate) fn sweep(
        &mut self,
        count: usize,
        prefetch: impl Fn(usize, NonNull<N>),
        is_gone: impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) -> usize {
        let array = self.shard.array.array();
        let most = array.groups().min(MOST_GROUPS);
        let (mut groups, mut entries, mut group) = (0, 0, self.writer.cursor);
        while groups < most && entries < count {
            for index in tags(array, group).taken() {
                let position = Position { group, index };
                prefetch(key_at(array, position), value_at(array, position));
                entries += 1;
            }
            group = array.after(group);
            groups += 1;
        }
        for _ in 0..groups {
            self.sweep_group(array, &is_gone, gone);
        }
        groups
    }

    /// As [`sweep`](Self::sweep), of all groups.
    pub(crate) fn sweep_all(
        &mut self,
        prefetch: impl Fn(usize, NonNull<N>),
        is_gone: impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) {
        let groups = self.shard.array.array().groups();
        let mut swept = 0;
        while swept < groups {
            swept += self.sweep(MOST_GROUPS, &prefetch, &is_gone, gone);
        }
    }

    /// Sweeps the group whose turn it is.
    fn sweep_group(
        &mut self,
        array: Array<N>,
        is_gone: &impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) {
        let group = self.writer.cursor;
        for index in 0..SLOTS {
            let position = Position { group, index };
            // What moves into the hole is looked at, too.
            while let Some((key, value)) = occupant(array, position) {
                if !is_gone(key, value) {
                    break;
                }
                gone.push((key, value));
                self.vacate(array, position);
            }
        }
        self.writer.cursor = array.after(group);
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

    /// Makes a slot vacant that is not, and its group as full as it was, as long as there is something to move there (T2).
    fn vacate(&mut self, array: Array<N>, position: Position) {
        self.shard.upkeep.entries.store(self.shard.entries() - 1, Ordering::Relaxed);
        let mut hole = position;
        loop {
            // SAFETY: the slot is there, and by T4 the array is not freed. Release: after the count of moves; pairs with the
            // Acquire of `value_of`.
            unsafe { array.slot(hole.group, hole.index) }.key.store(NOBODY, Ordering::Release);
            // The tag stays until it is known that nothing moves here: a reader must not find room where T2 says there is
            // none.
            let seen = tags(array, hole.group);
            let overflown = if seen.is_full() { overflown(array, hole.group) } else { None };
            let Some((from, key, hash)) = overflown else {
                let vacant = seen.without(hole.index);
                // SAFETY: the group is there, by T4 the array is not freed, and by T1 nobody else stores. Release: after
                // the count of moves; pairs with the Acquire of `look_in`.
                unsafe { array.set_tags(hole.group, vacant, Ordering::Release) };
                return;
            };
            fill(array, hole, seen, key, hash, value_at(array, from));
            // Relaxed load: under the lock. Release: after the copy, and before the key is taken away.
            self.shard
                .upkeep
                .moves
                .store(self.shard.upkeep.moves.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
            hole = from;
        }
    }

    #[cold]
    fn grow(&mut self, from: Array<N>) -> Array<N> {
        let bits = if from.is_empty() { 1 } else { from.groups().trailing_zeros() + 1 };
        let to = Array::allocate(bits);
        self.each(|key, value| put(to, key, super::hash(key), value));
        // Release: pairs with the Acquire of `Shard::array`.
        self.shard.array.0.store(to.into_raw(), Ordering::Release);
        self.writer.most = to.groups() * SLOTS * 13 / 16;
        self.writer.cursor = 0;
        self.writer.left = to.groups();
        if !from.is_empty() {
            self.writer.replaced.push(from);
        }
        to
    }
}

/// The tags of a group, for who holds the lock.
fn tags<N>(array: Array<N>, group: usize) -> Tags {
    // SAFETY: all groups that are asked for are there; by T4 the array is not freed. Relaxed: under the lock.
    unsafe { array.tags(group, Ordering::Relaxed) }
}

/// Where a key is, for who holds the lock.
fn position<N>(array: Array<N>, key: usize, hash: u64) -> Option<Position> {
    let mut group = array.home(hash);
    for _ in 0..array.groups() {
        let tags = tags(array, group);
        // SAFETY: the tag says that there are slots; by T4 the array is not freed. Relaxed: under the lock.
        let has_key = |index: &usize| unsafe { array.slot(group, *index) }.key.load(Ordering::Relaxed) == key;
        if let Some(index) = tags.matches(hash).find(has_key) {
            return Some(Position { group, index });
        }
        if !tags.is_full() {
            return None;
        }
        group = array.after(group);
    }
    None
}

/// The key and the value in a slot, for who holds the lock.
fn occupant<N>(array: Array<N>, position: Position) -> Option<(usize, NonNull<N>)> {
    let Position { group, index } = position;
    tags(array, group).taken().find(|taken| *taken == index)?;
    Some((key_at(array, position), value_at(array, position)))
}

/// The key in a slot that is not vacant, for who holds the lock.
fn key_at<N>(array: Array<N>, Position { group, index }: Position) -> usize {
    // SAFETY: it is not vacant, so there are slots; by T4 the array is not freed. Relaxed: under the lock.
    unsafe { array.slot(group, index) }.key.load(Ordering::Relaxed)
}

/// What is in a slot that is not vacant, for who holds the lock.
fn value_at<N>(array: Array<N>, Position { group, index }: Position) -> NonNull<N> {
    // SAFETY: it is not vacant, so there are slots; by T4 the array is not freed. Relaxed: under the lock.
    let value = unsafe { array.slot(group, index) }.value.load(Ordering::Relaxed);
    NonNull::new(value).expect("a slot that is not vacant has a value")
}

/// Puts a key at the first vacant slot from its home on.
fn put<N>(array: Array<N>, key: usize, hash: u64, value: NonNull<N>) {
    let mut group = array.home(hash);
    loop {
        let seen = tags(array, group);
        if let Some(index) = seen.vacant() {
            return fill(array, Position { group, index }, seen, key, hash, value);
        }
        group = array.after(group);
    }
}

/// Fills a slot of a group with these tags.
fn fill<N>(array: Array<N>, at: Position, tags: Tags, key: usize, hash: u64, value: NonNull<N>) {
    let Position { group, index } = at;
    // SAFETY: the slot is there, and by T4 the array is not freed.
    let slot = unsafe { array.slot(group, index) };
    // Release: after `NOBODY`, if another key was here; pairs with the Acquire of `value_of`.
    slot.value.store(value.as_ptr(), Ordering::Release);
    // Release: after the value; pairs with the Acquire of `value_of`.
    slot.key.store(key, Ordering::Release);
    // SAFETY: as above, and by T1 nobody else stores. Release: after the key, so that it is not looked at for nothing.
    unsafe { array.set_tags(group, tags.without(index).with(index, hash), Ordering::Release) };
}

/// The first key after `group` that would be in it, or before it, if there had been room. `group` is full, but for the
/// key of one slot.
fn overflown<N>(array: Array<N>, group: usize) -> Option<(Position, usize, u64)> {
    let distance = |from: usize, to: usize| to.wrapping_sub(from) % array.groups();
    let mut later = array.after(group);
    while later != group {
        for index in tags(array, later).taken() {
            let key = key_at(array, Position { group: later, index });
            let hash = super::hash(key);
            if distance(array.home(hash), later) >= distance(group, later) {
                return Some((Position { group: later, index }, key, hash));
            }
        }
        if !tags(array, later).is_full() {
            return None;
        }
        later = array.after(later);
    }
    None
}

impl<N> Shard<'_, N> {
    /// Frees all arrays, for the models: the tables of hosts stay.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    #[cfg(loom)]
    pub(crate) unsafe fn free(self) {
        let replaced = std::mem::take(&mut self.lock().writer.replaced);
        let current = self.array.array();
        for array in replaced.into_iter().chain((!current.is_empty()).then_some(current)) {
            // SAFETY: it was allocated, and the caller says that nobody uses it.
            unsafe { array.free() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::side_table::{SideTable, hash};

    type Table = SideTable<usize, 1>;

    /// A value that is told apart by its address, and is not looked at.
    fn value(number: usize) -> NonNull<usize> {
        NonNull::new(std::ptr::without_provenance_mut(8 * (number + 1))).expect("more than 0")
    }

    /// Numbers that look as if there were no order in them.
    fn numbers() -> impl FnMut(usize) -> usize {
        let mut state = 1_u64;
        move |below| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(state >> 33).expect("31 bits") % below
        }
    }

    fn everything(shard: Shard<'_, usize>) -> BTreeMap<usize, NonNull<usize>> {
        let mut seen = BTreeMap::new();
        shard.lock().each(|key, value| assert!(seen.insert(key, value).is_none(), "{key} is there twice"));
        seen
    }

    /// T2, by the header's words; and that what is there is where it is looked for.
    fn check(shard: Shard<'_, usize>, expected: &BTreeMap<usize, NonNull<usize>>) {
        assert_eq!(everything(shard), *expected);
        assert_eq!(shard.entries(), expected.len());
        let array = shard.array.array();
        for (&key, &there) in expected {
            assert_eq!(shard.find(key, hash(key)), Some(there));
            assert_eq!(shard.lock().find(key, hash(key)), Some(there));
            let mut group = array.home(hash(key));
            let at = position(array, key, hash(key)).expect("it is there").group;
            while group != at {
                assert!(tags(array, group).is_full(), "a group before that of a key has room");
                group = array.after(group);
            }
        }
    }

    #[test]
    fn a_shard_is_a_map() {
        let table = Table::new();
        let shard = table.shard_at(0);
        let mut expected = BTreeMap::new();
        let mut random = numbers();
        for step in 0..20_000 {
            // Now few, now many.
            let keys = if step / 4000 % 2 == 0 { 40 } else { 400 };
            let key = 16 * random(keys);
            let new = value(step);
            match random(6) {
                0 | 1 => {
                    let there = shard.lock().insert_first(key, hash(key), new);
                    assert_eq!(there, expected.get(&key).copied());
                    expected.entry(key).or_insert(new);
                }
                2 => {
                    shard.lock().replace(key, hash(key), new);
                    expected.entry(key).and_modify(|there| *there = new);
                }
                3 => {
                    assert_eq!(shard.lock().remove_if(key, hash(key), |_| false), None);
                }
                _ => {
                    let expected = expected.remove(&key);
                    let asked = |there| {
                        assert_eq!(Some(there), expected);
                        true
                    };
                    assert_eq!(shard.lock().remove_if(key, hash(key), asked), expected);
                }
            }
            assert_eq!(shard.find(key, hash(key)), expected.get(&key).copied());
            if step % 50 == 0 {
                check(shard, &expected);
            }
        }
    }

    #[test]
    fn a_shard_grows_when_it_is_almost_full_and_not_before() {
        let table = Table::new();
        let shard = table.shard_at(0);
        assert!(shard.array.array().is_empty());
        let mut slots = 0;
        for number in 0..500 {
            shard.lock().insert(16 * number, hash(16 * number), value(number));
            let entries = number + 1;
            if entries * 16 > slots * 13 {
                slots = if slots == 0 { 8 } else { 2 * slots };
            }
            assert_eq!(shard.array.array().groups() * SLOTS, slots, "of {entries} entries");
        }
        let replaced: usize = shard.lock().writer.replaced.iter().map(|array| array.groups()).sum();
        assert_eq!(replaced, shard.array.array().groups() - 2, "each that was replaced, and not the empty one");
    }

    #[test]
    fn a_sweep_takes_out_what_is_gone_and_only_that() {
        let table = Table::new();
        let shard = table.shard_at(0);
        let mut random = numbers();
        let mut expected = BTreeMap::new();
        for round in 0..200 {
            while expected.len() < 300 {
                let key = 16 * random(2000);
                if shard.lock().insert_first(key, hash(key), value(round)).is_none() {
                    expected.insert(key, value(round));
                }
            }
            let dead: BTreeSet<_> = expected.keys().copied().filter(|_| random(3) == 0).collect();
            let is_gone = |key: usize, there: NonNull<usize>| {
                assert_eq!(expected.get(&key), Some(&there));
                dead.contains(&key)
            };
            let mut gone = Vec::new();
            shard.lock().sweep_all(|_, _| (), is_gone, &mut gone);
            assert_eq!(gone.iter().map(|(key, _)| *key).collect::<BTreeSet<_>>(), dead);
            assert_eq!(gone.len(), dead.len());
            assert!(gone.iter().all(|(key, there)| expected.get(key) == Some(there)));
            expected.retain(|key, _| !dead.contains(key));
            check(shard, &expected);
        }
    }

    #[test]
    fn a_sweep_sees_a_few_entries_at_a_time_and_in_the_end_all() {
        let table = Table::new();
        let shard = table.shard_at(0);
        for number in 0..300 {
            shard.lock().insert(16 * number, hash(16 * number), value(number));
        }
        let groups = shard.array.array().groups();
        let seen = std::cell::RefCell::new(BTreeSet::new());
        let (mut passed, mut sweeps) = (0, 0);
        while passed < groups {
            let before = seen.borrow().len();
            let note = |key, _: NonNull<usize>| {
                seen.borrow_mut().insert(key);
                false
            };
            passed += shard.lock().sweep(4, |_, _| (), note, &mut Vec::new());
            sweeps += 1;
            let now = seen.borrow().len() - before;
            assert!(now < 4 + SLOTS, "{now} at a time");
            assert!(now >= 4 || passed >= groups, "{now} at a time");
        }
        assert_eq!(seen.borrow().len(), 300);
        assert!(sweeps > 300 / 8, "{sweeps}");
        assert_eq!(shard.entries(), 300);
    }

    #[test]
    fn a_sweep_of_a_shard_that_is_almost_vacant_ends() {
        let table = Table::new();
        let shard = table.shard_at(0);
        for number in 0..3000 {
            shard.lock().insert(16 * number, hash(16 * number), value(number));
        }
        shard.lock().sweep_all(|_, _| (), |key, _| key != 0, &mut Vec::new());
        assert!(shard.array.array().groups() > MOST_GROUPS);
        assert_eq!(shard.lock().sweep(100, |_, _| (), |_, _| false, &mut Vec::new()), MOST_GROUPS);
    }

    #[test]
    fn a_round_has_seen_a_shard_when_it_has_seen_all_its_groups() {
        let table = Table::new();
        let shard = table.shard_at(0);
        for number in 0..300 {
            shard.lock().insert(16 * number, hash(16 * number), value(number));
        }
        for round in 1..4 {
            let seen = std::cell::RefCell::new(BTreeSet::new());
            let mut sweeps = 0;
            loop {
                assert!(!shard.is_swept(round));
                sweeps += 1;
                let note = |key, _: NonNull<usize>| {
                    seen.borrow_mut().insert(key);
                    false
                };
                if shard.lock().sweep_round(round, 16, |_, _| (), note, &mut Vec::new()) {
                    break;
                }
            }
            assert!(shard.is_swept(round));
            assert_eq!(seen.borrow().len(), 300, "from end to end");
            assert!((300 / 20..=300 / 16 + 1).contains(&sweeps), "{sweeps}");
            // It is said once.
            assert!(!shard.lock().sweep_round(round, 16, |_, _| (), |_, _| unreachable!(), &mut Vec::new()));
        }
    }

    #[test]
    fn a_shard_that_has_grown_is_seen_from_end_to_end_again() {
        let table = Table::new();
        let shard = table.shard_at(0);
        let mut count = 0;
        let mut fill = |until: usize| {
            while count < until {
                shard.lock().insert(16 * count, hash(16 * count), value(count));
                count += 1;
            }
        };
        fill(100);
        let sweep = |seen: &mut Vec<usize>| {
            let seen = std::cell::RefCell::new(seen);
            let note = |key, _: NonNull<usize>| {
                seen.borrow_mut().push(key);
                false
            };
            shard.lock().sweep_round(1, 16, |_, _| (), note, &mut Vec::new())
        };
        let mut seen = Vec::new();
        while seen.len() < 50 {
            assert!(!sweep(&mut seen));
        }
        fill(300);
        seen.clear();
        while !sweep(&mut seen) {}
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 300);
    }
}
