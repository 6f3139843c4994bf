//! The table of one kind: maps the address of an object to a node. Reads take no lock (R10).
//!
//! In: an address, and a node for it. Out: the node. Neighbours: `once.rs` and `newest.rs`, which define the content
//! and the end of a node; `kind.rs`, which has a table for each number; `objects.rs`, which lists the numbers of an
//! object; `side_table/shard.rs`, the shards of a table.
//!
//! # Layout
//!
//! Each kind has its own table from addresses to nodes, so the key is exact: while an object keeps its field (T5), a
//! lookup returns the node of this object and this kind, and the reader need not dereference the node for a check.
//! Fields of other ids are in other tables, and fields of other objects have other keys. `newest.rs` does without T5,
//! and checks the object behind a hazard.
//!
//! - **F1** A node in a table has the table's node type, and was passed to `put` or `replace`. The table owns the node
//!   until a thread takes the node out; then this thread owns the node.
//! - **F2** A table has a node for an object if and only if `objects.rs` lists the table's kind for that object, as
//!   seen by a thread that holds the object's lock.
//!
//! # Reader's path
//!
//! Find the kind, then look the address up in the kind's table. Both steps are lookups in a side table. A write-once
//! value stays during the lookup and the use, by the caller's promise (T5 of `side_table/shard.rs`). A replaceable
//! value may be removed at any time, so the reader announces the node in a hazard slot: see `newest.rs`.
//!
//! # Writer's path
//!
//! *Attach*: allocate the entry for the object's list of kinds. Lock the object, then the table's shard. Insert the
//! node into the shard, and the entry into the list. If the shard has no room, unlock, grow the shard, and start again.
//! The global allocator may be user code, so it runs under neither lock (R4). *Detach*: remove the node and the entry,
//! in the same lock order. *Replace*: lock the table's shard, and replace the node. *Detach all fields of an object*:
//! lock the object, and remove each of its kinds from that kind's table. *Detach one field of all objects*: for each
//! shard, copy the addresses under the lock; then detach one address after the other. In every case, removed values are
//! dropped after the unlock (R4).
//!
//! A writer takes the lock of an object before the lock of a shard, never after, and holds at most one lock of each
//! sort. So writers cannot deadlock.
//!
//! # Races
//!
//! - *A lookup, and an attach, a detach or a growth for other objects of this kind*: as in any side table.
//! - *A lookup of one id, and any write of other ids of the same object*: the ids are in different tables.
//! - *A lookup of a write-once field and its detach*: the caller rules out the race. `get`, `attach` and
//!   `get_or_attach` require that the field is not detached while they run, or while a returned reference lives. For a
//!   replaceable field, see `newest.rs`.
//! - *Two attaches of one write-once field*: the claim excludes the second (`claim.rs`). *Two detaches of one field*:
//!   the object's lock orders the two, and the second finds no node.
//!
//! # Memory
//!
//! A field costs its node, at most 5 times 17 bytes of side table, and a box of 40 bytes in `objects.rs`. The side
//! table keeps its memory when the number of fields falls, and uses the memory again. A detach frees the rest. A kind,
//! with its shards, takes about a kilobyte, and is never freed.

use std::ptr::{self, NonNull};

use crate::panics::Panics;
use crate::raw::kind::Kind;
use crate::raw::objects::{self, Listed};
use crate::side_table::{NOBODY, Shard, SideTable, hash};

/// The number of shards of a table. So many attaches run in parallel, and a growth copies one shard at a time.
const SHARDS: usize = if cfg!(loom) { 1 } else { 8 };

/// The key of the two addresses that cannot be keys, null and [`NOBODY`]. Each alias is in a fixed shard, [`FIRST`] or
/// [`LAST`]; no other address with this key is in that shard.
const LENT: usize = NOBODY - 1;
const FIRST: usize = 0;
const LAST: usize = SHARDS - 1;

/// Maps objects to nodes.
pub(super) struct Table<N> {
    shards: SideTable<N, SHARDS>,
}

/// The shard and the key of an object. Two objects never have the same shard and the same key.
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

    /// Frees the arrays of an empty table, for the models.
    ///
    /// # Safety
    ///
    /// No thread uses the table any more.
    #[cfg(loom)]
    pub(super) unsafe fn free(&self) {
        // SAFETY: the caller promises that no thread uses the table any more, so no thread uses a shard.
        self.shards.shards().for_each(|shard| unsafe { shard.free() });
    }

    /// The node of `object`, if the table has one. Takes no lock.
    #[inline]
    pub(super) fn find(&self, object: usize) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        shard.find(key, hash)
    }

    /// Replaces the node of `object`, and returns the previous node, which the caller then owns (F1). Without a
    /// previous node, returns `None` and changes nothing.
    pub(super) fn replace(&self, object: usize, node: NonNull<N>) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        let mut shard = shard.lock();
        let previous = shard.find(key, hash)?;
        shard.replace(key, hash, node);
        Some(previous)
    }

    /// Inserts or replaces the node of `object`, and returns the previous node, which the caller then owns (F1).
    pub(super) fn put(&self, kind: &'static Kind, object: usize, node: NonNull<N>) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        // The box is allocated before the locks, and freed after the unlock if the object is already listed (R4).
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

    /// Inserts the node of an object that has no node, and that no other thread looks up.
    #[cfg(any(test, loom))]
    pub(super) fn insert(&self, object: usize, node: NonNull<N>) {
        let Place { shard, key, hash } = self.place(object);
        shard.lock_with_room().insert(key, hash, node);
    }

    /// Removes the node of an object whose lock the caller holds. The caller then owns the node (F1).
    pub(super) fn remove(&self, object: usize) -> Option<NonNull<N>> {
        let Place { shard, key, hash } = self.place(object);
        shard.lock().remove(key, hash)
    }

    /// Removes the node of `object`, and counts the detach. The caller then owns the node (F1).
    pub(super) fn take(&self, kind: &Kind, object: usize) -> Option<NonNull<N>> {
        let mut fields = objects::lock(object);
        let node = self.remove(object)?;
        let listed = fields.remove(kind);
        drop(fields);
        drop(listed);
        kind.field.counts().detached();
        Some(node)
    }

    /// Calls `each`, under no lock, with every object and the value that `detach` returns. Returns the number of
    /// values.
    ///
    /// # Panics
    ///
    /// If `detach` or `each` panics: the first panic is raised again after the last object.
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
                    // The inverse of `place`.
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

/// All keys of a shard. The vector grows before the lock is taken, since allocation under a lock is forbidden (R4).
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
