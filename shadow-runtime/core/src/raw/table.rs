//! The table of one number: maps the address of an object to a node. Reads take no lock (R10).
//!
//! In: an address, and a node for it. Out: the node. Neighbours: `write_once.rs`, `update_table.rs` and
//! `pointer_table.rs`, which define the content and the end of a node; `ids.rs`, which has a table for each number;
//! `objects.rs`, which lists the numbers of an object; `side_table/mod.rs`, the shards of a table.
//!
//! # Layout
//!
//! Each number has its own table from addresses to nodes, so the key is exact: while an object keeps its field (T5), a
//! lookup returns the node of this object and this number, and the reader need not dereference the node for a check.
//! Fields of other ids are in other tables, and fields of other objects have other keys. `update_table.rs` does without
//! T5, and checks the object behind a hazard. `pointer_table.rs` does without T5, too, and the lookup checks the move
//! counter.
//!
//! - **F1** A node in a table has the table's node type, and was passed to `attach` or `replace`. The table owns the
//!   node until a thread takes the node out; then this thread owns the node. For a table of pointers, a node is a
//!   pointee, and the ownership is that of W2 (`pointer_table.rs`).
//! - **F2** A table has a node for an object if and only if `objects.rs` lists the table's number for that object, as
//!   seen by a thread that holds the object's lock.
//!
//! # Reader's path
//!
//! Find the number, then look the address up in the number's table. Both steps are lookups in a side table. A
//! write-once value stays during the lookup and the use, by the caller's promise (T5 of `side_table/mod.rs`). A
//! replaceable value may be removed at any time, so the reader protects the node in a hazard slot: see
//! `update_table.rs`. A pointer may be removed at any time, too, and the reader does not dereference the pointer: see
//! `pointer_table.rs`.
//!
//! # Writer's path
//!
//! *Attach*: allocate the entry for the object's list of numbers. Lock the object, then the table's shard. Insert the
//! node into the shard, and the entry into the list. If the shard has no room, unlock, grow the shard, and start again.
//! The global allocator may be user code, so it runs under neither lock (R4). *Attach of a pointer*: allocate the
//! entry, and reserve a slot of the shard; then run the initialiser; then lock both, and insert. *Detach*: remove the
//! node and the entry, in the same lock order. *Replace*: lock the table's shard, and replace the node. *Detach all
//! fields of an object*: lock the object, and remove each of its numbers from that number's table. *Detach one field of
//! all objects*: walk over the table (`side_table/walk.rs`), and detach one address after the other. In every case,
//! removed values are dropped after the unlock (R4).
//!
//! A writer takes the lock of an object before the lock of a shard, never after, and holds at most one lock of each
//! sort. So writers cannot deadlock.
//!
//! # Races
//!
//! - *A lookup, and an attach, a detach or a growth for other objects of this number*: as in any side table.
//! - *A lookup of one id, and any write of other ids of the same object*: the ids are in different tables.
//! - *A lookup of a write-once field and its detach*: the caller rules out the race. `get`, `attach` and
//!   `get_or_attach` require that the field is not detached while they run, or while a returned reference lives. For a
//!   replaceable field, see `update_table.rs`; for a pointer, `pointer_table.rs`.
//! - *Two attaches of one write-once field, or of one pointer*: the init lock excludes the second (`init_lock/mod.rs`).
//!   *Two detaches of one field*: the object's lock orders the two, and the second finds no node.
//!
//! # Memory
//!
//! A field costs its node, at most 5 times 17 bytes of side table, and a box of 40 bytes in `objects.rs`. The node of a
//! pointer is the pointee, which the caller has allocated. The side table keeps its memory when the number of fields
//! falls, and uses the memory again. A detach frees the rest. A number, with its shards, takes about a kilobyte, and is
//! never freed.

use std::alloc::{Layout, handle_alloc_error};
use std::ptr::NonNull;

use crate::fallible::{OutOfMemory, try_box};
use crate::raw::ids::Registration;
use crate::raw::objects::{self, Listed};
use crate::side_table::{DELETED_KEY, Miss, Reservation, Shard, SideTable, hash};

/// The number of shards of a table. So many attaches run in parallel, and a growth copies one shard at a time.
const SHARDS: usize = if cfg!(loom) { 1 } else { 8 };

/// The key of the two addresses that cannot be keys, null and [`DELETED_KEY`]. Each alias is in a fixed shard,
/// [`FIRST`] or [`LAST`]; no other address with this key is in that shard.
const ALIAS_KEY: usize = DELETED_KEY - 1;
const FIRST: usize = 0;
const LAST: usize = SHARDS - 1;

/// Maps objects to nodes.
pub(super) struct Table<N> {
    shards: SideTable<N, SHARDS>,
}

/// The shard and the key of an object. Two objects never have the same shard and the same key.
struct ShardKey<'table, N> {
    shard: Shard<'table, N>,
    key: usize,
    hash: u64,
}

/// A position in a walk over the objects of a table.
#[derive(Clone, Default)]
pub(super) struct Cursor {
    shard: usize,
    /// The last key of the walk in this shard.
    last: Option<usize>,
}

/// The memory for the attach of one node, allocated ahead: [`attach`](Self::attach) cannot fail for want of memory.
pub(super) struct Reserved<'table, N> {
    object: usize,
    key: usize,
    hash: u64,
    listed: Box<Listed>,
    slot: Reservation<'table, N>,
}

/// Why a table did not insert a node.
pub(super) enum Refused {
    /// The table has a node of the object.
    IsAttached,
    OutOfMemory,
}

impl From<OutOfMemory> for Refused {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

impl<N> Table<N> {
    pub(super) fn new() -> Self {
        Self { shards: SideTable::new() }
    }

    #[inline]
    fn shard_key(&self, object: usize) -> ShardKey<'_, N> {
        if is_alias(object) {
            let shard = if object == 0 { FIRST } else { LAST };
            return ShardKey { shard: self.shards.shard_at(shard), key: ALIAS_KEY, hash: hash(ALIAS_KEY) };
        }
        let hash = hash(object);
        ShardKey { shard: self.shards.shard(hash), key: object, hash }
    }

    /// Frees the arrays of an empty table, for the models.
    ///
    /// # Safety
    ///
    /// No thread uses the table any more.
    #[cfg(all(test, loom))]
    pub(super) unsafe fn free(&self) {
        // SAFETY: a thread uses a shard only as a part of the table, and by the contract no thread uses the table any
        // more.
        self.shards.shards().for_each(|shard| unsafe { shard.free() });
    }

    /// The node of `object`, if the table has one. Takes no lock.
    #[inline]
    pub(super) fn find(&self, object: usize) -> Option<NonNull<N>> {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        shard.find(key, hash)
    }

    /// As [`find`](Self::find), without T5: a thread may remove the node during the lookup. Returns a node that
    /// `object` had at a time during the call.
    #[inline]
    pub(super) fn find_counted(&self, object: usize) -> Option<NonNull<N>> {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        shard.find_counted(key, hash)
    }

    /// As [`find_counted`](Self::find_counted), in the home group alone. After [`Miss::NotHome`], the caller calls
    /// `find_counted`.
    #[inline]
    pub(super) fn find_counted_at_home(&self, object: usize) -> Result<NonNull<N>, Miss> {
        if is_alias(object) {
            return Err(Miss::NotHome);
        }
        let hash = hash(object);
        self.shards.shard(hash).find_counted_at_home(object, hash)
    }

    /// Replaces the node of `object`, and returns the previous node, which the caller then owns (F1). Without a
    /// previous node, returns `None` and changes nothing.
    pub(super) fn replace(&self, object: usize, node: NonNull<N>) -> Option<NonNull<N>> {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        let mut shard = shard.lock();
        let previous = shard.find(key, hash)?;
        shard.replace(key, hash, node);
        Some(previous)
    }

    /// Replaces `previous` by `node`, if `previous` is the node of `object`, and returns whether. On success, the
    /// caller owns `previous` (F1); else `node`.
    pub(super) fn replace_exact(&self, object: usize, previous: *mut N, node: NonNull<N>) -> bool {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        let mut shard = shard.lock();
        let is_there = shard.find(key, hash).is_some_and(|there| there.as_ptr() == previous);
        if is_there {
            shard.replace(key, hash, node);
        }
        is_there
    }

    /// Inserts or replaces the node of `object`, and returns the previous node, which the caller then owns (F1). An
    /// error changes nothing: the caller still owns `node`.
    pub(super) fn try_put(
        &self,
        registration: &'static Registration,
        object: usize,
        node: NonNull<N>,
    ) -> Result<Option<NonNull<N>>, OutOfMemory> {
        loop {
            if let Some(previous) = self.replace(object, node) {
                return Ok(Some(previous));
            }
            match self.try_attach(registration, object, node) {
                Ok(()) => return Ok(None),
                Err(Refused::OutOfMemory) => return Err(OutOfMemory),
                Err(Refused::IsAttached) => {}
            }
        }
    }

    /// Inserts the node of `object`. If the table has a node of the object, returns `node`, and changes nothing: the
    /// caller still owns `node`. Without memory, ends the process.
    pub(super) fn attach(
        &self,
        registration: &'static Registration,
        object: usize,
        node: NonNull<N>,
    ) -> Result<(), NonNull<N>> {
        self.try_attach(registration, object, node).map_err(|refused| match refused {
            Refused::IsAttached => node,
            Refused::OutOfMemory => handle_alloc_error(Layout::new::<Listed>()),
        })
    }

    /// Inserts the node of `object`. An error changes nothing: the caller still owns `node`.
    pub(super) fn try_attach(
        &self,
        registration: &'static Registration,
        object: usize,
        node: NonNull<N>,
    ) -> Result<(), Refused> {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        // The box is allocated before the locks, and freed after the unlock if the object is already listed (R4).
        let listed = try_box(Listed::new(registration, object))?;
        loop {
            let mut fields = objects::lock(object);
            let Some(shard) = shard.lock_if_roomy() else {
                drop(fields);
                shard.try_make_room()?;
                continue;
            };
            if shard.find(key, hash).is_some() {
                drop(shard);
                drop(fields);
                drop(listed);
                return Err(Refused::IsAttached);
            }
            shard.insert(key, hash, node);
            fields.add(listed);
            return Ok(());
        }
    }

    /// Allocates the memory for an attach to `object`.
    pub(super) fn try_reserve(
        &self,
        registration: &'static Registration,
        object: usize,
    ) -> Result<Reserved<'_, N>, OutOfMemory> {
        let listed = try_box(Listed::new(registration, object))?;
        let ShardKey { shard, key, hash } = self.shard_key(object);
        Ok(Reserved { object, key, hash, listed, slot: shard.try_reserve()? })
    }

    /// Inserts the node of an object that has no node, and that no other thread looks up.
    #[cfg(test)]
    pub(super) fn insert(&self, object: usize, node: NonNull<N>) {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        shard.lock_with_room().insert(key, hash, node);
    }

    /// Removes the node of an object. The caller holds the lock of the object, and then owns the node (F1).
    pub(super) fn remove(&self, object: usize) -> Option<NonNull<N>> {
        let ShardKey { shard, key, hash } = self.shard_key(object);
        shard.lock().remove_counted(key, hash)
    }

    /// The object that follows `cursor` in a walk over the table: shard by shard, in the order of
    /// `side_table/walk.rs`. A walk returns each object that has a node during the whole walk exactly once, and no
    /// object twice. Locks one shard at a time, for a moment.
    pub(super) fn next_object(&self, cursor: &mut Cursor) -> Option<usize> {
        while cursor.shard < SHARDS {
            let next = self.shards.shard_at(cursor.shard).lock().key_after(cursor.last);
            cursor.last = next;
            if let Some(key) = next {
                return Some(object_of(cursor.shard, key));
            }
            cursor.shard += 1;
        }
        None
    }
}

impl<N> Reserved<'_, N> {
    /// Inserts the node of the object. The object has no node, and the caller holds the init lock of the field.
    pub(super) fn attach(self, node: NonNull<N>) {
        let Self { object, key, hash, listed, slot } = self;
        let mut fields = objects::lock(object);
        let shard = slot.lock();
        debug_assert!(shard.find(key, hash).is_none(), "the init lock is held");
        shard.insert(key, hash, node);
        fields.add(listed);
    }
}

/// Whether the object is null or [`DELETED_KEY`], the greatest address: one comparison for both.
#[inline]
fn is_alias(object: usize) -> bool {
    object.wrapping_add(1) <= 1
}

/// The object of a shard and a key: the inverse of [`Table::shard_key`].
fn object_of(shard: usize, key: usize) -> usize {
    match key {
        ALIAS_KEY if shard == FIRST => 0,
        ALIAS_KEY if shard == LAST => DELETED_KEY,
        _ => key,
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::ptr;

    use super::*;
    use crate::fewer::fewer;

    fn insert(table: &Table<u8>, object: usize) {
        table.insert(object, NonNull::dangling());
    }

    /// The objects of a walk. Calls `between` after each step.
    fn walk(table: &Table<u8>, mut between: impl FnMut(usize)) -> BTreeSet<usize> {
        let mut cursor = Cursor::default();
        let mut seen = BTreeSet::new();
        while let Some(object) = table.next_object(&mut cursor) {
            assert!(seen.insert(object), "{object:#x} comes twice");
            between(object);
        }
        assert_eq!(table.next_object(&mut cursor), None);
        seen
    }

    #[test]
    fn a_walk_passes_the_objects_of_all_shards_and_both_ends() {
        let table = Table::new();
        assert_eq!(walk(&table, |_| ()), BTreeSet::new());
        // Most shards are empty at first.
        let mut objects = BTreeSet::new();
        for object in [0, DELETED_KEY, ALIAS_KEY, 1, 8].into_iter().chain((1..fewer(200, 12)).map(|index| 16 * index)) {
            insert(&table, object);
            objects.insert(object);
            assert_eq!(walk(&table, |_| ()), objects);
        }
        // The walk removes the object of each step, and adds an object for each of the first.
        let mut added = 0;
        let seen = walk(&table, |object| {
            assert!(table.remove(object).is_some());
            if added < fewer(100, 20) {
                added += 1;
                insert(&table, 16 * (1_000 + added));
            }
        });
        assert!(seen.is_superset(&objects));
        let left = walk(&table, |object| assert!(table.remove(object).is_some()));
        assert_eq!(seen.len() + left.len(), objects.len() + added);
        assert!(table.shards.shards().all(|shard| shard.entries() == 0));
    }

    #[test]
    fn each_address_has_a_place_of_its_own() {
        let table = Table::<u8>::new();
        let shard = |object| {
            table.shards.shards().position(|shard| {
                shard.lock().find(ALIAS_KEY, hash(ALIAS_KEY)).is_some_and(|node| node.addr().get() == object)
            })
        };
        for (number, object) in [0, DELETED_KEY, ALIAS_KEY].into_iter().enumerate() {
            let node = ptr::without_provenance_mut(number + 1);
            table.insert(object, NonNull::new(node).expect("not null"));
        }
        let shards = [1, 2, 3].map(|number| shard(number).expect("it is there"));
        assert_eq!(shards[..2], [FIRST, LAST]);
        assert!(!shards[..2].contains(&shards[2]));
        for (number, object) in [0, DELETED_KEY, ALIAS_KEY].into_iter().enumerate() {
            assert_eq!(table.find(object).map(|node| node.addr().get()), Some(number + 1));
        }
    }
}
