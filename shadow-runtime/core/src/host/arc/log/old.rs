//! Old hosts: a cursor goes through them in the order of their attach, forwards and backwards in turn.
//!
//! In: chunks of hosts that have become old. Out: dead ones. Neighbour: `stack.rs`.
//!
//! The hosts before the cursor and those after it are two stacks, whose tops are next to the cursor:
//!
//! ```text
//!     oldest … [before] | cursor | [after] … [fresh] … newest
//! ```
//!
//! A look pops a host from one stack; a host that lives is pushed onto the other. So nothing is left where a dead host
//! was. Hosts that become old meanwhile are `fresh`, and are joined when the cursor is at the newest end, where it turns.
//!
//! Moves of a pass need one empty chunk: the stack that is popped from gives a chunk back for each that the other takes.
#![forbid(unsafe_code)]

use std::mem;

use super::stack::Empty;
use super::{Chunk, Entry, Stack};

/// How many sweeps can be told apart.
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

/// How far a sweep is, which goes on until a pass over the hosts that were there when it began has found none dead.
#[derive(Clone, Copy, Debug)]
struct Progress {
    is_on: bool,
    /// How many of the oldest hosts were there when it began.
    hosts: usize,
    /// How many turns of the cursor there are until each of them was looked at.
    turns: usize,
    /// Whether one of them was dead in this pass.
    has_found: bool,
    is_done: bool,
}

/// All of it is zero, so that old hosts that are not there cost no memory.
const NOT_ON: Progress = Progress { is_on: false, hosts: 0, turns: 0, has_found: false, is_done: false };

/// A sweep of some old hosts, which is to be ended there.
#[must_use]
pub(in crate::host::arc) struct Sweeping {
    /// Where its progress is. A sweep that finds no place goes on for a fixed number of turns.
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

    /// Whether a pass could lack an empty chunk, which the next [`put`](Self::put) has to bring.
    pub(in crate::host::arc) fn needs_chunk(&self) -> bool {
        self.empty.is_none()
    }

    pub(in crate::host::arc) fn put_empty(&mut self, chunk: Box<Chunk>) {
        self.empty.put(chunk);
    }

    /// Hosts that become old now, in a chunk that is not empty.
    pub(in crate::host::arc) fn put(&mut self, hosts: Box<Chunk>) {
        self.fresh.push_chunk(hosts);
    }

    /// All hosts, the newest on top, without a look at them.
    pub(in crate::host::arc) fn into_stack(mut self) -> Stack {
        while let Some(host) = self.after.pop(&mut self.empty) {
            self.before.push(host, &mut self.empty);
        }
        self.fresh.put_below(self.before);
        self.fresh
    }

    /// Hosts that become old now, the newest on top.
    pub(in crate::host::arc) fn put_all(&mut self, mut hosts: Stack) {
        hosts.put_below(mem::take(&mut self.fresh));
        self.fresh = hosts;
    }

    /// Empty chunks that are not needed, for the caller to free once the lock is released.
    pub(in crate::host::arc) fn take_surplus(&mut self) -> Option<Box<Chunk>> {
        self.empty.take_surplus()
    }

    /// The next dead host, after no more than `looks`, from which those that were made are taken. `None` with looks left
    /// says that a pass has ended.
    #[inline]
    pub(in crate::host::arc) fn next_dead(&mut self, looks: &mut usize) -> Option<Entry> {
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

    /// The host that was just taken from the cursor was dead.
    fn note_found(&mut self) {
        for sweep in self.sweeps.iter_mut().filter(|sweep| sweep.is_on) {
            if self.before.len() < sweep.hosts {
                sweep.hosts -= 1;
                sweep.has_found = true;
                sweep.is_done |= sweep.hosts == 0;
            }
        }
    }

    /// Begins a sweep of all hosts that are here now.
    pub(in crate::host::arc) fn begin_sweep(&mut self) -> Sweeping {
        // Backwards, the cursor does not come to fresh hosts before its second turn.
        let turns = if self.is_forwards { 2 } else { 3 };
        let hosts = self.len();
        let index = self.sweeps.iter().position(|sweep| !sweep.is_on);
        if let Some(index) = index {
            self.sweeps[index] = Progress { is_on: true, hosts, turns, has_found: false, is_done: hosts == 0 };
        }
        Sweeping { index, last_turn: self.turns.wrapping_add(turns) }
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
