//! Young hosts: the last 512 of one log.
//!
//! In: a host when it is new. Out: dead ones; and each that is still there when 512 others have come after it, which is old
//! from then on.
//!
//! A host is looked at when it is the 2nd, 8th, 32nd, 128th and 500th of the newest. So a host that dies before it is old is found
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
const AGES: [usize; 5] = [2, 8, 32, 128, 500];

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
    /// For each age, how many hosts had come when the look at that age was last done.
    looked: [usize; AGES.len()],
    /// The number of the host that is looked at next, since one after it was dead; and how many more such looks there are.
    before: usize,
    looks_before: usize,
}

/// A dead host, and whether there may be more where it was found.
pub(in crate::host::arc) struct Dead {
    pub(in crate::host::arc) entry: Entry,
    pub(in crate::host::arc) is_of_a_list: bool,
}

impl Young {
    pub(in crate::host::arc) const fn new() -> Self {
        Self { ring: [const { None }; YOUNG], count: 0, looked: [0; AGES.len()], before: 0, looks_before: 0 }
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
            self.catch_up();
        }
        oldest
    }

    /// Attaches that defer their looks leave hosts behind. What has left the ring meanwhile is not looked at here any more.
    #[cold]
    fn catch_up(&mut self) {
        for (looked, age) in self.looked.iter_mut().zip(AGES) {
            let late = self.count.wrapping_sub(*looked);
            *looked = self.count.wrapping_sub(late.min(YOUNG - age));
        }
    }

    /// Whether this was one of `every` so many hosts.
    #[inline]
    pub(in crate::host::arc) fn has_come_round(&self, every: usize) -> bool {
        self.count % every == 0
    }

    /// A dead host, if there is one among those that are due.
    #[inline]
    pub(in crate::host::arc) fn next_dead(&mut self) -> Option<Dead> {
        while self.looks_before > 0 {
            self.looks_before -= 1;
            self.before = self.before.wrapping_sub(1);
            if let Some(entry) = self.take_if_dead(self.before.wrapping_add(1)) {
                return Some(Dead { entry, is_of_a_list: true });
            }
        }
        for (index, age) in AGES.into_iter().enumerate() {
            while self.looked[index] != self.count {
                let number = self.looked[index].wrapping_sub(age);
                self.looked[index] = self.looked[index].wrapping_add(1);
                if let Some(entry) = self.take_if_dead(number) {
                    return Some(Dead { entry, is_of_a_list: false });
                }
            }
        }
        None
    }

    #[inline]
    fn take_if_dead(&mut self, number: usize) -> Option<Entry> {
        let place = &mut self.ring[number % YOUNG];
        let entry = place.take_if(|entry| entry.is_dead())?;
        self.before = number.wrapping_sub(1);
        self.looks_before = BEFORE;
        Some(entry)
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        if self.count == 0 { 0 } else { self.ring.iter().flatten().count() }
    }

    /// Takes all hosts out, the oldest first.
    pub(in crate::host::arc) fn drain(&mut self) -> impl Iterator<Item = Entry> {
        let oldest = self.count;
        (0..YOUNG).filter_map(move |index| self.ring[oldest.wrapping_add(index) % YOUNG].take())
    }
}
