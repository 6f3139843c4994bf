//! `Arc<T>` as a host: any shared object, of any type.
//!
//! In: an `Arc`. Out: the fields of its allocation, as long as any `Arc` of it is there.
//!
//! # Identity and its reuse
//!
//! The key is an address in the allocation, a little before its `T` (`arc/kept.rs`). An entry keeps a `Weak`, so the
//! allocation, and with it the address, is not given to anybody else before the entry is gone. Two allocations cannot have
//! the same key, also for zero-sized types: the two counts of an `Arc` stand before its `T`, so the bytes at the key belong
//! to one allocation alone. No other kind of host shares this table.
//!
//! # Invariants
//!
//! - **A1** An entry is removed only when the strong count of its `Weak` was seen to be 0 by the one thread that may remove
//!   it (G1 of `arc/log/mod.rs`). While it is 0 nobody borrows an `Arc` of the allocation: there is none and never will be, or the one that is left
//!   is in the hands of an `Arc::make_mut`, exclusively, on its way to be an object without fields.
//! - **A2** What an entry points to is what a [`First`] has: behind the link of the first node that the host was given, or
//!   of a list that begins with it. That node's owner is the one that counts, and all of it is ended only after the entry
//!   was removed.
//!
//! So whoever borrows an `Arc` may look for it (T5 of `side_table/shard.rs`), and borrow the fields of its allocation
//! for as long (R1).
//!
//! # Reader, writer, sweeper
//!
//! *Reader*: find the entry, find the field set in it; no lock. *Writer*: the same; if there is no entry, make a node, lock
//! the shard, and look again before adding one. If there is one without the field set, make a list of both nodes, and lock
//! the shard to exchange the entry for it, since the entry may move; if there is a list, the node goes into that without the
//! lock (`fields/head.rs`). What turns out not to be needed is freed when the lock is let go. *Sweeper*: find a dead host in the log, lock
//! the shard, take the entry out, unlock, and only then drop the fields, since that runs destructors (R4), each contained
//! (R5).

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
// SAFETY: H1: by A1 and A2 what the table has for a host is its own, and stays while that is borrowed; N2 says that there is
// one of each type. H2: see `insert_first`. H3: while an `Arc` is borrowed, its allocation has the address.
unsafe impl<T: ?Sized + Send + Sync + 'static> Host for Arc<T> {
    #[inline]
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        let first = First::from_raw(TABLE.find(key_of(host))?);
        if is_thin::<T>() {
            // SAFETY: by A1 and A2 it is not ended while `host` is borrowed; nobody has it exclusively meanwhile, to take a
            // mark away. The table loads by an Acquire.
            unsafe { first.find::<S, Thin<T>>() }
        } else {
            // SAFETY: as above.
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
            // SAFETY: it is the key of `host`, of which the owner is made.
            unsafe { Unpublished::make_marked(Thin::<T>::keep(host), key) }
        } else {
            // SAFETY: as above.
            unsafe { Unpublished::make_marked(<Weak<T> as Keeps<T>>::keep(host), key) }
        })
    }

    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        let key = key_of(host);
        if !enter_first(key, new.first()) {
            return Err(new);
        }
        // SAFETY: the table has just got the host, of this type, from this thread alone.
        note(unsafe { Entry::new(key, kind::<T>()) });
        // SAFETY: by A1 and A2 it is not ended while `host` is borrowed.
        Ok(unsafe { new.published() })
    }

    fn identity(host: &Self) -> Identity {
        // Its type plays no part: as `Arc<dyn Trait>` it is the same host, and has the same field sets.
        Identity { address: Arc::as_ptr(host).addr(), object: None }
    }

    #[inline]
    fn after_attach(_host: &Self) {
        after_attach();
    }
}

/// How the log tells whether an `Arc<T>` is dead.
fn kind<T: ?Sized + Send + Sync + 'static>() -> &'static Kind {
    if is_thin::<T>() { <Thin<T> as Keeps<T>>::kind() } else { <Weak<T> as Keeps<T>>::kind() }
}

/// Whether the host of this key is dead, by what the table has for it.
///
/// # Safety
///
/// The table has it, and keeps it meanwhile.
unsafe fn is_dead_by_table(key: usize) -> bool {
    // SAFETY: by A2 it is a host's; it is in the table by this key, and is not ended while it is there.
    TABLE.find(key).is_some_and(|first| unsafe { First::from_raw(first).is_gone(key) })
}

/// Gives `host` the field set `S`, which it did not have when it was looked for. Nodes and lists are made and freed under
/// no lock.
#[cold]
fn insert<S: FieldSet + 'static, T: ?Sized, O: Keeps<T>>(host: &Arc<T>) -> &S {
    let key = key_of(host);
    let there = TABLE.find(key).map(First::from_raw);
    // The first node counts for the host. One that comes second after all may, too: each lets go of what it keeps.
    let new = if there.is_none() {
        // SAFETY: it is the key of `host`, of which the owner is made.
        unsafe { Unpublished::make(O::keep(host), key) }
    } else {
        // SAFETY: this owner has nothing to do with a host.
        unsafe { Unpublished::make((), key) }
    };
    let is_entered = Cell::new(false);
    // SAFETY: by A1 and A2 what the table has for `host` is its own, and is not ended while `host` is borrowed. What is put
    // into the table is a Release, and the lock an Acquire of that.
    let set = unsafe { new.put(there, |there, new| exchange(key, there, new, &is_entered)) };
    if is_entered.get() {
        // SAFETY: the table has just got the host, of this type, from this thread alone.
        note_now(unsafe { Entry::new(key, O::kind()) });
    }
    set
}

/// Has `new` in the table for a host instead of what is `there`, unless that is something else by now, which is returned.
/// Says whether the table had nothing for the host.
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

/// Enters `new` for a host, unless it has an entry. Returns whether it did.
fn enter_first(key: usize, new: First) -> bool {
    let hash = hash(key);
    TABLE.shard(hash).lock_with_room().insert_first(key, hash, new.into_raw()).is_none()
}
