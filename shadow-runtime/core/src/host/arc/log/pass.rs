//! One generation of old hosts: a cursor passes over the hosts in the order of their attach, forwards and backwards in turn.
//!
//! In: chunks of hosts. Out: dead hosts, and the older part of the hosts. Neighbours: `stack.rs`; `old.rs`, with the
//! generations of a group.
//!
//! Two stacks have the hosts before the cursor and the hosts after the cursor. The tops are next to the cursor:
//!
//! ```text
//!     oldest … [before] | cursor | [after] … [fresh] … newest
//! ```
//!
//! A look pops a host from one stack, and pushes a living host onto the other stack. So a dead host leaves no gap.
//! Hosts that arrive meanwhile are `fresh`, and join the stacks when the cursor turns at the newest end.
//!
//! A pass needs one empty chunk: the source stack gives back a chunk for each chunk that the target stack takes.
#![forbid(unsafe_code)]

use std::mem;

use super::{Chunk, Empty, Entry, Stack};

/// A generation of old hosts.
#[derive(Debug)]
pub(super) struct Pass {
    before: Stack,
    after: Stack,
    fresh: Stack,
    empty: Empty,
    is_forwards: bool,
    turns: usize,
}

impl Pass {
    pub(super) const fn new() -> Self {
        Self {
            before: Stack::new(),
            after: Stack::new(),
            fresh: Stack::new(),
            empty: Empty::none(),
            is_forwards: false,
            turns: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.before.len() + self.after.len() + self.fresh.len()
    }

    /// The number of hosts before the cursor.
    pub(super) fn before(&self) -> usize {
        self.before.len()
    }

    /// The number of turns of the cursor, in wrapping arithmetic.
    pub(super) fn turns(&self) -> usize {
        self.turns
    }

    /// The number of turns of the cursor until each present host has had a look. If the cursor goes backwards, fresh
    /// hosts get their first look after the second turn.
    pub(super) fn turns_for_all(&self) -> usize {
        if self.is_forwards { 2 } else { 3 }
    }

    /// Whether the pass may lack an empty chunk.
    pub(super) fn needs_chunk(&self) -> bool {
        self.empty.is_none()
    }

    pub(super) fn put_empty(&mut self, chunk: Box<Chunk>) {
        self.empty.put(chunk);
    }

    /// All empty chunks but one.
    pub(super) fn take_surplus(&mut self) -> Option<Box<Chunk>> {
        self.empty.take_surplus()
    }

    /// Adds hosts newer than all present hosts, in a chunk with at least one host.
    pub(super) fn put(&mut self, hosts: Box<Chunk>) {
        self.fresh.push_chunk(hosts);
    }

    /// Adds hosts newer than all present hosts. The newest host is on top.
    pub(super) fn put_all(&mut self, mut hosts: Stack) {
        hosts.put_below(mem::take(&mut self.fresh));
        self.fresh = hosts;
    }

    /// All hosts, without a look. The newest host is on top. The generation keeps its empty chunks.
    pub(super) fn take_all(&mut self) -> Stack {
        while let Some(host) = self.after.pop(&mut self.empty) {
            self.before.push(host, &mut self.empty);
        }
        let mut all = mem::take(&mut self.fresh);
        all.put_below(mem::take(&mut self.before));
        all
    }

    /// The hosts before a cursor on the way backwards, if at least `newer` hosts are after the cursor. Then the cursor
    /// turns. `None` too while the pass has its empty chunk in use.
    pub(super) fn take_older(&mut self, newer: usize) -> Option<Stack> {
        if self.is_forwards || self.after.len() < newer || self.empty.is_none() {
            return None;
        }
        let older = mem::take(&mut self.before);
        self.turn();
        Some(older)
    }

    /// The next dead host within `looks` looks. Subtracts the looks made from `looks`. `None` with looks left means the
    /// end of a pass.
    #[inline]
    pub(super) fn next_dead(&mut self, looks: &mut usize) -> Option<Entry> {
        let (from, to) =
            if self.is_forwards { (&mut self.after, &mut self.before) } else { (&mut self.before, &mut self.after) };
        if from.move_living(to, &mut self.empty, looks) {
            let dead = from.pop(&mut self.empty)?;
            *looks -= 1;
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
    }
}
