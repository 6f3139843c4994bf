//! One shard, for the models of `tests/loom_table.rs`, which have values of their own.
//!
//! In: keys and boxed values. Out: what a reader finds. It is compiled under a model checker only.
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

/// A shard whose values are boxed, and dropped with it.
pub struct Table<V> {
    array: Current<V>,
    upkeep: Upkeep,
}

// SAFETY: a shard gives out pointers to values; all of them may be shared between threads.
unsafe impl<V: Send + Sync> Send for Table<V> {}
// SAFETY: as above.
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
        // SAFETY: models look for no key that they remove, and values are dropped with the table, or by who removes
        // them.
        self.shard().find(key, hash(key)).map(|value| unsafe { value.as_ref() })
    }

    pub fn insert(&self, key: usize, value: V) {
        self.shard().lock_with_room().insert(key, hash(key), NonNull::from(Box::leak(Box::new(value))));
    }

    /// Puts another value there; the first is the caller's, to be dropped when no reader can have it.
    pub fn replace(&self, key: usize, value: V) -> Box<V> {
        let mut shard = self.shard().lock();
        let first = shard.find(key, hash(key)).expect("there is one");
        shard.replace(key, hash(key), NonNull::from(Box::leak(Box::new(value))));
        // SAFETY: it was boxed by `insert`, and is in the table no more.
        unsafe { Box::from_raw(first.as_ptr()) }
    }

    /// Takes a key out that no reader looks for.
    pub fn remove(&self, key: usize) -> Option<Box<V>> {
        let value = self.shard().lock().remove(key, hash(key))?;
        // SAFETY: it was boxed by `insert`, and nobody looks for it.
        Some(unsafe { Box::from_raw(value.as_ptr()) })
    }

    pub fn entries(&self) -> usize {
        self.shard().entries()
    }

    /// How many groups the array has.
    pub fn groups(&self) -> usize {
        self.shard().groups()
    }

    /// How many arrays it has had that are not empty.
    pub fn arrays(&self) -> usize {
        self.shard().arrays()
    }

    /// The first `count` keys whose home is the first of two groups, or the second.
    pub fn keys(count: usize, of_second_group: bool) -> Vec<usize> {
        let is_one = |key: &usize| (hash(*key) >> 63 == 1) == of_second_group;
        (1..).map(|number| number * 16).filter(is_one).take(count).collect()
    }

    /// Two keys whose home is the first of two groups, and whose tags of its first slot are the same.
    pub fn keys_alike() -> [usize; 2] {
        let tags = |key: usize| hash(key) & 0x7e;
        let keys = Self::keys(200, false);
        let alike = keys[1..].iter().find(|key| tags(**key) == tags(keys[0]));
        [keys[0], *alike.expect("there are 64 tags")]
    }

    /// The first `count` keys whose home is this one of four groups.
    pub fn keys_of_four(count: usize, group: u64) -> Vec<usize> {
        (1..).map(|number| number * 16).filter(|key| hash(*key) >> 62 == group).take(count).collect()
    }
}

impl<V> Drop for Table<V> {
    fn drop(&mut self) {
        let mut values = Vec::new();
        self.shard().lock().each(|_, value| values.push(value));
        for value in values {
            // SAFETY: it was boxed by `insert`, and the table goes.
            drop(unsafe { Box::from_raw(value.as_ptr()) });
        }
        // SAFETY: the table goes.
        unsafe { self.shard().free() };
    }
}
