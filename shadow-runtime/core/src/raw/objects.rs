//! Which fields each object has: for [`detach_object`](super::detach_object), and for writers to be one at a time.
//!
//! In: an address. Out: its lock, and the kinds of its fields. Readers do not come here; they look into the table of the
//! one kind that they want (`table.rs`), and so does everybody who does not ask for all fields of an object.
//!
//! Fields come and go under the lock of their object, which is taken before that of a table's shard. So what is written
//! here and what is in the tables is the same for whoever has the lock. A map gives memory back as it gets smaller (R7).
#![forbid(unsafe_code)]

use std::any::Any;
use std::collections::BTreeMap;

use crate::raw::kind::Kind;
use crate::side_table::hash;
use crate::sync::{Mutex, MutexGuard, array_of, lock as lock_mutex, shared};

const SHARDS: usize = 64;

/// The fields of many objects, by address and number.
type Fields = BTreeMap<(usize, u64), &'static Kind>;

shared! {
    static OBJECTS: [Mutex<Fields>; SHARDS] = array_of!(SHARDS, Mutex::new(Fields::new()));
}

/// The right to attach fields to one object, and to detach them.
pub(super) struct Object {
    address: usize,
    fields: MutexGuard<'static, Fields>,
}

/// A field that is in no table any more. It ends when `value` is dropped, under no lock.
pub(super) struct Taken {
    pub(super) kind: &'static Kind,
    pub(super) value: Box<dyn Any>,
}

pub(super) fn lock(address: usize) -> Object {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    let shard = hash(address) as usize % SHARDS;
    Object { address, fields: lock_mutex(&OBJECTS[shard]) }
}

impl Object {
    pub(super) fn add(&mut self, kind: &'static Kind) {
        self.fields.insert((self.address, kind.number), kind);
    }

    pub(super) fn remove(&mut self, kind: &Kind) {
        self.fields.remove(&(self.address, kind.number));
    }

    /// Takes all fields of the object out of their tables.
    pub(super) fn take_all(mut self) -> Vec<Taken> {
        let fields = self.fields.range((self.address, 0)..=(self.address, u64::MAX));
        let kinds: Vec<_> = fields.map(|(_, kind)| *kind).collect();
        let mut take = |kind: &'static Kind| {
            self.remove(kind);
            Some(Taken { kind, value: kind.take(self.address)? })
        };
        kinds.into_iter().filter_map(&mut take).collect()
    }
}
