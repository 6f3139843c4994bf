//! Young hosts: the last 512 hosts of one log.
//!
//! In: new hosts. Out: dead hosts; and each host that survives 512 newer hosts, for the chunk of hosts to promote.
//! Neighbours: `mod.rs`, the design; `../logs.rs`, the lock of a log and the chunk; `old.rs`, the promoted hosts.
//!
//! A host has *age* `n` when the host is the `n`th newest of the log. A host gets a look at the ages 2, 8, 32, 128 and
//! 510. So a host that dies after `n` newer hosts, for `n` below 510, is found after at most `4n + 2` newer hosts.
//! Short-lived hosts cost memory in proportion to their lifetimes.
//!
//! After a look finds a dead host, the next looks go to the hosts just before: the dead host may have owned the last
//! `Arc` of an earlier host. These looks drop lists that were built back to front, where the later host owns the
//! earlier, a few hosts per attach. Lists that were built front to back, where the earlier host owns the later, need no
//! such looks: the later host reaches each age later.
#![forbid(unsafe_code)]

use super::LogEntry;

/// The number of young hosts of a log. A power of two.
pub(super) const YOUNG: usize = if cfg!(loom) {
    16
} else if cfg!(miri) {
    64
} else {
    512
};

/// The ages at which a host gets a look. The newest host has age 1.
const AGES: [usize; 5] = if cfg!(loom) {
    [2, 3, 5, 8, 14]
} else if cfg!(miri) {
    [2, 8, 16, 32, 62]
} else {
    [2, 8, 32, 128, 510]
};

/// After each multiple of this number of hosts, overdue looks are skipped, except for the looks of as many newest
/// hosts.
const LATEST: usize = YOUNG / 2;

/// The number of hosts before a dead host that get a look.
const BEFORE: usize = 4;

/// A ring of hosts. All initial bytes are zero: an unused log is in `.bss`, and costs no memory.
#[derive(Debug)]
pub(in crate::host::arc) struct Young {
    /// Host number `n`, in wrapping arithmetic, is at `n % YOUNG`.
    ring: [Option<LogEntry>; YOUNG],
    /// The number of hosts so far.
    count: usize,
    /// The number of hosts whose looks are complete. The looks of host `n` are due at the arrival of host `n`, one look
    /// for each age: a look at the host that then has this age.
    looked: usize,
    /// The number of completed looks of the next host, number `looked`, in the order of [`AGES`].
    ages: usize,
    /// The number of the next host before a dead host to look at, and the number of such looks that are left.
    before: usize,
    looks_before: usize,
}

/// A dead host, and whether more dead hosts may be due.
pub(in crate::host::arc) struct Dead {
    pub(in crate::host::arc) entry: LogEntry,
    pub(in crate::host::arc) may_be_more: bool,
}

impl Young {
    pub(in crate::host::arc) const fn new() -> Self {
        Self { ring: [const { None }; YOUNG], count: 0, looked: 0, ages: 0, before: 0, looks_before: 0 }
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        if self.count == 0 { 0 } else { self.ring.iter().flatten().count() }
    }

    /// Whether the next [`push`](Self::push) pushes a host out of the ring.
    #[inline]
    pub(in crate::host::arc) fn is_full(&self) -> bool {
        self.ring[self.count % YOUNG].is_some()
    }

    /// Puts a new host in the place of the oldest host, which is returned.
    #[inline]
    pub(in crate::host::arc) fn push(&mut self, entry: LogEntry) -> Option<LogEntry> {
        let oldest = self.ring[self.count % YOUNG].replace(entry);
        self.count = self.count.wrapping_add(1);
        if self.count % LATEST == 0 {
            // Looks are overdue after attaches that defer sweeps. A skipped host gets a look at the next age.
            self.looked = self.count.wrapping_sub(self.count.wrapping_sub(self.looked).min(LATEST));
        }
        oldest
    }

    /// Whether the number of hosts is a multiple of `every`.
    #[inline]
    pub(in crate::host::arc) fn has_count_divisible_by(&self, every: usize) -> bool {
        self.count % every == 0
    }

    /// Makes the looks that are due, up to the first dead host. Takes this host out of the ring.
    #[inline]
    pub(in crate::host::arc) fn next_dead(&mut self) -> Option<Dead> {
        if self.looks_before > 0 {
            if let Some(entry) = self.next_dead_before() {
                return Some(Dead { entry, may_be_more: true });
            }
        }
        while self.looked != self.count {
            let newest = self.looked.wrapping_add(1);
            for (index, age) in AGES.into_iter().enumerate() {
                let number = newest.wrapping_sub(age);
                if index >= self.ages && self.is_dead(number) {
                    self.ages = index + 1;
                    return self.take(number).map(|entry| Dead { entry, may_be_more: newest != self.count });
                }
            }
            self.ages = 0;
            self.looked = newest;
        }
        None
    }

    #[cold]
    fn next_dead_before(&mut self) -> Option<LogEntry> {
        while self.looks_before > 0 {
            self.looks_before -= 1;
            let number = self.before;
            self.before = number.wrapping_sub(1);
            if self.is_dead(number) {
                return self.take(number);
            }
        }
        None
    }

    #[inline]
    fn is_dead(&self, number: usize) -> bool {
        self.ring[number % YOUNG].as_ref().is_some_and(LogEntry::is_dead)
    }

    /// Takes a dead host out of the ring.
    fn take(&mut self, number: usize) -> Option<LogEntry> {
        self.before = number.wrapping_sub(1);
        // If the two places before are empty, the dead host was not part of a list.
        let is_beside = [1, 2].into_iter().any(|distance| self.ring[number.wrapping_sub(distance) % YOUNG].is_some());
        self.looks_before = if is_beside { BEFORE } else { 0 };
        self.ring[number % YOUNG].take()
    }

    /// Takes all hosts out. The oldest host is first.
    pub(in crate::host::arc) fn drain(&mut self) -> impl Iterator<Item = LogEntry> {
        let oldest = self.count;
        (0..YOUNG).filter_map(move |index| self.ring[oldest.wrapping_add(index) % YOUNG].take())
    }
}
