//! The hash of an address, for the contestants with a configurable hash.
//!
//! In: an address. Out: 64 bits, each of which depends on the whole address. Real addresses are strided. The maps take
//! buckets, shards and tags from the top and the bottom of the hash, so top and bottom must be well distributed.

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

/// A builder of [`AddressHasher`]s.
#[derive(Clone, Copy, Debug, Default)]
pub struct AddressHash;

impl BuildHasher for AddressHash {
    type Hasher = AddressHasher;

    #[inline]
    fn build_hasher(&self) -> AddressHasher {
        AddressHasher(0)
    }
}

/// A hasher for one address.
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
