//! Side tables: concurrent hash maps from the address of an object to a pointer.
//!
//! In: an address. Out: the pointer that the table stores for the address. Each kind of host with a table defines the
//! pointee, and when an entry is removed: `host/arc.rs`, `host/fixed.rs`, `raw/kind.rs`, `raw/table.rs`.
//!
//! A table consists of shards, each with a lock that only writers take (`shard.rs`). No user code and no global
//! allocator runs under a shard's lock (R4): a writer drops removed values after it has unlocked the shard, and
//! allocates a larger array while the shard is unlocked.

mod array;
mod prefetch;
mod shard;
mod tags;

pub(crate) use prefetch::prefetch;
use shard::{Current, Not, Upkeep};
pub(crate) use shard::{NOBODY, Shard};

#[cfg(loom)]
pub mod modelled;

use std::ptr::NonNull;

use crate::sync::{array_of, const_fn};

/// Bits of a hash that select a shard. Under loom 0, since every run of a model must be the same, whatever the
/// addresses. Few under Miri, where a sweep of 128 shards takes a second, but enough for a table of `raw`, which has 8
/// shards.
const SHARD_BITS: u32 = if cfg!(loom) {
    0
} else if cfg!(miri) {
    3
} else {
    7
};

/// Default number of shards of a table, and the maximum.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;

/// A hash table from addresses to pointers. The number of shards is a power of two, and at most [`SHARDS`].
pub(crate) struct SideTable<N, const COUNT: usize = SHARDS> {
    arrays: [Current<N>; COUNT],
    upkeeps: [Upkeep; COUNT],
}

impl<N, const COUNT: usize> SideTable<N, COUNT> {
    const_fn! {
        pub(crate) const fn new() -> Self {
            Self { arrays: array_of!(COUNT, Current::new()), upkeeps: array_of!(COUNT, Upkeep::new()) }
        }
    }

    /// Finds the pointer of `key`. Takes no lock.
    #[inline]
    pub(crate) fn find(&self, key: usize) -> Option<NonNull<N>> {
        let hash = hash(key);
        match self.arrays[shard_number(hash) % COUNT].look_at_home(key, hash) {
            Ok(value) => Some(value),
            Err(Not::There) => None,
            Err(Not::AtHome) => self.search(key, hash),
        }
    }

    /// Continues a lookup behind the home group. Takes the hash and computes the shard again, so that a hit in the home
    /// group keeps no other state alive for this call.
    #[cold]
    #[inline(never)]
    fn search(&self, key: usize, hash: u64) -> Option<NonNull<N>> {
        self.shard(hash).search(key, hash)
    }

    /// The shard of a hash.
    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> Shard<'_, N> {
        self.shard_at(shard_number(hash))
    }

    /// The shard of a number, modulo the number of shards.
    #[inline]
    pub(crate) fn shard_at(&self, number: usize) -> Shard<'_, N> {
        let index = number % COUNT;
        Shard::of(&self.arrays[index], &self.upkeeps[index])
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = Shard<'_, N>> {
        (0..COUNT).map(|number| self.shard_at(number))
    }
}

/// Shard number of a hash, before the reduction modulo the number of shards: the low bits of the hash.
#[inline]
const fn shard_number(hash: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    let number = hash as usize;
    number
}

/// Fibonacci hashing: multiplies by 2^64 divided by the golden ratio, to 128 bits, and folds the two halves. Real
/// addresses have regular strides, and a table uses bits from either end of the hash: low bits for the shard and the
/// tags, high bits for the group.
#[inline]
pub(crate) fn hash(key: usize) -> u64 {
    let product = (key as u128) * 0x9E37_79B9_7F4A_7C15;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::ptr;

    use super::*;
    use crate::fewer::fewer;

    /// The number of keys in the fullest of 128 buckets.
    fn fullest(keys: impl Iterator<Item = usize>, part: fn(u64) -> u64) -> usize {
        let mut parts = [0; 128];
        keys.for_each(|key| parts[usize::try_from(part(hash(key)) % 128).unwrap()] += 1);
        parts.into_iter().max().unwrap()
    }

    #[test]
    fn addresses_are_spread_over_the_shards_the_tags_and_the_groups_whatever_their_stride() {
        let strides = [8, 16, 48, 64, 80, 1024, 4096, 4112, 1 << 21];
        // Under Miri, one stride.
        for stride in strides.into_iter().take(fewer(usize::MAX, 1)) {
            let keys = || (1..=128 * 64).map(|number| 0x7f00_0000_0000 + number * stride);
            for part in [
                |hash| hash,
                |hash| hash >> 7,
                |hash| hash >> 15,
                |hash| hash >> 23,
                |hash| hash >> 31,
                |hash| hash >> 57,
            ] {
                let most = fullest(keys(), part);
                assert!(most < 64 * 2, "{most} for a stride of {stride}");
            }
        }
    }

    #[test]
    fn every_shard_is_reached_by_its_number_and_once() {
        let table = SideTable::<u8, 4>::new();
        assert_eq!(table.shards().count(), 4);
        for (number, shard) in table.shards().enumerate() {
            shard.lock_with_room().insert(8, hash(8), NonNull::dangling());
            assert_eq!(table.shard_at(number).entries(), 1);
            assert_eq!(table.shard_at(number + 4).entries(), 1);
            assert!((number + 1..4).all(|later| table.shard_at(later).entries() == 0));
        }
    }

    #[test]
    fn what_is_put_in_is_found_at_home_and_elsewhere_and_in_every_shard() {
        const COUNT: usize = fewer(2000, 200);
        let table = SideTable::<u8, 4>::new();
        let keys = || (1..=COUNT).map(|number| 16 * number);
        let value = |key| NonNull::new(ptr::without_provenance_mut::<u8>(key));
        for key in keys() {
            assert_eq!(table.find(key), None);
            table.shard(hash(key)).lock_with_room().insert(key, hash(key), value(key).expect("not null"));
        }
        assert!(keys().all(|key| table.find(key) == value(key)));
        assert!(table.shards().all(|shard| shard.entries() > COUNT / 5));
    }
}
