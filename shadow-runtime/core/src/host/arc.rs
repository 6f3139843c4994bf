//! `Arc<T>` as a host: a shared object of any type.
//!
//! In: an `Arc`. Out: the fields of its allocation, for as long as an `Arc` of the allocation exists.
//!
//! # Identity and address reuse
//!
//! The key is an address in the allocation, a little before the `T` (`arc/kept.rs`). The table entry owns a `Weak`, so
//! the allocator cannot reuse the address before the removal of the entry. Two allocations never have the same key, not
//! even for zero-sized types: the two counts of an `Arc` lie before the `T`, so the bytes at the key belong to one
//! allocation. No other kind of host shares the table.
//!
//! # Invariants
//!
//! - **A1** An entry is removed only after a load of the strong count has returned 0, and only by the thread that owns
//!   the log entry (G1 of `arc/log/mod.rs`). While the count is 0, no thread borrows an `Arc` of the allocation. Either
//!   no `Arc` exists, now or later; or `Arc::make_mut` owns the last `Arc` exclusively, and moves the value to an
//!   object without fields.
//! - **A2** An entry stores the raw form of a [`First`]: a pointer past the link of the host's first node, or of a list
//!   that begins with the first node. The owner in the first node keeps the allocation. Nodes and lists are destroyed
//!   only after the removal of the entry.
//!
//! So a caller that borrows an `Arc` may look up its key (T5 of `side_table/shard.rs`), and borrow the fields of the
//! allocation for as long (R1).
//!
//! # Reader, writer, sweeper
//!
//! *Reader*: find the entry, then the field set in the entry's nodes. A reader takes no lock.
//!
//! *Writer*: search like a reader first. If the host has no entry: allocate a node, lock the shard, search again,
//! insert. If the entry lacks the field set: allocate a list of both nodes, lock the shard, and replace the entry's
//! value. The lock is necessary, since a writer of another key may move the entry. If the entry has a list: push the
//! node onto the list, without the lock (`fields/head.rs`). Surplus nodes and lists are freed after the unlock.
//!
//! *Sweeper*: find a dead host in the log, lock the shard, remove the entry, unlock, and only then drop the fields. So
//! destructors run under no lock (R4), each destructor contained (R5).

mod background;
mod kept;
mod log;
mod logs;
#[cfg(loom)]
pub mod modelled;
mod sweep;
mod try_lock;

use std::cell::Cell;

use crate::field_set::FieldSet;
use crate::fields::{AfterLink, First, Found, Unpublished};
use crate::host::{Host, Identity};
use crate::side_table::{SideTable, hash};
use crate::sync::{Arc, Weak, shared};
pub use background::{BackgroundSweep, ManualSweep};
use kept::{Keeps, Thin, is_thin, key_of};
use log::{Entry, Kind};
pub(crate) use sweep::{SweepDeferred, sweep};
use sweep::{after_attach, note, note_now};

shared! {
    static TABLE: SideTable<AfterLink> = SideTable::new();
}

#[diagnostic::do_not_recommend]
// SAFETY: P1: by A1 and A2 the fields in the table for a host belong to the host, and live while the `Arc` is borrowed;
// by N2 a host has one field set of each type. P2: argued in `insert_first`. P3: a borrowed `Arc` keeps its allocation,
// and so the address.
unsafe impl<T: ?Sized + Send + Sync + 'static> Host for Arc<T> {
    #[inline]
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        let first = First::from_raw(TABLE.find(key_of(host))?);
        if is_thin::<T>() {
            // SAFETY: by A1 and A2 `first` is not destroyed while `host` is borrowed. An `Arc` is shared, so no thread
            // has exclusive access, which could clear a mark. The table loads by an Acquire.
            unsafe { first.find::<S, Thin<T>>() }
        } else {
            // SAFETY: by A1 and A2 `first` is not destroyed while `host` is borrowed, and no thread has exclusive
            // access. The table loads by an Acquire.
            unsafe { first.find::<S, Weak<T>>() }
        }
    }

    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S {
        match Self::find(host) {
            Some(found) => found.set(),
            None if is_thin::<T>() => insert::<S, T, Thin<T>>(host),
            None => insert::<S, T, Weak<T>>(host),
        }
    }

    #[inline]
    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>> {
        let key = key_of(host);
        if TABLE.find(key).is_some() {
            return None;
        }
        Some(if is_thin::<T>() {
            // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
            unsafe { Unpublished::make_marked(Thin::<T>::keep(host), key) }
        } else {
            // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
            unsafe { Unpublished::make_marked(<Weak<T> as Keeps<T>>::keep(host), key) }
        })
    }

    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        let key = key_of(host);
        if !enter_first(key, new.first()) {
            return Err(new);
        }
        // SAFETY: this thread, and no other, has just inserted the host; `kind::<T>()` is the kind of the host's type.
        note(unsafe { Entry::new(key, kind::<T>()) });
        // SAFETY: by A1 and A2 the set is not destroyed while `host` is borrowed.
        Ok(unsafe { new.published() })
    }

    fn identity(host: &Self) -> Identity {
        // The type plays no part: an `Arc<dyn Trait>` of the same allocation is the same host, with the same field
        // sets.
        Identity { address: Arc::as_ptr(host).addr(), object: None }
    }

    #[inline]
    fn after_attach(_host: &Self) {
        after_attach();
    }
}

/// The kind of an `Arc<T>`: how the log checks whether a host is dead.
fn kind<T: ?Sized + Send + Sync + 'static>() -> &'static Kind {
    if is_thin::<T>() { <Thin<T> as Keeps<T>>::kind() } else { <Weak<T> as Keeps<T>>::kind() }
}

/// Whether the host of this key is dead, according to the owner in the host's first node.
///
/// # Safety
///
/// The table has the host of this key, and keeps the host during the call.
unsafe fn is_dead_by_table(key: usize) -> bool {
    // SAFETY: by A2 `first` belongs to the host of `key`; the table has the host, so `first` is not destroyed.
    TABLE.find(key).is_some_and(|first| unsafe { First::from_raw(first).is_gone(key) })
}

/// Gives `host` the field set `S`, which an earlier search did not find. Nodes and lists are allocated and freed under
/// no lock.
#[cold]
fn insert<S: FieldSet + 'static, T: ?Sized, O: Keeps<T>>(host: &Arc<T>) -> &S {
    let key = key_of(host);
    let there = TABLE.find(key).map(First::from_raw);
    // The first node owns a `Weak` of the host. A node that loses the race for first place owns a `Weak` too: each node
    // releases its own.
    let new = if there.is_none() {
        // SAFETY: `key` is the key of `host`, and the owner is made from `host`.
        unsafe { Unpublished::make(O::keep(host), key) }
    } else {
        // SAFETY: the owner `()` refers to no host.
        unsafe { Unpublished::make((), key) }
    };
    let is_entered = Cell::new(false);
    // SAFETY: by A1 and A2 the table's `First` for `host` belongs to `host`, and is not destroyed while `host` is
    // borrowed. A store to the table is a Release, and a lock of the shard the matching Acquire.
    let set = unsafe { new.put(there, |there, new| exchange(key, there, new, &is_entered)) };
    if is_entered.get() {
        // SAFETY: this thread, and no other, has just inserted the host; `O::kind()` is the kind of the host's type.
        note_now(unsafe { Entry::new(key, O::kind()) });
    }
    set
}

/// Stores `new` in the table for a host, if the table still has `there`. Otherwise returns the `First` that the table
/// has now. Sets `is_entered` if the host had no entry.
fn exchange(key: usize, there: Option<First>, new: First, is_entered: &Cell<bool>) -> Result<(), First> {
    let hash = hash(key);
    let shard = TABLE.shard(hash).lock_with_room();
    match shard.find(key, hash).map(First::from_raw) {
        None => {
            shard.insert(key, hash, new.into_raw());
            is_entered.set(true);
        }
        now if now == there => shard.replace(key, hash, new.into_raw()),
        Some(now) => return Err(now),
    }
    Ok(())
}

/// Inserts `new` for a host without an entry. Returns whether the host had no entry.
fn enter_first(key: usize, new: First) -> bool {
    let hash = hash(key);
    TABLE.shard(hash).lock_with_room().insert_first(key, hash, new.into_raw()).is_none()
}
