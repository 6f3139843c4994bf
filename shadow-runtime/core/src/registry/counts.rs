//! The counts of fields, kept by each thread for itself, so that counting writes to no memory that threads share.
//!
//! In: events, each of one field, on any thread, also while it ends. Out: their sums, for the report. Neighbours:
//! `field.rs`, which holds the [`Counts`] of a field, and `mod.rs`, whose lock guards [`Blocks`]. `no_counts.rs` stands
//! in for this file without the feature `counts`.
//!
//! **Where a count is**: a field has a number, from its first attach on. A thread has a block of counters, of which the
//! one with this number is the field's. A field's count is the sum of it over all blocks, and of what is kept in the
//! field itself, since it could not be counted in a block. What was counted in a block stays there when it is given back.
//!
//! **Counting** is a look at the thread's block, and an addition that need not be atomic, because no other thread
//! writes there. If the block is too short, or there is none, the thread takes another in [`lengthen`]. Where it cannot,
//! the count goes to the field itself, by an atomic addition: for fields of a number too large, so that a block stays
//! small; in an allocator that counts while a block is made; in destructors that run when the block is given back.
//!
//! **Invariant B**: only the thread that has taken a block writes to it. Blocks are made known, taken, and given back
//! under the registry's lock: so who takes one goes on from where the thread before it stopped, and a report, which holds
//! the lock while it adds up, looks at every block that anybody has counted in.
//!
//! **Memory**: a block is leaked, and used again by a later thread. So there are at most as many of each length as
//! threads once had at the same time. A reference to a leaked block is never dangling, and nothing here is unsafe.
//!
//! A signal handler that interrupts an addition to the very same counter may lose a count; nothing worse.

use std::cell::Cell;
use std::iter;

use super::{ENTERED, Entered, Field};
use crate::sync::Ordering;
use crate::sync::plain::{AtomicBool, AtomicU64, AtomicUsize, lock};

/// The number of a field that has none yet: too large for every block, so that counting need not ask.
const NONE: usize = usize::MAX;

/// The shortest block, for programs of few fields.
const SHORTEST: usize = 16;

/// The longest block, of 128 KiB. Fields whose number is beyond it are counted in themselves.
const LONGEST: usize = 4096;

/// How many counters are left unused at both ends of a block: a cache line, so that no two threads write to the same.
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
    counters: &'static [Counters],
    /// Whether a thread has it. Changes under the lock alone.
    taken: AtomicBool,
    next: Option<&'static Block>,
}

/// All blocks that were ever made, as a list, which does not allocate when it grows.
pub(super) struct Blocks {
    first: Option<&'static Block>,
}

/// The block of a thread, given back when the thread ends.
struct Taken(Cell<Option<&'static Block>>);

thread_local! {
    /// The counters of this thread's block. It has no destructor, so counting need not ask whether it is still there.
    static COUNTERS: Cell<&'static [Counters]> = const { Cell::new(&[]) };

    /// Whether this thread is about to take a block.
    static TAKING: Cell<bool> = const { Cell::new(false) };

    static TAKEN: Taken = const { Taken(Cell::new(None)) };
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
        self.counts().count_slowly(Event::Attached);
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
            let in_blocks = blocks.iter().filter_map(|block| block.counters.get(number));
            in_blocks.chain([&self.own]).map(|counters| counters.get(event)).sum()
        };
        let detached = sum(Event::Detached);
        let attached = sum(Event::Attached).max(detached);
        [attached, detached, sum(Event::Updated), sum(Event::Duplicate)]
    }

    #[inline]
    fn count(&self, event: Event) {
        if !self.count_in_block(event) {
            self.count_slowly(event);
        }
    }

    /// Counts where it costs the least, or returns `false`.
    #[inline]
    fn count_in_block(&self, event: Event) -> bool {
        // Where thread-locals are emulated, this one may be gone at the end of a thread.
        let counters = COUNTERS.try_with(Cell::get).unwrap_or_default();
        let Some(counters) = counters.get(self.number.load(Ordering::Relaxed)) else { return false };
        counters.add_alone(event);
        true
    }

    #[cold]
    fn count_slowly(&self, event: Event) {
        if !(lengthen(self.number.load(Ordering::Relaxed)) && self.count_in_block(event)) {
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

impl Block {
    /// A block for fields of up to this number, and for twice as many as a shorter one had, so that few are made.
    fn leak(number: usize) -> &'static mut Self {
        let length = (number + 1).next_power_of_two().max(SHORTEST);
        let [before, own, behind] = [MARGIN, length, MARGIN].map(|count| iter::repeat_with(Counters::new).take(count));
        let counters = before.chain(own).chain(behind).collect::<Vec<_>>().leak();
        let counters = &counters[MARGIN..MARGIN + length];
        Box::leak(Box::new(Self { counters, taken: AtomicBool::new(true), next: None }))
    }
}

impl Blocks {
    pub(super) const fn new() -> Self {
        Self { first: None }
    }

    fn iter(&self) -> impl Iterator<Item = &'static Block> {
        iter::successors(self.first, |block| block.next)
    }

    /// Takes the shortest block that has this number, if there is one to be had.
    fn take(&mut self, number: usize) -> Option<&'static Block> {
        let free = self.iter().filter(|block| block.counters.len() > number && !block.taken.load(Ordering::Relaxed));
        let shortest = free.min_by_key(|block| block.counters.len())?;
        shortest.taken.store(true, Ordering::Relaxed);
        Some(shortest)
    }

    fn add(&mut self, block: &'static mut Block) -> &'static Block {
        block.next = self.first;
        self.first.insert(block)
    }
}

/// Has this thread take a block that has the number, instead of its own, or returns `false`.
fn lengthen(number: usize) -> bool {
    // What follows allocates, and an allocator may count.
    if number >= LONGEST || TAKING.try_with(|taking| taking.replace(true)).unwrap_or(true) {
        return false;
    }
    // Fails from when the block is given back, at the end of the thread.
    let lengthened = TAKEN.try_with(|taken| taken.replace(number)).is_ok();
    let _ = TAKING.try_with(|taking| taking.set(false));
    lengthened
}

impl Taken {
    fn replace(&self, number: usize) {
        let free = lock(&ENTERED).blocks.take(number);
        // Under no lock, for the sake of allocators that count.
        let made = if free.is_none() { Some(Block::leak(number)) } else { None };
        let mut entered = lock(&ENTERED);
        let block = free.or_else(|| made.map(|made| entered.blocks.add(made)));
        self.set(block, &entered);
    }

    /// Counts in `block` from now on, and gives the block before back, under the lock.
    fn set(&self, block: Option<&'static Block>, _: &Entered) {
        let _ = COUNTERS.try_with(|counters| counters.set(block.map_or(&[], |block| block.counters)));
        if let Some(before) = self.0.replace(block) {
            before.taken.store(false, Ordering::Relaxed);
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.set(None, &lock(&ENTERED));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    /// Each thread finds the counters of those before it, which are too short.
    #[test]
    fn a_thread_gets_counters_for_every_number_that_is_not_too_large() {
        for number in [0, SHORTEST - 1, SHORTEST, SHORTEST + 1, 2 * SHORTEST - 1, 2 * SHORTEST, LONGEST - 1] {
            let thread = thread::spawn(move || {
                assert!(lengthen(number));
                COUNTERS.get().len()
            });
            let length = thread.join().expect("it holds");
            assert!(length > number && length <= LONGEST, "{length} for {number}");
        }
        assert!(!lengthen(LONGEST));
        assert!(!lengthen(NONE));
    }
}
