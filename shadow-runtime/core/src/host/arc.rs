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
//! *Reader*: find the entry, find the field set in it; no lock. *Writer*: the same; if there is no entry, lock the
//! shard and look again before adding one. If there is one without the field set, make it a list of nodes, under the
//! lock too, since the entry may move. *Sweeper*: find a dead host in the log; lock the shard, take the entry out,
//! unlock, and only then drop the fields, since that runs destructors (R4), each contained (R5).

mod background;
mod kept;
mod log;
mod logs;
#[cfg(loom)]
pub mod modelled;
mod sweep;

use crate::field_set::FieldSet;
use crate::fields::{AfterLink, First};
use crate::host::{Host, Identity};
use crate::side_table::{SideTable, hash};
use crate::sync::{Arc, Weak, shared};
pub use background::{BackgroundSweep, ManualSweep};
use kept::{Keeps, Thin, is_thin, key_of};
use log::Entry;
use sweep::{after_attach, note, note_now};
pub(crate) use sweep::{sweep, sweep_deferred};

shared! {
    static TABLE: SideTable<AfterLink> = SideTable::new();
}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> Host for Arc<T> {
    #[inline]
    fn look<S: FieldSet + 'static>(host: &Self) -> Option<&S> {
        let first = First::from_raw(TABLE.find(key_of(host))?);
        if is_thin::<T>() {
            // SAFETY: by A1 and A2 it is not ended while `host` is borrowed.
            unsafe { first.look::<S, Thin<T>>() }
        } else {
            // SAFETY: as above.
            unsafe { first.look::<S, Weak<T>>() }
        }
    }

    fn reach<S: FieldSet + 'static>(host: &Self) -> &S {
        match Self::look(host) {
            Some(set) => set,
            None if is_thin::<T>() => enter::<S, T, Thin<T>>(host),
            None => enter::<S, T, Weak<T>>(host),
        }
    }

    #[inline]
    fn read<'host, S: FieldSet + 'static, R>(
        host: &'host Self,
        when_ready: impl FnOnce(&'host S) -> R,
        otherwise: impl FnOnce(&'host S) -> Option<R>,
    ) -> Option<R> {
        let first = First::from_raw(TABLE.find(key_of(host))?);
        if is_thin::<T>() {
            // SAFETY: as in `look`.
            unsafe { first.read::<S, Thin<T>, R>(when_ready, otherwise) }
        } else {
            // SAFETY: as in `look`.
            unsafe { first.read::<S, Weak<T>, R>(when_ready, otherwise) }
        }
    }

    #[inline]
    fn ready<'host, S: FieldSet + 'static>(
        host: &'host Self,
        is_ready: impl FnOnce(&'host S) -> bool,
    ) -> Option<&'host S> {
        let first = First::from_raw(TABLE.find(key_of(host))?);
        if is_thin::<T>() {
            // SAFETY: as in `look`.
            unsafe { first.ready::<S, Thin<T>>(is_ready) }
        } else {
            // SAFETY: as in `look`.
            unsafe { first.ready::<S, Weak<T>>(is_ready) }
        }
    }

    #[inline]
    fn is_bare(host: &Self) -> bool {
        TABLE.find(key_of(host)).is_none()
    }

    unsafe fn start<S: FieldSet + 'static, V>(
        host: &Self,
        value: V,
        fill: impl FnOnce(&mut S, V),
        take_back: impl FnOnce(&mut S) -> V,
    ) -> Result<&S, V> {
        if is_thin::<T>() {
            // SAFETY: the caller's promise is the same.
            unsafe { start::<S, T, Thin<T>, V>(host, value, fill, take_back) }
        } else {
            // SAFETY: the caller's promise is the same.
            unsafe { start::<S, T, Weak<T>, V>(host, value, fill, take_back) }
        }
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

/// Whether the host of this key is dead, by what the table has for it.
///
/// # Safety
///
/// The table has it, and keeps it meanwhile.
unsafe fn is_dead_by_table(key: usize) -> bool {
    // SAFETY: by A2 it is a host's; it is in the table by this key, and is not ended while it is there.
    TABLE.find(key).is_some_and(|first| unsafe { First::from_raw(first).is_gone(key) })
}

/// Gives `host` the field set `S`, which it did not have when it was looked for.
#[cold]
fn enter<S: FieldSet + 'static, T: ?Sized, O: Keeps<T>>(host: &Arc<T>) -> &S {
    let key = key_of(host);
    // Made outside of the lock. If it is not needed, it is only memory: no cell in it is filled.
    let new = First::make::<S, O>(O::keep(host));
    // SAFETY: by A1 and A2 what the table has for `host` is not ended while that is borrowed.
    let first = unsafe { enter_or_add(key, new, First::with::<S>) };
    if first == new {
        // SAFETY: the table has just got the host, of this type, from this thread alone.
        note_now(unsafe { Entry::new(key, O::kind()) });
    } else {
        // SAFETY: it was not put anywhere.
        unsafe { new.unmake::<S, O, ()>(key, |_| ()) };
    }
    // SAFETY: by A1 and A2 it is not ended while `host` is borrowed.
    unsafe { first.look::<S, O>() }.expect("it has just been put there")
}

/// Enters `new` for a host, or, if that has an entry, has `add` add to it. Returns what the table has then.
///
/// # Safety
///
/// What it has is not ended meanwhile.
unsafe fn enter_or_add(key: usize, new: First, add: unsafe fn(First) -> First) -> First {
    let hash = hash(key);
    let mut shard = TABLE.shard(hash).lock();
    let Some(first) = shard.find(key, hash).map(First::from_raw) else {
        shard.insert(key, hash, new.into_raw());
        return new;
    };
    // SAFETY: the caller's promise; nobody else is here, under the lock.
    let more = unsafe { add(first) };
    if more != first {
        shard.replace(key, hash, more.into_raw());
    }
    more
}

/// Enters `new` for a host, unless it has an entry. Returns whether it did.
fn enter_first(key: usize, new: First) -> bool {
    let hash = hash(key);
    TABLE.shard(hash).lock().insert_first(key, hash, new.into_raw()).is_none()
}

/// Gives `host`, which had no field set when it was looked for, its first, with `value`, or gives that back.
///
/// # Safety
///
/// When `fill` has been there, the first cell of the set is ready.
unsafe fn start<S: FieldSet + 'static, T: ?Sized, O: Keeps<T>, V>(
    host: &Arc<T>,
    value: V,
    fill: impl FnOnce(&mut S, V),
    take_back: impl FnOnce(&mut S) -> V,
) -> Result<&S, V> {
    let key = key_of(host);
    // SAFETY: the caller's promise is the same.
    let new = unsafe { First::make_marked(O::keep(host), |set| fill(set, value)) };
    if !enter_first(key, new) {
        // SAFETY: it was not put anywhere.
        return Err(unsafe { new.unmake::<S, O, V>(key, take_back) });
    }
    // SAFETY: as in `enter`.
    note(unsafe { Entry::new(key, O::kind()) });
    // SAFETY: it is a node of `S`; by A1 and A2 it is not ended while `host` is borrowed.
    Ok(unsafe { new.as_node_of() })
}
