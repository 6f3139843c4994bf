//! The counts of fields. Each thread has counters of its own, so counting writes to no shared memory.
//!
//! In: events, each of one field, on any thread, also at the end of a thread. Out: sums, for the report. Neighbours:
//! `field.rs`, which holds the [`Counts`] of a field, and `mod.rs`, whose lock guards [`Blocks`]. `no_counts.rs`
//! replaces this file without the feature `counts`.
//!
//! **Places**: a field has a number, from its first attach on. A thread has a block of counters, indexed by number. A
//! field's count is the sum of its counters over all blocks, and of the field's own counters. A block keeps its counts
//! when its thread gives it back.
//!
//! **Segments**: a block grows by segments, which never move. The first segment has the numbers below [`FIRST`]. Each
//! later segment is as long as all segments before together; the thread makes the segment when it first counts such a
//! number.
//!
//! **Counting** finds the segment and adds without a read-modify-write, since no other thread writes there. Without a
//! block, or without the segment, [`lengthen`] provides both. Where it cannot, an atomic addition to the field's own
//! counters does: for numbers from [`LONGEST`] on, so that a block stays small; in an allocator that counts while a
//! segment is allocated; and in destructors that run after the block was given back.
//!
//! - **B1** Only the thread that has taken a block writes to its counters, and adds segments. Blocks are published,
//!   taken and given back under the registry's lock. So a later owner continues from the counts of an earlier owner,
//!   and a report, which holds the lock, visits every block with counts. `OnceLock` publishes a segment with `Release`:
//!   a count that happens before a report is in the report.
//!
//! **Memory**: a block is leaked, and a later thread uses it again, with its segments. A thread takes the free block
//! closest to the needed length, and allocates a block only if none is free. So the blocks are at most as many as the
//! most threads alive at one time, and none is longer than the longest in use: memory, and the walk of a report, are
//! bounded by the product. A reference to leaked memory never dangles, so no code here is unsafe.
//!
//! A signal handler that interrupts an addition to the same counter may lose a count; nothing worse.

use std::cell::Cell;
use std::iter;
use std::sync::OnceLock;

use super::{ENTERED, Entered, Field};
use crate::sync::Ordering;
use crate::sync::plain::{AtomicBool, AtomicU64, AtomicUsize, lock};

/// The number of a field that has none yet: too large for every block, so that counting need not ask.
const NONE: usize = usize::MAX;

/// The length of the first segment: more than most programs have fields.
const FIRST: usize = 32;

/// The most counters of a block, 128 KiB. A field with a higher number counts in its own counters.
const LONGEST: usize = 4096;

/// The most segments of a block.
const SEGMENTS: usize = (LONGEST / FIRST).ilog2() as usize + 1;

/// How many counters are left unused at both ends of a segment: a cache line, so that no two threads write to the same.
const MARGIN: usize = 2;

/// How often what was done with a field, on all hosts together.
///
/// All operations are `Relaxed`: counts are for show; nothing is concluded from them about other memory.
#[derive(Debug)]
pub(crate) struct Counts {
    number: AtomicUsize,
    /// What is counted in no block.
    own: Counters,
}

/// What is counted.
#[derive(Clone, Copy)]
enum Event {
    Attached,
    Detached,
    Updated,
    Duplicate,
}

/// A count for each event.
#[derive(Debug)]
struct Counters([AtomicU64; 4]);

/// Counters of one thread, by the numbers of fields.
struct Block {
    first: &'static [Counters],
    later: [OnceLock<&'static [Counters]>; SEGMENTS - 1],
    /// Whether a thread has the block. Changes under the lock alone.
    taken: AtomicBool,
    next: Option<&'static Block>,
}

/// All blocks: an intrusive list, so that its growth allocates nothing.
pub(super) struct Blocks {
    first: Option<&'static Block>,
}

/// Gives the thread's block back when the thread ends.
struct Taken;

thread_local! {
    /// The first segment of this thread's block. It has no destructor, so counting need not ask whether it is still
    /// there.
    static COUNTERS: Cell<&'static [Counters]> = const { Cell::new(&[]) };

    /// This thread's block.
    static BLOCK: Cell<Option<&'static Block>> = const { Cell::new(None) };

    /// Whether this thread is about to take a block, or to make a segment.
    static TAKING: Cell<bool> = const { Cell::new(false) };

    static TAKEN: Taken = const { Taken };
}

impl Field {
    /// Counts an attach; the first one enters the field into the registry.
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
        Self { number: AtomicUsize::new(NONE), own: Counters::new() }
    }

    pub(super) fn is_entered(&self) -> bool {
        self.number.load(Ordering::Relaxed) != NONE
    }

    /// Gives the field its number, once, under the registry's lock.
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

    pub(crate) fn duplicate(&self) {
        self.count(Event::Duplicate);
    }

    /// Attached, detached, updates, duplicates, of all threads. Detached is read first and never the greater: what
    /// another thread has detached may be seen before what was attached.
    pub(super) fn read(&self, blocks: &Blocks) -> [u64; 4] {
        let number = self.number.load(Ordering::Relaxed);
        let sum = |event| -> u64 {
            let in_blocks = blocks.iter().filter_map(|block| block.counters(number));
            in_blocks.chain([&self.own]).map(|counters| counters.get(event)).sum()
        };
        let detached = sum(Event::Detached);
        let attached = sum(Event::Attached).max(detached);
        [attached, detached, sum(Event::Updated), sum(Event::Duplicate)]
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

    /// Counts in a later segment, or makes what is missing, or else counts in the field's own counters.
    #[cold]
    fn count_elsewhere(&self, event: Event) {
        let number = self.number.load(Ordering::Relaxed);
        if !(count_in_segment(number, event) || lengthen(number) && count_in_segment(number, event)) {
            self.own.add(event);
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

    /// Adds one, by the only thread that writes here.
    #[inline]
    fn add_alone(&self, event: Event) {
        let count = &self.0[event as usize];
        count.store(count.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// Adds one, where others may do so at the same time.
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

/// A segment of so many counters.
fn make_segment(length: usize) -> &'static [Counters] {
    let [before, own, behind] = [MARGIN, length, MARGIN].map(|count| iter::repeat_with(Counters::new).take(count));
    let counters = before.chain(own).chain(behind).collect::<Vec<_>>().leak();
    &counters[MARGIN..MARGIN + length]
}

impl Block {
    fn leak() -> &'static mut Self {
        Box::leak(Box::new(Self {
            first: make_segment(FIRST),
            later: [const { OnceLock::new() }; SEGMENTS - 1],
            taken: AtomicBool::new(true),
            next: None,
        }))
    }

    /// The counters of a number, if their segment is there.
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

impl Blocks {
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
    fn with(&self, number: usize) -> Option<&'static Block> {
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
fn lengthen(number: usize) -> bool {
    // The rest allocates, and an allocator may count.
    if number >= LONGEST || TAKING.try_with(|taking| taking.replace(true)).unwrap_or(true) {
        return false;
    }
    // Fails from when the block is given back, at the end of the thread.
    let lengthened = TAKEN.try_with(|_| ()).is_ok() && provide(number);
    let _ = TAKING.try_with(|taking| taking.set(false));
    lengthened
}

/// Provides a block with the number: a free block with such a segment, or else the thread's own, a free or a new block,
/// with a new segment. Returns `false` where thread-locals are gone.
fn provide(number: usize) -> bool {
    let Ok(own) = BLOCK.try_with(Cell::get) else { return false };
    let has_it = own.is_some_and(|own| own.counters(number).is_some());
    let taken = {
        let entered = lock(&ENTERED);
        let taken = if has_it { None } else { entered.blocks.with(number) };
        let taken = taken.or_else(|| if own.is_none() { entered.blocks.longest() } else { None });
        taken.inspect(|taken| set(Some(taken), &entered))
    };
    let block = taken.or(own).unwrap_or_else(|| {
        // Under no lock, for the sake of allocators that count.
        let made = Block::leak();
        let mut entered = lock(&ENTERED);
        let made = entered.blocks.add(made);
        set(Some(made), &entered);
        made
    });
    let (segment, start) = segment_of(number);
    if segment > 0 && block.counters(number).is_none() {
        // By B1 no other thread adds segments. The segment is as long as all before together.
        let _ = block.later[segment - 1].set(make_segment(start));
    }
    true
}

/// Makes `block` the thread's, and gives back the thread's block before, under the lock.
fn set(block: Option<&'static Block>, _: &Entered) {
    let _ = COUNTERS.try_with(|counters| counters.set(block.map_or(&[], |block| block.first)));
    if let Some(block) = block {
        block.taken.store(true, Ordering::Relaxed);
    }
    if let Some(before) = BLOCK.try_with(|own| own.replace(block)).ok().flatten() {
        before.taken.store(false, Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        set(None, &lock(&ENTERED));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;
    use std::{ptr, thread};

    use super::*;
    use crate::fewer::fewer;

    /// Each thread finds the blocks of the threads before.
    #[test]
    fn a_thread_gets_counters_for_every_number_that_is_not_too_large() {
        for number in [0, FIRST - 1, FIRST, FIRST + 1, 2 * FIRST - 1, 2 * FIRST, LONGEST / 2, LONGEST - 1] {
            let thread = thread::spawn(move || {
                let has_it = || BLOCK.get().is_some_and(|block| block.counters(number).is_some());
                lengthen(number) && has_it()
            });
            assert!(thread.join().expect("it holds"), "{number}");
        }
        assert!(!lengthen(LONGEST));
        assert!(!lengthen(NONE));
    }

    #[test]
    fn each_number_has_a_place_of_its_own() {
        let block = Block::leak();
        let segments = (1..SEGMENTS).map(|segment| FIRST << (segment - 1));
        for (segment, length) in block.later.iter().zip(segments) {
            segment.set(make_segment(length)).expect("it is new");
        }
        let numbers = || (0..LONGEST).step_by(fewer(1, 61));
        let places: HashSet<_> =
            numbers().map(|number| ptr::from_ref(block.counters(number).expect("all segments are there"))).collect();
        assert_eq!(places.len(), numbers().count());
        assert!(block.counters(LONGEST).is_none() && block.counters(NONE).is_none());
        assert_eq!(block.length(), SEGMENTS);
    }
}
