//! The fields of one kind: object → node. Reads take no lock (R10).
//!
//! In: an address, and a node for it. Out: the node. What it is, and when it ends, is not this file's business, but
//! that of `once.rs` and of `newest.rs`. Neighbours: `kind.rs`, which has a table for each number; `objects.rs`, which
//! has the numbers of each object; `side_table/shard.rs`, of which a table has a few.
//!
//! # What is where
//!
//! Each kind has a table of its own, from addresses to nodes, so the key is exact: what is found for an address is of
//! that object and of that kind, and no reader has to look into a node, which may be about to go, to see whose it is. A
//! field of another id, or of another object, is another key or another table, and does not matter.
//!
//! - **F1** A node in a table is of the table's type, and was given to it by `put` or `replace`; it is the table's
//!   until it is taken out, and then it is whoever's took it out.
//! - **F2** A table has a node for an object if and only if `objects.rs` has its kind for that object, for whoever has
//!   the object's lock.
//!
//! # Reader's path
//!
//! Find the kind, look the address up in its table. Both are look-ups in a side table. Then the ways part: a value
//! that is written once stays while it is looked for and used, by the caller's promise (T5 of `side_table/shard.rs`). A
//! value that is replaced may go at any time, so it is announced: see `newest.rs`.
//!
//! # Writer's path
//!
//! *Attach*: allocate what a list of kinds needs for one more; lock the object, then the shard of the table; put the
//! node there, and the kind to those of the object. If either has no room, unlock both, grow, and begin again: the
//! global allocator may be code of the user, so it runs under neither lock (R4). *Detach*: take the node and the kind
//! out, in the same order of locks. *Replace*: lock the shard of the table, and put the node in place of the other.
//! *Detach all fields of an object*: lock it, and take each of its kinds out of that kind's table. *Detach the fields
//! of all objects*: of each shard, note the addresses under its lock; then detach them one by one. In all of them what
//! was taken out ends when the locks are let go (R4). A lock of an object is taken before that of a shard, never after,
//! and one of each at most, so no two writers wait for one another.
//!
//! # Who races with what
//!
//! - *A look-up and an attach, a detach or a growth for other objects of this kind*: as in any side table.
//! - *A look-up of one id and anything with other ids of the same object*: those are in other tables.
//! - *A look-up of a field and its own detach*: ruled out for values that are written once: `get` and those that attach
//!   ask that the field is not detached while they run, or hand out a reference. For others, `newest.rs`.
//! - *Two that attach one field*: `claim.rs` keeps them apart. *Two that detach it*: the object's lock does, and one of
//!   them finds nothing.
//!
//! # Memory
//!
//! A field is its node, at most 4 times 17 bytes of side table, and a box of 40 bytes in `objects.rs`. The side table
//! keeps its memory when there are fewer fields, and uses it again; all else is given back. A kind, with its shards, is
//! about a kilobyte, for good.

use std::ptr::{self, NonNull};

use crate::panics::Panics;
use crate::raw::kind::Kind;
use crate::raw::objects::{self, Listed};
use crate::side_table::{NOBODY, Shard, SideTable, hash};

/// How many shards a table has: so many may attach at the same time, and growth copies this part of it at a time.
const SHARDS: usize = if cfg!(loom) { 1 } else { 8 };

/// The two addresses that cannot be keys have that of another, each in a shard where that is not.
const LENT: usize = NOBODY - 1;
const FIRST: usize = 0;
const LAST: usize = SHARDS - 1;

/// From objects to nodes.
pub(super) struct Table<N> {
    shards: SideTable<N, SHARDS>,
}

/// Where an object is. No two have the same shard and the same key.
struct Place<'table, N> {
    shard: Shard<'table, N>,
    key: usize,
    hash: u64,
}

impl<N> Table<N> {
    pub(super) fn new() -> Self {
        Self { shards: SideTable::new() }
    }

    #[inline]
    fn place(&self, object: usize) -> Place<'_, N> {
        if object == NOBODY || object == 0 {
            let shard = if object == 0 { FIRST } else { LAST };
            return Place { shard: self.shards.shard_at(shard), key: LENT, hash: hash(LENT) };
        }
        let hash = hash(object);
        Place { shard: self.shards.shard(hash), key: object, hash }
    }

    /// Frees what has no nodes any more, for the models.
    ///
    /// # Safety
    ///
    /// Nobody uses it any more.
    #[cfg(loom)]
    pub(super) unsafe fn free(&self) {
        // SAFETY: the caller's promise is the same.
        self.shards.shards().for_each(|shard| unsafe { shard.free() });
    }

    /// What is there for `object`. Takes no lock.
    #[inline]
    pub(super) fn find(&self, object: usize) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        shard.find(key, hash)
    }

    /// Puts `node` in the place of the one that is there, which is then the caller's (F1).
    pub(super) fn replace(&self, object: usize, node: NonNull<N>) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        let mut shard = shard.lock();
        let previous = shard.find(key, hash)?;
        shard.replace(key, hash, node);
        Some(previous)
    }

    /// Puts `node` there, and returns the one that was there before, which is then the caller's (F1).
    pub(super) fn put(&self, kind: &'static Kind, object: usize, node: NonNull<N>) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        // All that this needs is allocated while nothing is locked (R4), and what it does not need is freed then.
        let listed = Box::new(Listed::new(kind, object));
        loop {
            let mut fields = objects::lock(object);
            let Some(shard) = shard.lock_if_roomy() else {
                drop(fields);
                shard.make_room();
                continue;
            };
            let previous = shard.find(key, hash);
            if previous.is_some() {
                shard.replace(key, hash, node);
                drop(fields);
                drop(listed);
            } else {
                shard.insert(key, hash, node);
                fields.add(listed);
            }
            return previous;
        }
    }

    /// Puts `node` there for an object that has none, and that nobody else looks for.
    #[cfg(any(test, loom))]
    pub(super) fn insert(&self, object: usize, node: NonNull<N>) {
        let Place { shard, key, hash } = self.place(object);
        shard.lock_with_room().insert(key, hash, node);
    }

    /// Takes out what is there for an object that is locked. It is then the caller's (F1).
    pub(super) fn remove(&self, object: usize) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        shard.lock().remove(key, hash)
    }

    /// Takes out and counts what is there for `object`. It is then the caller's (F1).
    pub(super) fn take(&self, kind: &Kind, object: usize) -> Option<NonNull<N>> {
        let mut fields = objects::lock(object);
        let node = self.remove(object)?;
        let listed = fields.remove(kind);
        drop(fields);
        drop(listed);
        kind.field.counts().detached();
        Some(node)
    }

    /// Calls `each`, under no lock, with every object and what `detach` has of it. Returns how many there were.
    ///
    /// # Panics
    ///
    /// If one of the two does: the first panic is raised again after all of them.
    pub(super) fn end_each<V>(
        &self,
        kind: &Kind,
        detach: impl Fn(usize) -> Option<V>,
        mut each: impl FnMut(*const (), V),
    ) -> usize {
        let mut panics = Panics::none();
        let mut count = 0;
        for (index, shard) in self.shards.shards().enumerate() {
            for key in keys_of(shard) {
                let object = match key {
                    // As in `place`.
                    LENT if index == FIRST => 0,
                    LENT if index == LAST => NOBODY,
                    _ => key,
                };
                panics.contain(&kind.field, || {
                    if let Some(value) = detach(object) {
                        count += 1;
                        each(ptr::without_provenance(object), value);
                    }
                });
            }
        }
        panics.raise();
        count
    }
}

/// All keys of a shard, with room for them allocated before it is locked (R4).
fn keys_of<N>(shard: Shard<'_, N>) -> Vec<usize> {
    let mut keys = Vec::new();
    loop {
        keys.reserve(shard.entries());
        let guard = shard.lock();
        if shard.entries() <= keys.capacity() {
            guard.each(|key, _| keys.push(key));
            return keys;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_a_place_of_its_own() {
        let table = Table::<u8>::new();
        let shard = |object| {
            table
                .shards
                .shards()
                .position(|shard| shard.lock().find(LENT, hash(LENT)).is_some_and(|node| node.addr().get() == object))
        };
        for (number, object) in [0, NOBODY, LENT].into_iter().enumerate() {
            let node = ptr::without_provenance_mut(number + 1);
            table.insert(object, NonNull::new(node).expect("not null"));
        }
        let shards = [1, 2, 3].map(|number| shard(number).expect("it is there"));
        assert_eq!(shards[..2], [FIRST, LAST]);
        assert!(!shards[..2].contains(&shards[2]));
        for (number, object) in [0, NOBODY, LENT].into_iter().enumerate() {
            assert_eq!(table.find(object).map(|node| node.addr().get()), Some(number + 1));
        }
    }
}
