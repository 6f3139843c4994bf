//! When the table of `Arc`s is swept from end to end, for all threads together.
//!
//! In: how many entries there are, from a thread that has counted. Out: whether a round is on, and which. Neighbour:
//! `sweep.rs`, whose threads see the shards of a round, each a part.
//!
//! A round begins when the table has grown by an eighth since the last was over, and is over when every shard was seen to
//! the end. All operations are `Relaxed`: nothing is concluded from them but how much work to do, and whoever does it takes
//! locks.
#![forbid(unsafe_code)]

use crate::host::arc::TABLE;
use crate::side_table::{SHARDS, Shard};
use crate::sync::{AtomicUsize, Ordering, const_fn};

pub(super) struct Pace {
    /// With more entries than this, a round begins.
    limit: AtomicUsize,
    /// How many rounds have begun.
    round: AtomicUsize,
    /// How many shards the round that is on has still to see to the end; 0 if none is on.
    pub(super) unswept: AtomicUsize,
    /// How many threads have swept for an attach.
    threads: AtomicUsize,
}

impl Pace {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self {
                limit: AtomicUsize::new(0),
                round: AtomicUsize::new(0),
                unswept: AtomicUsize::new(0),
                threads: AtomicUsize::new(0),
            }
        }
    }

    /// Counts the entries of all shards, and begins a round if they are more than the limit, and none is on.
    pub(super) fn count(&self) -> usize {
        let entries = all_entries();
        if entries > self.limit()
            && self.unswept.compare_exchange(0, SHARDS, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            self.round.fetch_add(1, Ordering::Relaxed);
        }
        entries
    }

    /// The round that is on.
    #[inline]
    pub(super) fn round(&self) -> Option<usize> {
        (self.unswept.load(Ordering::Relaxed) > 0).then(|| self.round.load(Ordering::Relaxed))
    }

    /// The round has seen one more shard to the end.
    pub(super) fn swept(&self) {
        if self.unswept.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.all_are_swept();
        }
    }

    /// What is left is mostly alive.
    pub(super) fn all_are_swept(&self) {
        let entries = all_entries();
        self.limit.store(entries + entries / 8, Ordering::Relaxed);
    }

    /// About how many entries there were at the end of the last round, or an eighth more.
    pub(super) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// The number of a thread that sweeps for the first time.
    pub(super) fn next_thread(&self) -> usize {
        self.threads.fetch_add(1, Ordering::Relaxed)
    }
}

pub(super) fn all_entries() -> usize {
    TABLE.shards().map(Shard::entries).sum()
}
