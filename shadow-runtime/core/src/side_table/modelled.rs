//! One shard with boxed values, for the models of `tests/loom_table.rs`.
//!
//! In: keys and values. Out: the result of lookups. Compiled only under loom. Neighbour: `shard.rs`, the code under
//! test.
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    reason = "for the models"
)]

use std::ptr::NonNull;

use super::shard::{Current, Upkeep};
use super::{Shard, hash};

/// A shard that owns boxed values, and drops them with the shard.
pub struct Table<V> {
    array: Current<V>,
    upkeep: Upkeep,
}

// SAFETY: a shard hands out shared references and boxes of values; for `V: Send + Sync` threads may share and move
// values.
unsafe impl<V: Send + Sync> Send for Table<V> {}
// SAFETY: a shard hands out shared references and boxes of values; for `V: Send + Sync` threads may share and move
// values.
unsafe impl<V: Send + Sync> Sync for Table<V> {}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self { array: Current::new(), upkeep: Upkeep::new() }
    }
}

impl<V> Table<V> {
    fn shard(&self) -> Shard<'_, V> {
        Shard::of(&self.array, &self.upkeep)
    }

    pub fn find(&self, key: usize) -> Option<&V> {
        // SAFETY: the value was boxed by `insert` or `replace`. No model looks up a key that the model removes (T5),
        // and a box from `replace` or `remove` is dropped only when no reader has the value.
        self.shard().find(key, hash(key)).map(|value| unsafe { value.as_ref() })
    }

    pub fn insert(&self, key: usize, value: V) {
        self.shard().lock_with_room().insert(key, hash(key), NonNull::from(Box::leak(Box::new(value))));
    }

    /// Replaces a value. The caller drops the returned box only when no reader can have a reference to the value.
    pub fn replace(&self, key: usize, value: V) -> Box<V> {
        let mut shard = self.shard().lock();
        let first = shard.find(key, hash(key)).expect("there is one");
        shard.replace(key, hash(key), NonNull::from(Box::leak(Box::new(value))));
        // SAFETY: the value was boxed by `insert` or `replace`, and is no longer in the shard, so the box has one
        // owner.
        unsafe { Box::from_raw(first.as_ptr()) }
    }

    /// Removes a key. No reader looks up the key during or after the call (T5).
    pub fn remove(&self, key: usize) -> Option<Box<V>> {
        let value = self.shard().lock().remove(key, hash(key))?;
        // SAFETY: the value was boxed by `insert` or `replace`, and is no longer in the shard; by T5 no reader uses the
        // value.
        Some(unsafe { Box::from_raw(value.as_ptr()) })
    }

    pub fn entries(&self) -> usize {
        self.shard().entries()
    }

    /// Number of groups of the current array.
    pub fn groups(&self) -> usize {
        self.shard().groups()
    }

    /// Number of arrays so far, except for the empty array.
    pub fn arrays(&self) -> usize {
        self.shard().arrays()
    }

    /// The first `count` keys with the first of two groups as home group, or with the second.
    pub fn keys(count: usize, of_second_group: bool) -> Vec<usize> {
        let is_one = |key: &usize| (hash(*key) >> 63 == 1) == of_second_group;
        (1..).map(|number| number * 16).filter(is_one).take(count).collect()
    }

    /// Two keys with the first of two groups as home group, and with the same tag for the first slot.
    pub fn keys_alike() -> [usize; 2] {
        let tags = |key: usize| hash(key) & 0x7e;
        let keys = Self::keys(200, false);
        let alike = keys[1..].iter().find(|key| tags(**key) == tags(keys[0]));
        [keys[0], *alike.expect("there are 64 tags")]
    }

    /// The first `count` keys with the given home group out of four groups.
    pub fn keys_of_four(count: usize, group: u64) -> Vec<usize> {
        (1..).map(|number| number * 16).filter(|key| hash(*key) >> 62 == group).take(count).collect()
    }
}

impl<V> Drop for Table<V> {
    fn drop(&mut self) {
        let mut values = Vec::new();
        self.shard().lock().each(|_, value| values.push(value));
        for value in values {
            // SAFETY: the value was boxed by `insert` or `replace`, and the exclusive borrow of the table excludes
            // readers.
            drop(unsafe { Box::from_raw(value.as_ptr()) });
        }
        // SAFETY: the exclusive borrow of the table excludes other threads, and the table is not used after the drop.
        unsafe { self.shard().free() };
    }
}
