//! Young hosts: the last 512 of one log.
//!
//! In: a host when it is new. Out: dead ones; and each that is still there when 512 others have come after it, which is old
//! from then on.
//!
//! A host is looked at when it is the 2nd, 8th, 32nd, 128th and 510th of the newest. So a host that dies before it is old is found
//! before four times as many attaches as it has lived, and hosts with short lives cost memory in proportion to their lives.
//!
//! When a host is found dead, the hosts before it are looked at next: it may have been the last to hold them. Lists that
//! were built back to front fall by that, a few hosts an attach; front to back they fall by themselves, since the later host
//! is looked at later.
#![forbid(unsafe_code)]

use super::Entry;

/// How many hosts are young. A power of two.
const YOUNG: usize = 512;

/// A host is looked at when it is so many hosts from the newest, which is the first.
const AGES: [usize; 5] = [2, 8, 32, 128, 510];

/// How often looks that are late are seen to.
const LATEST: usize = 256;

/// How many places before a dead host are looked at.
const BEFORE: usize = 4;

/// A ring of hosts. All of it is zero at first, so that logs that are not used cost no memory.
#[derive(Debug)]
pub(in crate::host::arc) struct Young {
    /// The host that came as number `n`, counted modulo 2^64, is at `n % YOUNG`.
    ring: [Option<Entry>; YOUNG],
    /// How many hosts have come.
    count: usize,
    /// How many of them have had their looks: at one host of each age, as it was when that many had come.
    looked: usize,
    /// How many ages of the next look have had theirs.
    ages: usize,
    /// The number of the host that is looked at next, since one after it was dead; and how many more such looks there are.
    before: usize,
    looks_before: usize,
}

/// A dead host, and whether there may be more that are due.
pub(in crate::host::arc) struct Dead {
    pub(in crate::host::arc) entry: Entry,
    pub(in crate::host::arc) may_be_more: bool,
}

impl Young {
    pub(in crate::host::arc) const fn new() -> Self {
        Self { ring: [const { None }; YOUNG], count: 0, looked: 0, ages: 0, before: 0, looks_before: 0 }
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        if self.count == 0 { 0 } else { self.ring.iter().flatten().count() }
    }

    /// Whether a new host will push one out of the ring.
    #[inline]
    pub(in crate::host::arc) fn is_full(&self) -> bool {
        self.ring[self.count % YOUNG].is_some()
    }

    /// Puts a new host into the ring, in the place of the oldest, which is returned.
    #[inline]
    pub(in crate::host::arc) fn push(&mut self, entry: Entry) -> Option<Entry> {
        let oldest = self.ring[self.count % YOUNG].replace(entry);
        self.count = self.count.wrapping_add(1);
        if self.count % LATEST == 0 {
            // Attaches that defer their looks leave hosts behind, which are looked at when they are older.
            self.looked = self.count.wrapping_sub(self.count.wrapping_sub(self.looked).min(LATEST));
        }
        oldest
    }

    /// Whether this was one of `every` so many hosts.
    #[inline]
    pub(in crate::host::arc) fn has_come_round(&self, every: usize) -> bool {
        self.count % every == 0
    }

    /// A dead host, if there is one among those that are due.
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
    fn next_dead_before(&mut self) -> Option<Entry> {
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
        self.ring[number % YOUNG].as_ref().is_some_and(Entry::is_dead)
    }

    /// Takes a host out that is dead.
    fn take(&mut self, number: usize) -> Option<Entry> {
        self.before = number.wrapping_sub(1);
        // Where the two before it are not there, it was not one of a list.
        let is_beside = [1, 2].into_iter().any(|distance| self.ring[number.wrapping_sub(distance) % YOUNG].is_some());
        self.looks_before = if is_beside { BEFORE } else { 0 };
        self.ring[number % YOUNG].take()
    }

    /// Takes all hosts out, the oldest first.
    pub(in crate::host::arc) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        let oldest = self.count;
        (0..YOUNG).filter_map(move |index| self.ring[oldest.wrapping_add(index) % YOUNG].take())
    }
}
