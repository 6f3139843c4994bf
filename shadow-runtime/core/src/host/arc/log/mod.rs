//! The log of `Arc` hosts: every host in the table, in the order of the first attach.
//!
//! In: a host, when the table gets an entry for the host. Out: a dead host; the caller removes the host from the table
//! and drops the fields. Neighbours: `../logs.rs`, with the locks; `../sweep.rs`, which decides when a thread looks,
//! and runs the destructors; `young.rs` and `old.rs`, the two generations; `host_types.rs`, the type of an entry.
//!
//! # Structure
//!
//! A new host is *young* ([`Young`]): a ring has the last 512 hosts. Hosts leave the ring in the order of their attach,
//! gather in a chunk of 256, and are *promoted* with the chunk: the hosts are *old* ([`Old`]). A cursor passes over the
//! old hosts, forwards and backwards in turn. A *look* loads the strong count of one host, and takes no lock of the
//! table.
//!
//! - **G1** For each entry of the table there is exactly one [`LogEntry`]. The owner of the `LogEntry` is a log, a
//!   group of old hosts, or a thread. Only the owner removes the host from the table. So after a look at a dead host,
//!   no other thread ends the host.
//!
//! # The bound
//!
//! A ring and its chunk have at most 768 hosts. Two attaches give a credit of 5 looks at old hosts
//! ([`PER_TWO_ATTACHES`]), and each promotion of a host 2 more ([`PER_PROMOTION`]). Two passes reach every old host at
//! least once, and cost `2 × (live + dead)` looks. So while a host dies for each attach, at most `2 × (live + dead) /
//! 4.5` hosts die before the cursor finds the first of them. Hence `dead ≤ 0.8 × live` among the old hosts, and 768
//! more for each log in use. When a crowd dies at once, `n` attaches make `2.5 × n` looks: two passes over a living
//! half as large as `n`, and some more.
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

mod host_types;
mod old;
mod prefetch;
mod stack;
mod young;

pub(super) use host_types::HostType;
pub(super) use old::Old;
pub(super) use stack::{CHUNK, Chunk, Empty, Stack};
pub(super) use young::{Dead, Young};

/// The credit of two attaches: looks at old hosts.
pub(super) const PER_TWO_ATTACHES: usize = 5;

/// The further credit of a promotion.
pub(super) const PER_PROMOTION: usize = 2;

/// The further credit of each old host found dead, so that a run of dead hosts costs no looks.
pub(super) const PER_DEAD: usize = 1;

/// A host in the log, and the right to remove the host from the table (G1). A `LogEntry` is neither `Clone` nor `Copy`.
#[derive(Debug)]
pub(super) struct LogEntry {
    key: usize,
    host_type: &'static HostType,
}

impl LogEntry {
    /// The entry of a host that the table has just got.
    ///
    /// # Safety
    ///
    /// The table has the host of this key, no other entry for the host exists, and `host_type` is the type of the host.
    #[inline]
    pub(super) unsafe fn new(key: usize, host_type: &'static HostType) -> Self {
        Self { key, host_type }
    }

    /// The key, with which the caller removes the host from the table.
    #[inline]
    pub(super) fn into_key(self) -> usize {
        self.key
    }

    pub(super) fn host_type(&self) -> &'static HostType {
        self.host_type
    }

    /// Whether the host is dead. If the host is dead, every use of the host by other threads happens-before the return;
    /// for `try_unwrap` and `make_mut`, see `../weak.rs`.
    #[inline]
    fn is_dead(&self) -> bool {
        // SAFETY: by `new` and G1 the table has the host of this key, and keeps the host: only the owner of this entry
        // removes the host. By `new` the type is that of the host.
        unsafe { (self.host_type.is_dead)(self.key) }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
