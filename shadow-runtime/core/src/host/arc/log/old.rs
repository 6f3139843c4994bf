//! The old hosts of a group, in generations, and the sweeps on demand over them.
//!
//! In: chunks of hosts that have become old. Out: dead hosts. Neighbour: `pass.rs`, one generation.
//!
//! Hosts arrive in the first generation, the *middle*. The middle has the newest [`MIDDLE`] to `2 × MIDDLE` hosts: when
//! it has more, and its cursor goes backwards, the hosts before the cursor move on to the last generation, which has all
//! older hosts. Each host that arrives pays for one look in the middle. So the cursor passes over the middle often,
//! however many hosts the last generation has, and hosts that die in the middle are few.
//!
//! A sweep on demand passes over the last generation, after [`put_all`](Old::put_all) has moved all hosts there.
#![forbid(unsafe_code)]

use super::pass::Pass;
use super::{Chunk, Empty, Entry, Stack};

/// The middle has no more than twice as many hosts, but for those that its cursor has not passed yet.
const MIDDLE: usize = if cfg!(any(loom, miri)) { 64 } else { 8192 };

/// The most empty chunks that [`Old::take_empty`] takes.
pub(in crate::host::arc) const GENERATIONS: usize = 2;

/// The number of concurrent sweeps with a record of progress.
const SWEEPS: usize = 8;

/// The old hosts of some logs.
#[derive(Debug)]
pub(in crate::host::arc) struct Old {
    middle: Pass,
    last: Pass,
    /// The number of looks that the middle has a claim to, before the last generation.
    middle_looks: usize,
    sweeps: [Progress; SWEEPS],
}

/// The progress of a sweep. A sweep goes on until a pass finds none of the recorded hosts dead.
#[derive(Clone, Copy, Debug)]
struct Progress {
    is_on: bool,
    /// The number of recorded hosts: the oldest hosts of the group.
    hosts: usize,
    /// The number of turns of the cursor until every recorded host has had a look.
    turns: usize,
    /// Whether this pass has found a recorded host dead.
    has_found: bool,
    is_done: bool,
}

/// All bytes are zero: an unused group is in `.bss`, and costs no memory.
const NOT_ON: Progress = Progress { is_on: false, hosts: 0, turns: 0, has_found: false, is_done: false };

/// A sweep of a group of old hosts. [`Old::end_sweep`] ends the sweep.
#[must_use]
pub(in crate::host::arc) struct Sweeping {
    /// The index of the record of progress. A sweep without a record ends after a fixed number of turns.
    index: Option<usize>,
    last_turn: usize,
}

impl Old {
    pub(in crate::host::arc) const fn new() -> Self {
        Self { middle: Pass::new(), last: Pass::new(), middle_looks: 0, sweeps: [NOT_ON; SWEEPS] }
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        self.middle.len() + self.last.len()
    }

    /// Takes an empty chunk for each generation whose pass may lack one.
    pub(in crate::host::arc) fn take_empty(&mut self, empty: &mut Empty) {
        for generation in [&mut self.middle, &mut self.last] {
            if generation.needs_chunk() {
                empty.take().into_iter().for_each(|chunk| generation.put_empty(chunk));
            }
        }
    }

    /// Surplus empty chunks, which the caller frees after the unlock.
    pub(in crate::host::arc) fn take_surplus(&mut self) -> [Option<Box<Chunk>>; GENERATIONS] {
        [self.middle.take_surplus(), self.last.take_surplus()]
    }

    /// Adds hosts that become old now, in a chunk with at least one host.
    pub(in crate::host::arc) fn put(&mut self, hosts: Box<Chunk>) {
        self.grant_middle(hosts.len());
        self.middle.put(hosts);
    }

    /// Adds hosts to the last generation, and moves all hosts there. The newest host is on top.
    pub(in crate::host::arc) fn put_all(&mut self, hosts: Stack) {
        self.last.put_all(self.middle.take_all());
        self.last.put_all(hosts);
    }

    /// All hosts, without a look. The newest host is on top.
    pub(in crate::host::arc) fn take_all(&mut self) -> Stack {
        let mut all = self.middle.take_all();
        all.put_below(self.last.take_all());
        all
    }

    /// The next dead host within `looks` looks. Subtracts the looks made from `looks`. `None` with looks left means the
    /// end of a pass over the last generation.
    #[inline]
    pub(in crate::host::arc) fn next_dead(&mut self, looks: &mut usize) -> Option<Entry> {
        if self.last.len() == 0 {
            self.middle_looks = self.middle_looks.max(*looks);
        }
        let dead = self.next_dead_in_middle(looks);
        if dead.is_some() || *looks == 0 {
            return dead;
        }
        let dead = self.next_dead_in_last(looks);
        if dead.is_none() && *looks > 0 {
            // Also if no host arrives any more.
            self.grant_middle(2 * self.middle.len());
        }
        dead
    }

    /// [`next_dead`](Self::next_dead), in the middle alone, and within the looks that the middle has a claim to.
    #[inline]
    pub(in crate::host::arc) fn next_dead_in_middle(&mut self, looks: &mut usize) -> Option<Entry> {
        let granted = self.middle_looks.min(*looks);
        if granted == 0 || self.middle.len() == 0 {
            return None;
        }
        let mut left = granted;
        let dead = self.middle.next_dead(&mut left);
        let made = granted - left;
        *looks -= made;
        // A dead host costs no look.
        self.middle_looks -= made - usize::from(dead.is_some());
        if self.middle.len() > 2 * MIDDLE {
            if let Some(older) = self.middle.take_older(MIDDLE) {
                self.last.put_all(older);
            }
        }
        dead
    }

    /// Grants the middle so many looks. Looks for more than two passes are not saved.
    fn grant_middle(&mut self, looks: usize) {
        self.middle_looks = (self.middle_looks + looks).min(2 * self.middle.len() + looks);
    }

    /// [`next_dead`](Self::next_dead), in the last generation alone.
    #[inline]
    pub(in crate::host::arc) fn next_dead_in_last(&mut self, looks: &mut usize) -> Option<Entry> {
        let turns = self.last.turns();
        let dead = self.last.next_dead(looks);
        if dead.is_some() {
            self.note_found();
        } else if self.last.turns() != turns {
            self.note_turn();
        }
        dead
    }

    #[cold]
    fn note_turn(&mut self) {
        for sweep in self.sweeps.iter_mut().filter(|sweep| sweep.is_on) {
            sweep.turns = sweep.turns.saturating_sub(1);
            sweep.is_done |= sweep.turns == 0 && !sweep.has_found;
            sweep.has_found = false;
        }
    }

    /// Records that the host last popped was dead.
    fn note_found(&mut self) {
        for sweep in self.sweeps.iter_mut().filter(|sweep| sweep.is_on) {
            if self.last.before() < sweep.hosts {
                sweep.hosts -= 1;
                sweep.has_found = true;
                sweep.is_done |= sweep.hosts == 0;
            }
        }
    }

    /// Begins a sweep of all present hosts of the last generation.
    pub(in crate::host::arc) fn begin_sweep(&mut self) -> Sweeping {
        let (turns, hosts) = (self.last.turns_for_all(), self.last.len());
        let index = self.sweeps.iter().position(|sweep| !sweep.is_on);
        if let Some(index) = index {
            self.sweeps[index] = Progress { is_on: true, hosts, turns, has_found: false, is_done: hosts == 0 };
        }
        Sweeping { index, last_turn: self.last.turns().wrapping_add(turns) }
    }

    /// Has a sweep, which has just ended a host, look at all hosts once more.
    pub(in crate::host::arc) fn go_on(&mut self, sweep: &Sweeping) {
        if let Some(progress) = sweep.index.map(|index| &mut self.sweeps[index]) {
            progress.turns = self.last.turns_for_all();
            progress.is_done = progress.hosts == 0;
        }
    }

    pub(in crate::host::arc) fn is_done(&self, sweep: &Sweeping) -> bool {
        match sweep.index {
            Some(index) => self.sweeps[index].is_done,
            None => self.last.len() == 0 || self.last.turns().wrapping_sub(sweep.last_turn) <= usize::MAX / 2,
        }
    }

    pub(in crate::host::arc) fn end_sweep(&mut self, Sweeping { index, .. }: Sweeping) {
        if let Some(index) = index {
            self.sweeps[index] = NOT_ON;
        }
    }
}
