//! The raw interface's table: address → fields.
//!
//! In: an address, and what is attached to it under a number. Out: what is there, as `dyn Any`, whose type the callers
//! know by invariant K of `kind.rs`. Nothing here runs code of a user: what is taken out is dropped by the caller.
#![forbid(unsafe_code)]

use std::any::Any;
use std::hash::BuildHasherDefault;
use std::{mem, ptr};

use crate::panics::Panics;
use crate::raw::kind::Kind;
use crate::raw::shards::{AddressMap, SHARDS, SideTable, shrink};
use crate::sync::{RwLock, read, write};

type Shard = AddressMap<usize, Vec<Attached>>;

static TABLE: SideTable<Shard> =
    SideTable::new([const { RwLock::new(Shard::with_hasher(BuildHasherDefault::new())) }; SHARDS]);

/// One field of one object.
pub(super) struct Attached {
    kind: &'static Kind,
    value: Box<dyn Any + Send + Sync>,
}

impl Attached {
    /// A number names one kind, and each kind is one object, for good.
    fn is(&self, kind: &'static Kind) -> bool {
        ptr::eq(self.kind, kind)
    }

    /// Ends the field: counts it, and gives out the value, whose type is `T` by invariant K.
    pub(super) fn end<T: 'static>(self) -> Option<T> {
        self.end_any().downcast().ok().map(|value| *value)
    }

    /// Ends the field, whatever its type.
    pub(super) fn end_any(self) -> Box<dyn Any + Send + Sync> {
        self.kind.field.counts().detached();
        self.value
    }
}

/// Calls `found` with the value that `object` has of this kind, with its shard locked for reading. `found` is code of
/// this library.
pub(super) fn with<T: 'static, R>(object: usize, kind: &'static Kind, found: impl FnOnce(&T) -> R) -> Option<R> {
    let shard = read(TABLE.shard(object));
    let attached = shard.get(&object)?.iter().find(|attached| attached.is(kind))?;
    attached.value.downcast_ref().map(found)
}

/// Attaches a value where there is none.
pub(super) fn push(object: usize, kind: &'static Kind, value: Box<dyn Any + Send + Sync>) {
    write(TABLE.shard(object)).entry(object).or_default().push(Attached { kind, value });
    kind.field.attached();
}

/// Attaches `value`, or replaces the one that is there and returns it.
pub(super) fn replace<T: Send + Sync + 'static>(object: usize, kind: &'static Kind, value: T) -> Option<T> {
    let value = Box::new(value);
    let mut shard = write(TABLE.shard(object));
    let fields = shard.entry(object).or_default();
    let there = fields.iter_mut().find(|attached| attached.is(kind));
    if let Some(there) = there.and_then(|attached| attached.value.downcast_mut()) {
        kind.field.counts().updated();
        return Some(mem::replace(there, *value));
    }
    fields.push(Attached { kind, value });
    drop(shard);
    kind.field.attached();
    None
}

/// Takes out what `object` has of this kind.
pub(super) fn take(object: usize, kind: &'static Kind) -> Option<Attached> {
    take_from(&mut write(TABLE.shard(object)), object, kind)
}

/// Takes out all that `object` has.
pub(super) fn take_object(object: usize) -> Vec<Attached> {
    let mut shard = write(TABLE.shard(object));
    let taken = shard.remove(&object).unwrap_or_default();
    shrink(&mut shard);
    taken
}

/// Ends what any object has of this kind, a shard at a time, and calls `each` with it, under no lock. Returns how
/// many there were.
///
/// # Panics
///
/// If `each` does: the first panic is raised again after all of them.
pub(super) fn end_all<V>(
    kind: &'static Kind,
    end: impl Fn(Attached) -> Option<V>,
    mut each: impl FnMut(*const (), V),
) -> usize {
    let mut panics = Panics::none();
    let mut count = 0;
    for shard in TABLE.shards() {
        let taken = take_kind(&mut write(shard), kind);
        for (object, attached) in taken {
            count += 1;
            panics.contain(|| {
                if let Some(value) = end(attached) {
                    each(ptr::without_provenance(object), value);
                }
            });
        }
    }
    panics.raise();
    count
}

fn take_kind(shard: &mut Shard, kind: &'static Kind) -> Vec<(usize, Attached)> {
    let objects: Vec<usize> = shard.keys().copied().collect();
    objects.into_iter().filter_map(|object| Some((object, take_from(shard, object, kind)?))).collect()
}

fn take_from(shard: &mut Shard, object: usize, kind: &'static Kind) -> Option<Attached> {
    let fields = shard.get_mut(&object)?;
    let position = fields.iter().position(|attached| attached.is(kind))?;
    let taken = fields.swap_remove(position);
    if fields.is_empty() {
        shard.remove(&object);
        shrink(shard);
    } else if fields.len() < fields.capacity() / 8 {
        fields.shrink_to(fields.len() * 2);
    }
    Some(taken)
}
