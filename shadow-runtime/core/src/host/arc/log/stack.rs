//! Stacks of hosts, in chunks.
//!
//! In: entries. Out: the entries, last in, first out. Neighbours: `old.rs`, the two stacks of a group; `host_types.rs`,
//! the number of a host's type; `../logs.rs`, which allocates chunks. No operation of a stack allocates or frees,
//! except for the drop. Chunks come from, and go back to, a list of empty chunks, which `old.rs` keeps.
#![forbid(unsafe_code)]

use std::iter;

use super::prefetch::prefetch;
use super::{HostType, LogEntry};

/// The prefetch distance, in hosts: a look prefetches the strong count of a later host.
const AHEAD: usize = 16;

const ONE_IS_KEPT: &str = "one empty chunk is kept for a pass";

/// The number of hosts in a full chunk.
pub(in crate::host::arc) const CHUNK: usize = if cfg!(any(loom, miri)) { 32 } else { 256 };

/// A [`LogEntry`] with the number of its type, which takes nine bytes in a chunk.
#[derive(Debug)]
pub(in crate::host::arc) struct Numbered {
    key: usize,
    type_number: u8,
}

impl From<LogEntry> for Numbered {
    #[inline]
    fn from(LogEntry { key, host_type }: LogEntry) -> Self {
        Self { key, type_number: host_type.number() }
    }
}

impl From<Numbered> for LogEntry {
    #[inline]
    fn from(Numbered { key, type_number }: Numbered) -> Self {
        Self { key, host_type: HostType::of(type_number) }
    }
}

/// Memory for [`CHUNK`] hosts, nine bytes each.
#[derive(Debug)]
pub(in crate::host::arc) struct Chunk {
    /// The chunk below in a stack, or the next chunk in a list of empty chunks.
    below: Option<Box<Chunk>>,
    len: usize,
    keys: [usize; CHUNK],
    type_numbers: [u8; CHUNK],
}

impl Chunk {
    pub(in crate::host::arc) fn empty() -> Box<Self> {
        Box::new(Self { below: None, len: 0, keys: [0; CHUNK], type_numbers: [0; CHUNK] })
    }

    pub(in crate::host::arc) fn is_full(&self) -> bool {
        self.len == CHUNK
    }

    pub(in crate::host::arc) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds a host. The caller has checked for room.
    #[inline]
    pub(in crate::host::arc) fn push(&mut self, Numbered { key, type_number }: Numbered) {
        self.keys[self.len] = key;
        self.type_numbers[self.len] = type_number;
        self.len += 1;
    }

    #[inline]
    fn pop(&mut self) -> Option<Numbered> {
        self.len = self.len.checked_sub(1)?;
        Some(Numbered { key: *self.keys.get(self.len)?, type_number: *self.type_numbers.get(self.len)? })
    }
}

/// A list of empty chunks.
#[derive(Debug)]
pub(in crate::host::arc) struct Empty(Option<Box<Chunk>>);

impl Empty {
    pub(in crate::host::arc) const fn none() -> Self {
        Self(None)
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    pub(in crate::host::arc) fn put(&mut self, mut chunk: Box<Chunk>) {
        chunk.below = self.0.take();
        self.0 = Some(chunk);
    }

    pub(in crate::host::arc) fn take(&mut self) -> Option<Box<Chunk>> {
        let mut chunk = self.0.take()?;
        self.0 = chunk.below.take();
        Some(chunk)
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        iter::successors(self.0.as_deref(), |chunk| chunk.below.as_deref()).count()
    }

    /// Takes all chunks but the first.
    pub(super) fn take_surplus(&mut self) -> Option<Box<Chunk>> {
        self.0.as_mut()?.below.take()
    }
}

impl Chunk {
    /// Moves living hosts from the end of this chunk to the end of `to`. Stops at a dead host, after `most` hosts, or
    /// when `to` is full. Returns the number of moved hosts, and whether the next host is dead.
    #[inline]
    fn move_living(&mut self, to: &mut Self, most: usize) -> (usize, bool) {
        let (mut moved, mut is_dead) = (0, false);
        let most = most.min(self.len).min(CHUNK - to.len);
        while moved < most {
            // Both indices are below `CHUNK` by the choice of `most`; the remainders tell the compiler.
            let (at, to_at) = ((self.len - moved - 1) % CHUNK, (to.len + moved) % CHUNK);
            prefetch(self.keys[at.saturating_sub(AHEAD)]);
            let (key, type_number) = (self.keys[at], self.type_numbers[at]);
            // A temporary entry, for the look: the chunk still owns the host (G1).
            is_dead = LogEntry { key, host_type: HostType::of(type_number) }.is_dead();
            if is_dead {
                break;
            }
            (to.keys[to_at], to.type_numbers[to_at]) = (key, type_number);
            moved += 1;
        }
        self.len -= moved;
        to.len += moved;
        (moved, is_dead)
    }
}

/// A stack of hosts.
#[derive(Debug, Default)]
pub(in crate::host::arc) struct Stack {
    top: Option<Box<Chunk>>,
    len: usize,
}

impl Stack {
    pub(in crate::host::arc) const fn new() -> Self {
        Self { top: None, len: 0 }
    }

    pub(in crate::host::arc) fn len(&self) -> usize {
        self.len
    }

    /// Pops the top host. An emptied chunk goes to `empty`.
    #[inline]
    pub(super) fn pop(&mut self, empty: &mut Empty) -> Option<Numbered> {
        let top = self.top.as_mut()?;
        // A chunk in a stack is never empty.
        let host = top.pop()?;
        self.len -= 1;
        if top.is_empty() {
            self.drop_top(empty);
        }
        Some(host)
    }

    #[cold]
    fn drop_top(&mut self, empty: &mut Empty) {
        if let Some(mut chunk) = self.top.take() {
            self.top = chunk.below.take();
            empty.put(chunk);
        }
    }

    /// Pushes a host, into a chunk from `empty` if the top chunk is full.
    #[inline]
    pub(in crate::host::arc) fn push(&mut self, host: Numbered, empty: &mut Empty) {
        if self.top.as_ref().is_none_or(|top| top.is_full()) {
            self.push_chunk(empty.take().expect(ONE_IS_KEPT));
        }
        if let Some(top) = &mut self.top {
            top.push(host);
            self.len += 1;
        }
    }

    /// Pushes a chunk with at least one host.
    pub(in crate::host::arc) fn push_chunk(&mut self, mut chunk: Box<Chunk>) {
        self.len += chunk.len;
        chunk.below = self.top.take();
        self.top = Some(chunk);
    }

    /// Moves living hosts to `to`. Stops at a dead host, after `looks` looks, or when the stack is empty. Returns
    /// whether the next host is dead.
    #[inline]
    pub(super) fn move_living(&mut self, to: &mut Self, empty: &mut Empty, looks: &mut usize) -> bool {
        while let (Some(from), 1..) = (&mut self.top, *looks) {
            if to.top.as_ref().is_none_or(|top| top.is_full()) {
                to.push_chunk(empty.take().expect(ONE_IS_KEPT));
            }
            let Some(top) = &mut to.top else { return false };
            let (moved, is_dead) = from.move_living(top, *looks);
            *looks -= moved;
            self.len -= moved;
            to.len += moved;
            if is_dead {
                // A chunk in a stack is never empty.
                if top.is_empty() {
                    to.drop_top(empty);
                }
                return true;
            }
            if from.is_empty() {
                self.drop_top(empty);
            }
        }
        false
    }

    /// Puts `other` at the bottom. Linear in the number of chunks of this stack.
    pub(super) fn put_below(&mut self, mut other: Self) {
        let mut end = &mut self.top;
        while let Some(chunk) = end {
            end = &mut chunk.below;
        }
        self.len += other.len;
        *end = other.top.take();
    }
}

/// Frees chunk by chunk. A recursive drop of a long stack would overflow the call stack.
impl Drop for Stack {
    fn drop(&mut self) {
        while let Some(mut chunk) = self.top.take() {
            self.top = chunk.below.take();
        }
    }
}
