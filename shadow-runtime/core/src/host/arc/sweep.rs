//! When the fields of `Arc`s that are gone are dropped: by attaches, a few at a time.
//!
//! In: an attach to an `Arc`, when it is done. Out: the ends of hosts that are gone. Neighbours: `../arc.rs`, whose
//! invariants A1 and A2 it keeps; `pace.rs`, when the table is due; `side_table/shard/sweep.rs`, who goes through a shard.
//!
//! Every attach to an `Arc`, when it is done, looks for dead hosts in three places:
//!
//! 1. The host that this thread attached to [`RECENT`] attaches ago. Most short lives end here, and an address that is
//!    used again and again costs the same however many others are alive.
//! 2. If the table has grown by an eighth since that was last done, or since a sweep on demand: some entries of the next
//!    shard, and so on, until every shard has been swept from end to end. So what is dead adds about an eighth to what was
//!    alive then. It goes round all shards, a little of each at a time: what is taken out of a shard leaves addresses of
//!    that shard, which the allocator gives to the next hosts; sweeping one shard after the other would move all hosts to
//!    where it has just been.
//! 3. A few entries of the next shard, whether the table has grown or not: after every attach as long as the table is
//!    small; when it is not, after every [`TURN`]th, or, while none is found, after twice as many each time, up to
//!    [`LONG_TURN`]. So what is dead is found even if nothing grows.
//!
//! A turn sees [`TURN_STRIDE`] entries, or as many times more as the shard has more than its part: what is taken out of
//! one shard at a time leaves addresses of that shard to the next hosts, so that many may come to be in few shards.
//! Where there are fewer, it ends with as many groups as `side_table/shard/sweep.rs` goes through at a time, which is
//! [`TURN`]. So it takes at most about `LONG_TURN` attaches of one thread for each shard, `LONG_TURN / TURN_STRIDE` for
//! each entry, and four for each group of slots, to see all shards from end to end, if the groups are spread evenly
//! over shards. Within so many a host that is gone is dropped, or within twice as many, if it was moved back past where
//! the sweep was; and the memory of hosts and values is bounded by what is alive (R7). Groups do not become fewer: a
//! table that was large once takes longer, by a part that is small beside what it keeps.
//!
//! A thread begins, when it first sweeps, where its number among all threads that do says: at another shard than the one
//! before it, and at another place of a turn. So many threads that each attach a few times see all shards, and whether the
//! table has grown, as one does that attaches often. For each sweep that was put off there is a turn.
//!
//! A sweep runs destructors of strangers, so an attach sweeps last, when it is done. Inside of an initialiser it puts
//! the sweep off until the initialiser is done, since a destructor that asks for the very field would find it busy;
//! but no more than [`MOST_OWED`] at a time, so that one initialiser that attaches for ever is bounded, too. Inside of
//! a destructor that a sweep runs it does not sweep, or one dead host after the other would pile up on the stack.

use std::cell::Cell;
use std::ptr::NonNull;

use crate::claim;
use crate::fields::{AfterLink, First};
use crate::host::arc::TABLE;
use crate::host::arc::pace::Pace;
use crate::panics::Panics;
use crate::side_table::{NOBODY, SHARDS, Shard, hash, prefetch};
use crate::sync::{local, shared};

/// How many hosts a thread remembers.
const RECENT: usize = 8;

/// How many entries are swept at a time in a round that the table is due for, and otherwise.
const ROUND_STRIDE: usize = 16;
const TURN_STRIDE: usize = 4;

/// How many shards are passed, to find one that the round has not seen from end to end.
const MOST_PASSED: usize = 16;

/// How many attaches there are for each turn, where the table is not small, and at most while turns find nothing: to look at
/// an entry that nobody else has looked at for long takes as long as an attach. Powers of two.
const TURN: usize = 64;
const LONG_TURN: usize = 256;

/// How many entries a small table has.
const SMALL: usize = 64 * SHARDS;

/// How many sweeps a thread puts off.
const MOST_OWED: usize = 1024;

shared! {
    static PACE: Pace = Pace::new();
}

struct Sweeps {
    /// Whether the thread has begun.
    has_begun: Cell<bool>,
    /// The hosts that this thread has attached to, in a ring.
    recent: [Cell<usize>; RECENT],
    /// How many attaches have swept, and the thread's number.
    attaches: Cell<usize>,
    /// How many attaches there are for each turn now.
    turn: Cell<usize>,
    /// The shard that is swept next, in a round and otherwise.
    next: Cell<usize>,
    /// About how many entries there were when that was last known.
    all: Cell<usize>,
    /// How many sweeps wait for the end of an initialiser.
    owed: Cell<usize>,
    /// Whether this thread runs destructors of a sweep.
    is_sweeping: Cell<bool>,
}

local! {
    static SWEEPS: Sweeps = Sweeps {
        has_begun: Cell::new(false),
        recent: [const { Cell::new(NOBODY) }; RECENT],
        attaches: Cell::new(0),
        turn: Cell::new(TURN),
        next: Cell::new(0),
        all: Cell::new(0),
        owed: Cell::new(0),
        is_sweeping: Cell::new(false),
    };
}

/// A key and what is kept for it.
type Entry = (usize, NonNull<AfterLink>);

/// What was taken out of the table, to be dropped under no lock.
type Gone = Vec<Entry>;

fn is_gone(key: usize, first: NonNull<AfterLink>) -> bool {
    // SAFETY: by A2 it is a host's, and it is in the table by this key, whose lock is held.
    unsafe { First::from_raw(first).is_gone(key) }
}

/// Has on its way what [`is_gone`] will read: the node, and the counts of the `Arc`, where the key of most is.
/// In a table that is larger than the cache, a sweep does little but wait for these.
fn fetch(key: usize, first: NonNull<AfterLink>) {
    prefetch(first.addr().get());
    prefetch(key);
}

/// Sweeps for an attach to a host, or puts it off, if this thread is in an initialiser.
#[inline]
pub(super) fn sweep_for(key: usize) {
    SWEEPS.with(|sweeps| sweeps.sweep_for(key));
}

/// Sweeps what attaches inside of initialisers have put off, now that this thread is in none.
#[inline]
pub(crate) fn sweep_owed() {
    SWEEPS.with(Sweeps::sweep_owed);
}

impl Sweeps {
    fn sweep_for(&self, key: usize) {
        if self.is_sweeping.get() {
            return;
        }
        if claim::is_initialising() && self.owed.get() < MOST_OWED {
            self.owed.set(self.owed.get() + 1);
        } else {
            self.look_around(key);
            self.sweep_owed();
        }
    }

    #[inline]
    fn sweep_owed(&self) {
        if self.owed.get() > 0 {
            self.pay();
        }
    }

    #[cold]
    fn pay(&self) {
        if !claim::is_initialising() && !self.is_sweeping.get() {
            for _ in 0..self.owed.take() {
                self.step();
                self.take_turn();
            }
        }
    }

    /// Counts an attach that sweeps. Only who does so has a number, so that of all attaches together, however few each thread
    /// does, one in as many as there are shards finds out whether the table has grown.
    #[inline]
    fn step(&self) -> usize {
        if !self.has_begun.replace(true) {
            self.begin();
        }
        let attaches = self.attaches.get().wrapping_add(1);
        self.attaches.set(attaches);
        #[cfg_attr(loom, expect(clippy::modulo_one, reason = "there is one shard"))]
        if attaches % SHARDS == 0 {
            self.count();
        }
        attaches
    }

    /// Has the thread begin where the one before it did not.
    #[cold]
    fn begin(&self) {
        let number = PACE.next_thread();
        self.attaches.set(number);
        // Before it has counted.
        self.all.set(PACE.limit());
        // Also those threads whose numbers give them a turn at once begin at shards that differ.
        self.next.set(number.wrapping_add(number / TURN));
    }

    /// What one attach sweeps.
    #[inline]
    fn look_around(&self, key: usize) {
        let attaches = self.step();
        if let Some(round) = PACE.round() {
            self.sweep_round(round);
        } else if attaches & (self.turn.get() - 1) == 0 || self.all.get() <= SMALL {
            self.take_turn();
        }
        // Mostly this one is all there is.
        if let Some(gone) = take_if_gone(self.recent[attaches % RECENT].replace(key)) {
            self.end([gone]);
        }
    }

    /// Drops what a part of a shard had that is gone, and says when it is the next one's turn.
    fn end_part(&self, gone: Gone) {
        self.turn.set(if gone.is_empty() { LONG_TURN.min(2 * self.turn.get()) } else { TURN });
        self.end(gone);
    }

    /// Drops hosts that are gone.
    fn end(&self, gone: impl IntoIterator<Item = Entry>) {
        self.is_sweeping.set(true);
        let mut panics = Panics::none();
        end(gone, &mut panics);
        // These are other hosts' destructors: their panics are not the caller's (R5).
        panics.discard();
        self.is_sweeping.set(false);
    }

    /// Finds out whether the table has grown.
    #[cold]
    fn count(&self) {
        self.all.set(PACE.count());
    }

    /// The next shard.
    fn advance(&self) -> Shard<'static, AfterLink> {
        let next = self.next.get();
        self.next.set(next.wrapping_add(1));
        TABLE.shard_at(next)
    }

    /// Sweeps a part of the next shard that the round has not seen to the end. If there is none near by, it is a turn: in
    /// the child of a `fork`, a round may be on for ever, whose last shard was seen to the end, and not yet counted, by a
    /// thread that only the parent has.
    #[cold]
    fn sweep_round(&self, round: usize) {
        let Some(shard) = (0..MOST_PASSED).map(|_| self.advance()).find(|shard| !shard.is_swept(round)) else {
            return self.take_turn();
        };
        let mut gone = Gone::new();
        if shard.lock().sweep_round(round, ROUND_STRIDE, fetch, is_gone, &mut gone) {
            PACE.swept();
        }
        self.end_part(gone);
    }

    /// Sweeps a part of the next shard.
    #[inline(never)]
    fn take_turn(&self) {
        let shard = self.advance();
        let entries = shard.entries();
        if entries > 0 {
            let count = count_of_turn(entries, self.all.get().max(entries));
            let mut gone = Gone::new();
            shard.lock().sweep(count, fetch, is_gone, &mut gone);
            self.end_part(gone);
        }
    }
}

/// How many entries a turn sees of a shard that has `entries` of `all`.
fn count_of_turn(entries: usize, all: usize) -> usize {
    ((TURN_STRIDE * SHARDS).saturating_mul(entries) / all).max(TURN_STRIDE)
}

#[inline]
fn take_if_gone(key: usize) -> Option<Entry> {
    if key == NOBODY {
        return None;
    }
    let hash = hash(key);
    let gone = TABLE.shard(hash).lock().remove_if(key, hash, |first| is_gone(key, first))?;
    Some((key, gone))
}

/// Drops every host that is gone, also those that go when the values of others are dropped, and returns how many.
///
/// # Panics
///
/// If a destructor does, after all of them have run.
pub(crate) fn sweep() -> usize {
    let mut panics = Panics::none();
    let mut count = 0;
    loop {
        let before = count;
        for shard in TABLE.shards() {
            let mut gone = Gone::new();
            shard.lock().sweep_all(fetch, is_gone, &mut gone);
            count += gone.len();
            end(gone, &mut panics);
        }
        if count == before {
            break;
        }
    }
    PACE.all_are_swept();
    panics.raise();
    count
}

/// Drops what was taken out of the table, under no lock.
fn end(gone: impl IntoIterator<Item = Entry>, panics: &mut Panics) {
    for (key, first) in gone {
        // SAFETY: by A2 it is a host's; it was in the table by this key, and by A1 nobody has it any more.
        unsafe { First::from_raw(first).end(key, panics) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::{BTreeSet, VecDeque};
    use std::sync::Arc;

    use super::*;
    use crate::cell;
    use crate::field_set::FieldSet;
    use crate::host::Host;
    use crate::host::arc::kept::{Keeps, Thin, key_of};
    use crate::host::arc::pace::all_entries;
    use crate::registry::Field;
    use crate::sync::Ordering;

    /// A field set of no fields.
    struct Nothing;

    impl FieldSet for Nothing {
        fn empty() -> Self {
            Self
        }

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _visit: &mut dyn FnMut(&dyn cell::Cell)) {}

        fn each_mut(&mut self, _visit: &mut dyn FnMut(&mut dyn cell::Cell)) {}
    }

    #[test]
    fn hosts_are_dropped_in_a_round_that_nobody_will_end() {
        // Every shard has been seen to the end, and one has not been counted.
        PACE.unswept.store(1, Ordering::Relaxed);
        // So many that none is found as the host of an attach a little while ago.
        let mut alive: VecDeque<_> = (0..10 * RECENT).map(Arc::new).collect();
        for number in 0..20_000 {
            let host = Arc::new(number);
            <Arc<usize> as Host>::reach::<Nothing>(&host);
            <Arc<usize> as Host>::after_attach(&host);
            alive.push_back(host);
            alive.pop_front();
        }
        let entries = all_entries();
        assert!(entries < 2000, "{entries} are kept of {}", alive.len());
        assert_eq!(PACE.unswept.load(Ordering::Relaxed), 1, "the round is still on");
    }

    /// As where each attaches once: if they were all at a few shards, what is dead in the others would stay for as long as
    /// the table does not grow.
    #[test]
    fn threads_that_take_a_turn_at_their_first_attach_begin_at_every_shard() {
        SWEEPS.with(|sweeps| {
            let mut begun = BTreeSet::new();
            // Twice, since the thread of another test may take a number.
            for _ in 0..2 * TURN * SHARDS {
                sweeps.begin();
                if (sweeps.attaches.get() + 1) % TURN == 0 {
                    begun.insert(sweeps.next.get() % SHARDS);
                }
            }
            assert_eq!(begun.len(), SHARDS);
        });
    }

    #[test]
    fn turns_become_rarer_while_they_find_nothing_and_not_when_they_do() {
        SWEEPS.with(|sweeps| {
            assert_eq!(sweeps.turn.get(), TURN);
            for expected in [128, LONG_TURN, LONG_TURN] {
                sweeps.end_part(Gone::new());
                assert_eq!(sweeps.turn.get(), expected);
            }
            // What is in no table nobody else sweeps.
            let host = Arc::new(1_u32);
            let found = (key_of(&host), First::make::<Nothing, _>(Thin::<u32>::keep(&host)).into_raw());
            drop(host);
            sweeps.end_part(vec![found]);
            assert_eq!(sweeps.turn.get(), TURN);
        });
    }

    #[test]
    fn a_turn_sees_as_many_times_more_of_a_shard_as_it_has_more_than_its_part() {
        let all = 1000 * SHARDS;
        for times in [1, 2, 7, SHARDS] {
            assert_eq!(count_of_turn(1000 * times, all), TURN_STRIDE * times);
        }
        assert_eq!(count_of_turn(10, all), TURN_STRIDE, "and no fewer of one that has less");
    }
}
