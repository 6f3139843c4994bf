//! The counts of fields. A thread counts in its own counters, so counting writes to no shared memory.
//!
//! In: events, each of one field, on any thread, also at the end of a thread. Out: sums, for the report. Neighbours:
//! `field.rs`, which holds the [`Counts`] of a field; `mod.rs`, whose lock guards [`CounterBlocks`]; `no_counters.rs`,
//! which replaces this file without the feature `counts`.
//!
//! **Numbers**: a field gets a number at its first attach. A thread has a block of counters, indexed by the number. A
//! field's count is the sum of its counters over all blocks, and of the field's shared counters. A block keeps its
//! counts when its thread gives the block back.
//!
//! **Segments**: a block grows by segments, which never move. The first segment has the numbers below [`FIRST`]. A
//! later segment is as long as all earlier segments together. A thread allocates a segment when it first counts an
//! event of a number in the segment.
//!
//! **Counting** finds the segment and increments by a load and a store, without an atomic read-modify-write: no other
//! thread writes there. Without a block, or without the segment, [`grow`] provides the memory. Where [`grow`] cannot,
//! an atomic addition to the field's shared counters counts the event: for numbers from [`LONGEST`] on, so that a block
//! stays small; in an allocator that counts during the allocation of a segment; and in thread-local destructors that
//! run after the block was given back.
//!
//! - **B1** Only the thread that has taken a block writes to the block's counters, and adds segments. Blocks are
//!   published, taken and given back under the registry's lock. So a later owner continues from the counts of an
//!   earlier owner, and a report, which holds the lock, visits every block with counts. `OnceLock` publishes a segment
//!   with `Release`: a count that happens before a report is in the report.
//!
//! **Memory**: a block is leaked, and a later thread uses the block again, with its segments. A thread takes the free
//! block closest to the needed length, and allocates a block only if no block is free. So the number of blocks is at
//! most the peak number of live threads, and no block is longer than the longest in use. The product is the bound of
//! the memory and of the time of a report. A reference to leaked memory never dangles, so no code here is unsafe.
//!
//! A signal handler that interrupts an increment of the same counter may lose a count, and has no worse effect.

use std::cell::Cell;
use std::iter;
use std::sync::OnceLock;

use super::{Field, STATE, State};
use crate::fallible::{OutOfMemory, try_box, try_room};
use crate::sync::Ordering;
use crate::sync::plain::{AtomicBool, AtomicU64, AtomicUsize, lock};

/// The number of a field before its first attach: beyond every block, so that counting needs no check.
const NONE: usize = usize::MAX;

/// The length of the first segment: more than the number of fields of most programs.
const FIRST: usize = 32;

/// The most counters of a block, 128 KiB. A field with a higher number counts in its shared counters.
const LONGEST: usize = 4096;

/// The most segments of a block.
const SEGMENTS: usize = (LONGEST / FIRST).ilog2() as usize + 1;

/// The number of unused counters at both ends of a segment: a cache line, so that threads do not share a line (false
/// sharing).
const MARGIN: usize = 2;

/// The numbers of events of a field, on all hosts together.
///
/// All atomic operations are `Relaxed`: a count publishes no other memory. The registry's lock orders takes and
/// reports.
#[derive(Debug)]
pub(crate) struct Counts {
    number: AtomicUsize,
    /// The events that no block counted; every thread may write.
    shared: Counters,
}

/// The counted events.
#[derive(Clone, Copy)]
enum Event {
    Attached,
    Detached,
    Updated,
    Refused,
}

/// A counter for each event.
#[derive(Debug)]
struct Counters([AtomicU64; 4]);

/// The counters of a thread, indexed by the numbers of fields.
struct Block {
    first: &'static [Counters],
    later: [OnceLock<&'static [Counters]>; SEGMENTS - 1],
    /// Whether a thread has the block. Changes under the registry's lock alone.
    taken: AtomicBool,
    next: Option<&'static Block>,
}

/// All blocks: an intrusive list, so a push allocates no memory.
pub(super) struct CounterBlocks {
    first: Option<&'static Block>,
}

/// Gives the thread's block back at the end of the thread: the type of a thread-local with a destructor.
struct ReturnOnExit;

thread_local! {
    /// The first segment of this thread's block. The thread-local has no destructor, so an access needs no check for
    /// destruction.
    static COUNTERS: Cell<&'static [Counters]> = const { Cell::new(&[]) };

    /// This thread's block.
    static BLOCK: Cell<Option<&'static Block>> = const { Cell::new(None) };

    /// Whether this thread is inside of [`grow`].
    static GROWING: Cell<bool> = const { Cell::new(false) };

    static RETURN_ON_EXIT: ReturnOnExit = const { ReturnOnExit };
}

impl Field {
    /// Counts an attach. The first attach enters the field into the registry.
    #[inline]
    pub(crate) fn attached(&'static self) {
        if !self.counts().count_in_block(Event::Attached) {
            self.attached_slowly();
        }
    }

    #[cold]
    fn attached_slowly(&'static self) {
        if !self.counts().is_entered() {
            super::enter(self);
        }
        self.counts().count_elsewhere(Event::Attached);
    }
}

impl Counts {
    pub(super) const fn new() -> Self {
        Self { number: AtomicUsize::new(NONE), shared: Counters::new() }
    }

    pub(super) fn is_entered(&self) -> bool {
        self.number.load(Ordering::Relaxed) != NONE
    }

    /// Sets the field's number, once, under the registry's lock.
    pub(super) fn enter(&self, number: usize) {
        self.number.store(number, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn detached(&self) {
        self.count(Event::Detached);
    }

    #[inline]
    pub(crate) fn updated(&self) {
        self.count(Event::Updated);
    }

    pub(crate) fn refused(&self) {
        self.count(Event::Refused);
    }

    /// Attached, detached, updates, refused attaches, summed over all threads. Reads the detached counts first and
    /// returns at least as many attaches: the sum may see a detach of another thread without the attach before.
    pub(super) fn read(&self, blocks: &CounterBlocks) -> [u64; 4] {
        let number = self.number.load(Ordering::Relaxed);
        let sum = |event| -> u64 {
            let in_blocks = blocks.iter().filter_map(|block| block.counters(number));
            in_blocks.chain([&self.shared]).map(|counters| counters.get(event)).sum()
        };
        let detached = sum(Event::Detached);
        let attached = sum(Event::Attached).max(detached);
        [attached, detached, sum(Event::Updated), sum(Event::Refused)]
    }

    #[inline]
    fn count(&self, event: Event) {
        if !self.count_in_block(event) {
            self.count_elsewhere(event);
        }
    }

    /// Counts in the first segment, or returns `false`.
    #[inline]
    fn count_in_block(&self, event: Event) -> bool {
        // An emulated thread-local may be gone at the end of a thread.
        let counters = COUNTERS.try_with(Cell::get).unwrap_or_default();
        let Some(counters) = counters.get(self.number.load(Ordering::Relaxed)) else { return false };
        counters.add_alone(event);
        true
    }

    /// Counts in a later segment, after an allocation if needed, or else in the shared counters.
    #[cold]
    fn count_elsewhere(&self, event: Event) {
        let number = self.number.load(Ordering::Relaxed);
        if !(count_in_segment(number, event) || grow(number) && count_in_segment(number, event)) {
            self.shared.add(event);
        }
    }
}

impl Counters {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 4])
    }

    fn get(&self, event: Event) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }

    /// Increments a counter that only this thread writes to.
    #[inline]
    fn add_alone(&self, event: Event) {
        let count = &self.0[event as usize];
        // A load and a store: by B1 no other thread writes to the counter.
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Increments a counter to which other threads may write.
    fn add(&self, event: Event) {
        self.0[event as usize].fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts in any segment of this thread's block, or returns `false`.
fn count_in_segment(number: usize, event: Event) -> bool {
    let block = BLOCK.try_with(Cell::get).ok().flatten();
    let Some(counters) = block.and_then(|block| block.counters(number)) else { return false };
    counters.add_alone(event);
    true
}

/// The segment of a number, and the segment's first number.
fn segment_of(number: usize) -> (usize, usize) {
    if number < FIRST {
        (0, 0)
    } else {
        let power = number.ilog2();
        ((power - FIRST.ilog2()) as usize + 1, 1 << power)
    }
}

/// Allocates and leaks a segment of `length` counters, with a margin at both ends.
fn leak_segment(length: usize) -> Result<&'static [Counters], OutOfMemory> {
    let whole = MARGIN + length + MARGIN;
    let mut counters = try_room(whole)?;
    counters.extend(iter::repeat_with(Counters::new).take(whole));
    Ok(&counters.leak()[MARGIN..MARGIN + length])
}

impl Block {
    fn leak() -> Result<&'static mut Self, OutOfMemory> {
        let mut block = try_box(Self {
            first: &[],
            later: [const { OnceLock::new() }; SEGMENTS - 1],
            taken: AtomicBool::new(true),
            next: None,
        })?;
        block.first = leak_segment(FIRST)?;
        Ok(Box::leak(block))
    }

    /// The counters of a number, if the block has the segment.
    fn counters(&self, number: usize) -> Option<&'static Counters> {
        let (segment, start) = segment_of(number);
        match segment {
            0 => self.first.get(number),
            // `NONE` is in no segment.
            _ => self.later.get(segment - 1)?.get()?.get(number - start),
        }
    }

    /// The number of segments.
    fn length(&self) -> usize {
        1 + self.later.iter().filter(|segment| segment.get().is_some()).count()
    }
}

impl CounterBlocks {
    pub(super) const fn new() -> Self {
        Self { first: None }
    }

    fn iter(&self) -> impl Iterator<Item = &'static Block> {
        iter::successors(self.first, |block| block.next)
    }

    fn free(&self) -> impl Iterator<Item = &'static Block> {
        self.iter().filter(|block| !block.taken.load(Ordering::Relaxed))
    }

    /// The shortest free block that has this number.
    fn shortest_with(&self, number: usize) -> Option<&'static Block> {
        self.free().filter(|block| block.counters(number).is_some()).min_by_key(|block| block.length())
    }

    /// The longest free block.
    fn longest(&self) -> Option<&'static Block> {
        self.free().max_by_key(|block| block.length())
    }

    fn add(&mut self, block: &'static mut Block) -> &'static Block {
        block.next = self.first;
        self.first.insert(block)
    }
}

/// Provides this thread with a block that has the number, or returns `false`.
fn grow(number: usize) -> bool {
    // `provide` allocates, and the global allocator may count, so the flag stops the recursion.
    if number >= LONGEST || GROWING.try_with(|growing| growing.replace(true)).unwrap_or(true) {
        return false;
    }
    // `RETURN_ON_EXIT.try_with` fails after the thread-local destructor has given the block back.
    let grown = RETURN_ON_EXIT.try_with(|_| ()).is_ok() && provide(number);
    let _ = GROWING.try_with(|growing| growing.set(false));
    grown
}

/// Provides a block with the number: a free block with such a segment; or else the thread's own block, a free block or
/// a new block, with a new segment. Returns `false` without memory, and after
/// the destruction of the thread-locals.
fn provide(number: usize) -> bool {
    let Ok(current) = BLOCK.try_with(Cell::get) else { return false };
    let has_segment = current.is_some_and(|block| block.counters(number).is_some());
    let taken = {
        let state = lock(&STATE);
        let taken = if has_segment { None } else { state.blocks.shortest_with(number) };
        let taken = taken.or_else(|| if current.is_none() { state.blocks.longest() } else { None });
        taken.inspect(|taken| set(Some(taken), &state))
    };
    let block = if let Some(block) = taken.or(current) {
        block
    } else {
        // Allocated under no lock, since the global allocator may count.
        let Ok(new) = Block::leak() else { return false };
        let mut state = lock(&STATE);
        let new = state.blocks.add(new);
        set(Some(new), &state);
        new
    };
    let (segment, start) = segment_of(number);
    if segment > 0 && block.counters(number).is_none() {
        // By B1 no other thread adds segments. The segment is as long as all earlier segments together.
        let Ok(new) = leak_segment(start) else { return false };
        let _ = block.later[segment - 1].set(new);
    }
    true
}

/// Makes `block` the thread's block, and gives the thread's previous block back, under the registry's lock.
fn set(block: Option<&'static Block>, _: &State) {
    let _ = COUNTERS.try_with(|counters| counters.set(block.map_or(&[], |block| block.first)));
    if let Some(block) = block {
        block.taken.store(true, Ordering::Relaxed);
    }
    if let Some(before) = BLOCK.try_with(|current| current.replace(block)).ok().flatten() {
        before.taken.store(false, Ordering::Relaxed);
    }
}

impl Drop for ReturnOnExit {
    fn drop(&mut self) {
        set(None, &lock(&STATE));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;
    use std::{ptr, thread};

    use super::*;
    use crate::fewer::fewer;

    /// A later thread takes the blocks of earlier threads.
    #[test]
    fn a_thread_gets_counters_for_every_number_that_is_not_too_large() {
        for number in [0, FIRST - 1, FIRST, FIRST + 1, 2 * FIRST - 1, 2 * FIRST, LONGEST / 2, LONGEST - 1] {
            let thread = thread::spawn(move || {
                let has_segment = || BLOCK.get().is_some_and(|block| block.counters(number).is_some());
                grow(number) && has_segment()
            });
            assert!(thread.join().expect("it holds"), "{number}");
        }
        assert!(!grow(LONGEST));
        assert!(!grow(NONE));
    }

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let block = Block::leak().expect("there is memory");
        let segments = (1..SEGMENTS).map(|segment| FIRST << (segment - 1));
        for (segment, length) in block.later.iter().zip(segments) {
            segment.set(leak_segment(length).expect("there is memory")).expect("it is new");
        }
        let numbers = || (0..LONGEST).step_by(fewer(1, 61));
        let places: HashSet<_> =
            numbers().map(|number| ptr::from_ref(block.counters(number).expect("all segments are there"))).collect();
        assert_eq!(places.len(), numbers().count());
        assert!(block.counters(LONGEST).is_none() && block.counters(NONE).is_none());
        assert_eq!(block.length(), SEGMENTS);
    }
}
