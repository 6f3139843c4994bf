//! `Arc<T>` as a host: a shared object of any type.
//!
//! In: an `Arc`. Out: the fields of its allocation, for as long as an `Arc` of the allocation exists. Neighbours:
//! `side_table/mod.rs`, the table; `fields/root.rs`, the search from an entry; `weak.rs`, the `Weak` of an entry;
//! `sweep.rs`, the end of an entry.
//!
//! # Identity and address reuse
//!
//! The key is an address in the allocation, a little before the `T`. The table entry owns a `Weak`, so the allocator
//! cannot reuse the address before the removal of the entry. Two allocations never have the same key, not even for
//! zero-sized types: the two counts of an `Arc` lie before the `T`, so the bytes at the key belong to one allocation.
//! The hosts of `counted.rs` share the table: by A4 their keys are bytes of their own memory, too.
//!
//! # Invariants
//!
//! - **A1** An entry is removed only after a load of the strong count has returned 0, and only by the thread that owns
//!   the log entry (G1 of `arc/log/mod.rs`). While the count is 0, no thread borrows an `Arc` of the allocation. Either
//!   no `Arc` exists, now or later; or `Arc::make_mut` owns the last `Arc` exclusively, and moves the value to an
//!   object without fields.
//! - **A2** An entry stores the raw form of a [`RootPtr`]: a pointer past the header of the host's first node, or of a
//!   table whose first node is the host's first node. The owner in the first node keeps the allocation. Nodes and
//!   tables are destroyed only after the removal of the entry. While `detach.rs` drops the values of a host, the entry
//!   has the root of a bare node instead.
//!
//! So a caller that borrows an `Arc` may look up its key (T5 of `side_table/mod.rs`), and borrow the fields of the
//! allocation for as long (R1).
//!
//! # Reader, writer, sweeper
//!
//! *Reader*: find the entry, then the field set in the entry's nodes. A reader takes no lock.
//!
//! *Writer*: search like a reader first. If the host has no entry: allocate a node, lock the shard, search again,
//! insert. If the entry lacks the field set: allocate a table of both nodes, lock the shard, and replace the entry's
//! value. The lock is necessary, since a writer of another key may move the entry. If the entry has a table of nodes:
//! put the node into a vacant slot, without the lock (`fields/mod.rs`). Surplus nodes and tables are freed after the
//! unlock.
//!
//! *Sweeper*: find a dead host in the log, lock the shard, remove the entry, unlock, and only then drop the fields. So
//! destructors run under no lock (R4), each destructor contained (R5).

mod background;
pub mod counted;
mod detach;
mod hosts;
mod log;
mod logs;
mod on_demand;
mod sweep;
mod try_lock;
mod weak;

use std::cell::Cell;

use crate::field_set::FieldSet;
use crate::fields::{Found, Payload, RootPtr, Unpublished};
use crate::host::{ArcTarget, Host};
use crate::identity::Identity;
use crate::side_table::{SideTable, hash};
use crate::sync::{Arc, Weak, shared};
pub use background::{BackgroundSweep, ManualSweep};
use log::{HostType, LogEntry};
pub(crate) use sweep::SweepDeferred;
use sweep::{after_attach, log_later, log_now};
use weak::{ThinWeak, WeakOwner};

shared! {
    static TABLE: SideTable<Payload> = SideTable::new();
}

/// The distance from the key to the object. The bytes at the key are the counts, or padding for the object's alignment;
/// both belong to the allocation alone.
const KEY_OFFSET: usize = 2 * size_of::<usize>();

/// The key of the allocation of `host` in the table. For most types, the key is the address that the `Arc` stores, so
/// the compiler has nothing to calculate.
#[inline]
fn key_of<T: ?Sized>(host: &Arc<T>) -> usize {
    Arc::as_ptr(host).addr().wrapping_sub(KEY_OFFSET)
}

/// Whether a pointer to a `T` is an address without metadata.
const fn is_thin_ptr<T: ?Sized>() -> bool {
    size_of::<*const T>() == size_of::<*const ()>()
}

// SAFETY: P1: by A1 and A2 the fields in the table for a host belong to the host, and live while the `Arc` is borrowed;
// by N2 a host has one field set of each type. P2: argued in `insert_first`. P3: a borrowed `Arc` keeps its allocation,
// and so the address.
unsafe impl<T: ?Sized + ArcTarget> Host for Arc<T> {
    #[inline]
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        let root = RootPtr::from_raw(TABLE.find(key_of(host))?);
        if is_thin_ptr::<T>() {
            // SAFETY: by A1 and A2 `root` is not destroyed while `host` is borrowed. `detach.rs` alone has exclusive
            // access, which clears the first-ready flag, and while no thread borrows the host. The table loads by an
            // Acquire.
            unsafe { root.find::<S, ThinWeak<T>>() }
        } else {
            // SAFETY: by A1 and A2 `root` is not destroyed while `host` is borrowed, and no thread has exclusive
            // access meanwhile. The table loads by an Acquire.
            unsafe { root.find::<S, Weak<T>>() }
        }
    }

    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S {
        match Self::find(host) {
            Some(found) => found.set(),
            None if is_thin_ptr::<T>() => insert::<S, T, ThinWeak<T>>(host),
            None => insert::<S, T, Weak<T>>(host),
        }
    }

    #[inline]
    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>> {
        let key = key_of(host);
        if TABLE.find(key).is_some() {
            return None;
        }
        Some(if is_thin_ptr::<T>() {
            // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
            unsafe { Unpublished::new_first_ready(ThinWeak::<T>::keep(host), key) }
        } else {
            // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
            unsafe { Unpublished::new_first_ready(<Weak<T> as WeakOwner<T>>::keep(host), key) }
        })
    }

    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        let key = key_of(host);
        if !insert_entry(key, new.root()) {
            return Err(new);
        }
        // SAFETY: this thread, and no other, has just inserted the host; `host_type::<T>()` is the type of the host.
        log_later(unsafe { LogEntry::new(key, host_type::<T>()) });
        // SAFETY: by A1 and A2 the set is not destroyed while `host` is borrowed.
        Ok(unsafe { new.into_published() })
    }

    fn identity(host: &Self) -> Identity {
        // The type plays no part: an `Arc<dyn Trait>` of the same allocation is the same host, with the same field
        // sets.
        Identity { address: Arc::as_ptr(host).addr(), type_id: None }
    }

    #[inline]
    fn after_attach(_host: &Self) {
        after_attach();
    }
}

/// The type of an `Arc<T>` for the log, with the check whether a host is dead.
fn host_type<T: ?Sized + Send + Sync + 'static>() -> &'static HostType {
    if is_thin_ptr::<T>() { <ThinWeak<T> as WeakOwner<T>>::host_type() } else { <Weak<T> as WeakOwner<T>>::host_type() }
}

/// Whether the host of this key is dead, according to the owner in the host's first node.
///
/// # Safety
///
/// The table has the host of this key, and keeps the host during the call.
unsafe fn is_dead_by_table(key: usize) -> bool {
    // SAFETY: by A2 `root` belongs to the host of `key`; the table has the host, so `root` is not destroyed.
    TABLE.find(key).is_some_and(|root| unsafe { RootPtr::from_raw(root).is_gone(key) })
}

/// Gives `host` the field set `S`, which an earlier search did not find. Nodes and tables are allocated and freed under
/// no lock.
#[cold]
fn insert<S: FieldSet + 'static, T: ?Sized, O: WeakOwner<T>>(host: &Arc<T>) -> &S {
    let key = key_of(host);
    let there = TABLE.find(key).map(RootPtr::from_raw);
    // The first node owns a `Weak` of the host. A node that loses the race for first place owns a `Weak` too: each node
    // releases its own.
    let new = if there.is_none() {
        // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
        unsafe { Unpublished::new(O::keep(host), key) }
    } else {
        // SAFETY: the owner `()` refers to no host.
        unsafe { Unpublished::new((), key) }
    };
    // SAFETY: `key` is the key of `host`, which is borrowed; `new` was made for `host`, of this type.
    unsafe { publish(key, there, new, O::host_type()) }
}

/// Publishes `new`, unless the host has a set `S`. Returns the set of the host.
///
/// # Safety
///
/// `key` is the key of a host of the type `host_type`, which is borrowed for `'host`. `new` was made for this host, and
/// with an owner if `there` is `None`. `there` is the result of a lookup of the host.
unsafe fn publish<'host, S: FieldSet + 'static>(
    key: usize,
    there: Option<RootPtr>,
    new: Unpublished<S>,
    host_type: &'static HostType,
) -> &'host S {
    let is_inserted = Cell::new(false);
    // SAFETY: by A1 and A2 the table's `RootPtr` for `host` belongs to `host`, and is not destroyed while `host` is
    // borrowed. A store to the table is a Release, and a lock of the shard the matching Acquire.
    let set = unsafe { new.publish(there, |there, new| exchange(key, there, new, &is_inserted)) };
    if is_inserted.get() {
        // SAFETY: this thread, and no other, has just inserted the host, whose type is `host_type`.
        log_now(unsafe { LogEntry::new(key, host_type) });
    }
    set
}

/// Stores `new` in the table for a host, if the table still has `there`. Otherwise returns the `RootPtr` that the table
/// has now. Sets `is_inserted` if the host had no entry.
fn exchange(key: usize, there: Option<RootPtr>, new: RootPtr, is_inserted: &Cell<bool>) -> Result<(), RootPtr> {
    let hash = hash(key);
    let shard = TABLE.shard(hash).lock_with_room();
    match shard.find(key, hash).map(RootPtr::from_raw) {
        None => {
            shard.insert(key, hash, new.into_raw());
            is_inserted.set(true);
        }
        now if now == there => shard.replace(key, hash, new.into_raw()),
        Some(now) => return Err(now),
    }
    Ok(())
}

/// Inserts `new` for a host without an entry. Returns whether the host had no entry.
fn insert_entry(key: usize, new: RootPtr) -> bool {
    let hash = hash(key);
    TABLE.shard(hash).lock_with_room().insert_first(key, hash, new.into_raw()).is_none()
}
