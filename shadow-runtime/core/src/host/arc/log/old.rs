//! Old hosts: a cursor passes over the hosts in the order of their attach, forwards and backwards in turn.
//!
//! In: chunks of promoted hosts. Out: dead hosts. Neighbours: `mod.rs`, the design; `stack.rs`, a stack of hosts;
//! `../logs.rs`, the lock of a group; `../sweep.rs`, the sweep on demand, whose progress is recorded here.
//!
//! Two stacks have the hosts before the cursor and the hosts after the cursor. The tops are next to the cursor:
//!
//! ```text
//!     oldest … [before] | cursor | [after] … [fresh] … newest
//! ```
//!
//! A look pops a host from one stack, and pushes a living host onto the other stack. So a dead host leaves no gap.
//! Hosts that are promoted meanwhile are `fresh`, and join the stacks when the cursor turns at the newest end.
//!
//! A pass needs one empty chunk: the source stack gives back a chunk for each chunk that the target stack takes.
#![forbid(unsafe_code)]

use std::mem;

use super::stack::Empty;
use super::{Chunk, LogEntry, Stack};

/// The number of concurrent sweeps with a record of progress.
const SWEEPS: usize = 8;

/// The old hosts of some logs.
#[derive(Debug)]
pub(in crate::host::arc) struct Old {
    before: Stack,
    after: Stack,
    fresh: Stack,
    empty: Empty,
    is_forwards: bool,
    turns: usize,
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

impl Default for Old {
    fn default() -> Self {
        Self::new()
    }
}

impl Old {
    pub(in crate::host::arc) const fn new() -> Self {
        Self {
            before: Stack::new(),
            after: Stack::new(),
            fresh: Stack::new(),
            empty: Empty::none(),
            is_forwards: false,
            turns: 0,
            sweeps: [NOT_ON; SWEEPS],
        }
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        self.before.len() + self.after.len() + self.fresh.len()
    }

    /// Whether a pass may lack an empty chunk. The caller then brings a chunk by [`put_empty`](Self::put_empty).
    pub(in crate::host::arc) fn needs_chunk(&self) -> bool {
        self.empty.is_none()
    }

    pub(in crate::host::arc) fn put_empty(&mut self, chunk: Box<Chunk>) {
        self.empty.put(chunk);
    }

    /// Adds promoted hosts, in a chunk with at least one host.
    pub(in crate::host::arc) fn put(&mut self, hosts: Box<Chunk>) {
        self.fresh.push_chunk(hosts);
    }

    /// All hosts, without a look. The newest host is on top.
    pub(in crate::host::arc) fn into_stack(mut self) -> Stack {
        while let Some(host) = self.after.pop(&mut self.empty) {
            self.before.push(host, &mut self.empty);
        }
        debug_assert_eq!(self.after.len(), 0, "all hosts are taken");
        self.fresh.put_below(self.before);
        self.fresh
    }

    /// Adds promoted hosts. The newest host is on top.
    pub(in crate::host::arc) fn put_all(&mut self, mut hosts: Stack) {
        hosts.put_below(mem::take(&mut self.fresh));
        self.fresh = hosts;
    }

    /// Surplus empty chunks, which the caller frees after the unlock.
    pub(in crate::host::arc) fn take_surplus(&mut self) -> Option<Box<Chunk>> {
        self.empty.take_surplus()
    }

    /// The next dead host within `looks` looks. Subtracts the looks made from `looks`. `None` with looks left means the
    /// end of a pass.
    #[inline]
    pub(in crate::host::arc) fn next_dead(&mut self, looks: &mut usize) -> Option<LogEntry> {
        let (from, to) =
            if self.is_forwards { (&mut self.after, &mut self.before) } else { (&mut self.before, &mut self.after) };
        if from.move_living(to, &mut self.empty, looks) {
            let dead = from.pop(&mut self.empty)?;
            *looks -= 1;
            self.note_found();
            return Some(dead.into());
        }
        if *looks > 0 {
            self.turn();
        }
        None
    }

    #[cold]
    fn turn(&mut self) {
        if self.is_forwards {
            self.fresh.put_below(mem::take(&mut self.before));
            self.before = mem::take(&mut self.fresh);
        }
        self.is_forwards = !self.is_forwards;
        self.turns = self.turns.wrapping_add(1);
        for sweep in self.sweeps.iter_mut().filter(|sweep| sweep.is_on) {
            sweep.turns = sweep.turns.saturating_sub(1);
            sweep.is_done |= sweep.turns == 0 && !sweep.has_found;
            sweep.has_found = false;
        }
    }

    /// Records that the host last popped was dead.
    fn note_found(&mut self) {
        for sweep in self.sweeps.iter_mut().filter(|sweep| sweep.is_on) {
            if self.before.len() < sweep.hosts {
                sweep.hosts -= 1;
                sweep.has_found = true;
                sweep.is_done |= sweep.hosts == 0;
            }
        }
    }

    /// Begins a sweep of all present hosts of the group.
    pub(in crate::host::arc) fn begin_sweep(&mut self) -> Sweeping {
        // If the cursor goes backwards, fresh hosts get their first look after the second turn.
        let turns = if self.is_forwards { 2 } else { 3 };
        let hosts = self.len();
        let index = self.sweeps.iter().position(|sweep| !sweep.is_on);
        if let Some(index) = index {
            self.sweeps[index] = Progress { is_on: true, hosts, turns, has_found: false, is_done: hosts == 0 };
        }
        Sweeping { index, last_turn: self.turns.wrapping_add(turns) }
    }

    /// Extends a sweep that has just destroyed a host: every recorded host gets another look.
    pub(in crate::host::arc) fn go_on(&mut self, sweep: &Sweeping) {
        let turns = if self.is_forwards { 2 } else { 3 };
        if let Some(progress) = sweep.index.map(|index| &mut self.sweeps[index]) {
            progress.turns = turns;
            progress.is_done = progress.hosts == 0;
        }
    }

    pub(in crate::host::arc) fn is_done(&self, sweep: &Sweeping) -> bool {
        match sweep.index {
            Some(index) => self.sweeps[index].is_done,
            None => self.len() == 0 || self.turns.wrapping_sub(sweep.last_turn) <= usize::MAX / 2,
        }
    }

    pub(in crate::host::arc) fn end_sweep(&mut self, Sweeping { index, .. }: Sweeping) {
        if let Some(index) = index {
            self.sweeps[index] = NOT_ON;
        }
    }
}
