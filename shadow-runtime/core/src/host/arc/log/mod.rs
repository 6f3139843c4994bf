//! The log of `Arc` hosts: every host in the table, in the order of the first attach.
//!
//! In: a host, when the table gets an entry for the host. Out: a dead host; the caller removes the host from the table
//! and drops the fields. Neighbours: `../logs.rs`, with the locks; `../sweep.rs`, which decides when a thread looks,
//! and runs the destructors; `young.rs`, `old.rs`.
//!
//! # Structure
//!
//! A new host is *young* ([`Young`]): a ring has the last 512 hosts. Hosts leave the ring in the order of their attach,
//! gather in a chunk of 256, and become *old* with the chunk ([`Old`]). A cursor passes over the old hosts, forwards
//! and backwards in turn. A *look* loads the strong count of one host, and takes no lock of the table.
//!
//! - **G1** For each entry of the table there is exactly one [`Entry`], owned by a log or by one thread. Only the owner
//!   removes the host from the table. So a strong count of 0 is final: no other thread ends the host.
//!
//! # The bound
//!
//! A ring and its chunk have at most 768 hosts. Two attaches pay for 5 looks at old hosts ([`PER_PAIR`]), and each host
//! that becomes old for 2 more ([`PER_OLD`]). Two passes reach every old host at least once, and cost `2 × (live +
//! dead)` looks. So while a host dies for each attach, at most `2 × (live + dead) / 4.5` hosts die before the cursor
//! finds the first of them. Hence `dead ≤ 0.8 × live` among the old hosts, and 768 more for each log in use. When a
//! crowd dies at once, `n` attaches make `2.5 × n` looks: two passes over a living half as large as `n`, and some more.
//!
//! Hosts that own one another through their fields die one after another: the second host is dead once the fields of
//! the first are dropped. If the owner comes before the owned host in the direction of the pass, one pass drops the
//! whole chain. In the other direction, the next pass drops the chain. Of a chain in random order, each pass drops
//! about two hosts.
//!
//! # Locks
//!
//! [`Young`] and [`Old`] are plain data, each behind a lock of `../logs.rs`. Code under the locks makes looks, and
//! moves entries within existing memory; neither user code nor the allocator runs. A chunk is allocated before the
//! lock, and freed after the unlock.
//!
//! # Source
//!
//! Generations, with ever rarer looks at survivors: Lieberman and Hewitt, "A real-time garbage collector based on the
//! lifetimes of objects", CACM 26/6, 1983.

mod kinds;
mod old;
mod stack;
mod young;

pub(super) use kinds::Kind;
pub(super) use old::Old;
pub(super) use stack::{CHUNK, Chunk, Empty, Stack};
pub(super) use young::{Dead, Young};

/// The number of looks at old hosts that two attaches pay for.
pub(super) const PER_PAIR: usize = 5;

/// The number of further looks that a host pays for when the host becomes old.
pub(super) const PER_OLD: usize = 2;

/// The number of further looks for each old host found dead, so that a run of dead hosts costs no looks.
pub(super) const PER_FOUND: usize = 1;

/// A host in the log, and the right to remove the host from the table (G1). An `Entry` is neither `Clone` nor `Copy`.
#[derive(Debug)]
pub(super) struct Entry {
    key: usize,
    kind: &'static Kind,
}

impl Entry {
    /// The entry of a host that the table has just got.
    ///
    /// # Safety
    ///
    /// The table has the host of this key, no other entry for the host exists, and `kind` is the kind of the host's
    /// type.
    #[inline]
    pub(super) unsafe fn new(key: usize, kind: &'static Kind) -> Self {
        Self { key, kind }
    }

    /// The key, with which the caller removes the host from the table.
    #[inline]
    pub(super) fn into_key(self) -> usize {
        self.key
    }

    pub(super) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// Whether the host is dead. If the host is dead, every use of the host by other threads happens-before the return;
    /// for `try_unwrap` and `make_mut`, see `../kept.rs`.
    #[inline]
    fn is_dead(&self) -> bool {
        // SAFETY: by `new` and G1 the table has the host of this key, and keeps the host: only the owner of this entry
        // removes the host. By `new` the kind is the kind of the host's type.
        unsafe { (self.kind.is_dead)(self.key) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
