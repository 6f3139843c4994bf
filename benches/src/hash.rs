//! The hash of an address: the same for every contestant that takes one.
//!
//! In: an address. Out: 64 bits, each of which depends on the whole address. Real addresses are strided, and the maps
//! take their buckets, their shards and their tags from different ends of the hash, so both ends must be good.

use std::hash::{BuildHasher, Hasher};

/// Multiplies by 2^64 divided by the golden ratio, to 128 bits, and folds the halves.
#[inline]
#[must_use]
pub const fn fold(word: u64) -> u64 {
    let product = (word as u128) * 0x9E37_79B9_7F4A_7C15;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded
}

/// Makes [`AddressHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressHash;

impl BuildHasher for AddressHash {
    type Hasher = AddressHasher;

    #[inline]
    fn build_hasher(&self) -> AddressHasher {
        AddressHasher(0)
    }
}

/// Hashes one address.
#[derive(Clone, Copy, Debug)]
pub struct AddressHasher(u64);

impl Hasher for AddressHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_usize(&mut self, word: usize) {
        self.0 = fold(word as u64);
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("addresses only");
    }
}
