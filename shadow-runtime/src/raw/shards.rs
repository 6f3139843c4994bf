//! What the tables of the raw interface have in common: they are sharded, and hash addresses.
//!
//! In: an address. Out: the shard that keeps what belongs to it, behind a lock.
//!
//! No code of a user runs under a shard's lock (R4): whatever is taken out of a shard is dropped after it is unlocked.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::sync::RwLock;

const SHARD_BITS: u32 = 6;

/// How many shards a table has.
pub(crate) const SHARDS: usize = 1 << SHARD_BITS;

/// A map from something that contains an address.
pub(crate) type AddressMap<K, V> = HashMap<K, V, BuildHasherDefault<AddressHasher>>;

/// A table in shards, each behind a lock of its own.
pub(crate) struct SideTable<S> {
    shards: [RwLock<S>; SHARDS],
}

impl<S> SideTable<S> {
    pub(crate) const fn new(shards: [RwLock<S>; SHARDS]) -> Self {
        Self { shards }
    }

    /// The shard of an address.
    pub(crate) fn shard(&self, address: usize) -> &RwLock<S> {
        &self.shards[usize::try_from(mix(address as u64) >> (u64::BITS - SHARD_BITS)).unwrap_or(0)]
    }

    pub(crate) fn shards(&self) -> &[RwLock<S>; SHARDS] {
        &self.shards
    }
}

/// Gives memory back once a map has become much larger than what it holds (R7).
pub(crate) fn shrink<K: Eq + std::hash::Hash, V>(map: &mut AddressMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 8 {
        map.shrink_to(map.len() * 2);
    }
}

/// Hashes addresses and other words. Real addresses are strided, so the low bits alone say little.
#[derive(Default)]
pub(crate) struct AddressHasher {
    hash: u64,
}

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        // A shard's addresses have the top bits in common, which is where the map looks first.
        self.hash.rotate_left(SHARD_BITS)
    }

    fn write_u64(&mut self, word: u64) {
        self.hash = mix(self.hash ^ word);
    }

    fn write_usize(&mut self, word: usize) {
        self.write_u64(word as u64);
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }
}

/// Multiplies by 2^64 divided by the golden ratio, to 128 bits, and folds the halves, so that high bits of the input
/// reach low bits of the output as well as the other way round.
fn mix(word: u64) -> u64 {
    let product = u128::from(word) * 0x9E37_79B9_7F4A_7C15;
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the product")]
    let folded = (product as u64) ^ ((product >> 64) as u64);
    folded
}
