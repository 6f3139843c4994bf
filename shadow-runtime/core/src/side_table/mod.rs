//! Side tables: what is beside an object that is known by its address.
//!
//! In: an address. Out: what is kept for it, a pointer. Each kind of host that has a table says what that points to,
//! and when it is let go of: `host/arc.rs`, `host/fixed.rs`, `raw/kind.rs`, `raw/table.rs`.
//!
//! A table is in shards, each with a lock that only writers take (`shard.rs`). Neither code of a user nor the global
//! allocator runs under it (R4): whatever is taken out of a shard is dropped after it is unlocked, and a shard grows by
//! an array that was allocated while it was not locked.

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

/// None under a model checker, for which every run has to be the same, whatever the addresses. Few under Miri, where a
/// sweep of 128 shards takes a second; no less than for a table of `raw`, which has 8 shards.
const SHARD_BITS: u32 = if cfg!(loom) {
    0
} else if cfg!(miri) {
    3
} else {
    7
};

/// How many shards a table has, if it is not one of many.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;

/// A table from addresses to pointers. It has no more than [`SHARDS`] shards, by a power of two.
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

    /// What is kept for `key`. Takes no lock.
    #[inline]
    pub(crate) fn find(&self, key: usize) -> Option<NonNull<N>> {
        let hash = hash(key);
        match self.arrays[shard_number(hash) % COUNT].look_at_home(key, hash) {
            Ok(value) => Some(value),
            Err(Not::There) => None,
            Err(Not::AtHome) => self.search(key, hash),
        }
    }

    /// Goes on from the hash, so that whoever finds what it looks for at home keeps nothing for this.
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

    /// The shard of a number, however large.
    #[inline]
    pub(crate) fn shard_at(&self, number: usize) -> Shard<'_, N> {
        let index = number % COUNT;
        Shard::of(&self.arrays[index], &self.upkeeps[index])
    }

    pub(crate) fn shards(&self) -> impl Iterator<Item = Shard<'_, N>> {
        (0..COUNT).map(|number| self.shard_at(number))
    }
}

/// The number of a hash's shard, from the low bits, of which few are left.
#[inline]
const fn shard_number(hash: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    let number = hash as usize;
    number
}

/// Multiplies by 2^64 divided by the golden ratio, to 128 bits, and folds the halves: real addresses are strided, and
/// both ends of the hash are used, the low for the shard and the tags, the high for the group.
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

    /// How many of the keys are in the fullest of 128 parts.
    fn fullest(keys: impl Iterator<Item = usize>, part: fn(u64) -> u64) -> usize {
        let mut parts = [0; 128];
        keys.for_each(|key| parts[usize::try_from(part(hash(key)) % 128).unwrap()] += 1);
        parts.into_iter().max().unwrap()
    }

    #[test]
    fn addresses_are_spread_over_the_shards_the_tags_and_the_groups_whatever_their_stride() {
        let strides = [8, 16, 48, 64, 80, 1024, 4096, 4112, 1 << 21];
        // Under Miri, one.
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
