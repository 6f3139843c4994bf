//! The log of `Arc` hosts: every host that the table has, in the order of the first attach.
//!
//! In: a host, when the table gets an entry for it. Out: a dead host, which the caller then takes out of the table and
//! drops. Neighbours: `../sweep.rs`, which decides when a thread looks and runs the destructors; `young.rs`, `old.rs`.
//!
//! # Structure
//!
//! A new host is *young* ([`Young`]): a ring of the last 512 hosts. Hosts leave the ring in the order of their attach,
//! gather in a chunk, and become *old* with it ([`Old`]): a cursor goes through the old hosts, forwards and backwards in
//! turn. A look reads one strong count; no lock of the table is taken for it.
//!
//! - **G1** Each entry of the table has exactly one [`Entry`]: in a log, or in the hands of one thread. Only that thread
//!   takes the host out of the table. So a strong count that was 0 stays decided: no other thread ends the host.
//!
//! # The bound
//!
//! A ring and its chunk hold at most 768 hosts. An attach pays for 2.5 looks at old hosts ([`PER_PAIR`]), and a host that
//! becomes old for 2 more ([`PER_OLD`]). The cursor comes to each old host at least once in two passes, which are
//! `2 × (live + dead)` looks. So where a host dies for each that is attached, at most `2 × (live + dead) / 4.5` die before the
//! cursor has found them: `dead ≤ 0.8 × live` among the old, and 768 more for each log in use. When a crowd dies at once, it
//! is found by `2.5 × n` looks while `n` hosts are attached, for which two passes over its living half are few enough.
//!
//! Hosts that hold one another through their fields die one after the other: the second is dead when the fields of the
//! first are dropped. They fall in one pass if the pass has the direction in which they hold one another, in the next pass
//! otherwise. Hosts that hold one another in random order lose about two hosts of each chain in a pass.
//!
//! # Locks
//!
//! [`Young`] and [`Old`] are plain data, each behind a lock of `../sweep.rs`. Under these locks run a look and moves within
//! memory that is there: no user code, and no allocator. A chunk is allocated before the lock is taken and freed after it is
//! released.
//!
//! # Where it comes from
//!
//! Generations, and that survivors are looked at ever more seldom: Lieberman and Hewitt, "A real-time garbage collector
//! based on the lifetimes of objects", CACM 26/6, 1983.

mod kinds;
mod old;
mod stack;
mod young;

pub(super) use kinds::Kind;
pub(super) use old::Old;
pub(super) use stack::{CHUNK, Chunk, Empty, Stack};
pub(super) use young::{Dead, Young};

/// How many looks at old hosts two attaches pay for.
pub(super) const PER_PAIR: usize = 5;

/// How many more each host pays for that becomes old.
pub(super) const PER_OLD: usize = 2;

/// How many more each dead host pays for that was found among the old: a stretch of dead hosts costs no looks.
pub(super) const PER_FOUND: usize = 1;

/// A host in the log, and the right to take it out of the table (G1). It is neither cloned nor copied.
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
    /// The table has the host of this key, there is no other entry for it, and the kind is that of its type.
    #[inline]
    pub(super) unsafe fn new(key: usize, kind: &'static Kind) -> Self {
        Self { key, kind }
    }

    /// The key, for the caller to take the host out of the table.
    #[inline]
    pub(super) fn into_key(self) -> usize {
        self.key
    }

    pub(super) fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// Whether the host is dead. If so, all that its users did happened before.
    #[inline]
    fn is_dead(&self) -> bool {
        // SAFETY: by `new` and G1 the table has the host of this key, and keeps it: only the thread that has this entry
        // takes the host out. The kind is that of its type.
        unsafe { (self.kind.is_dead)(self.key) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
