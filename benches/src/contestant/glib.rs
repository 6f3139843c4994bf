//! A hash table of the design of `GLib`'s `GHashTable` (`glib/ghash.c`, version 2.80), written from its description.
//!
//! In: an address and a value. Out: the value, by the address. The lock is in `rwlock.rs`.
//!
//! # Design
//!
//! Open addressing. Three arrays, of hashes, of keys and of values, have a power of two of entries. The hash of an
//! address is its low 32 bits (`g_direct_hash`). The first index is eleven times the hash, modulo the greatest prime
//! below the size; the next indices are one, three, six … entries further on. A lookup compares the hash, and on
//! equality the key. The hash 0 stands for a vacant entry. The table grows when 16 of 17 entries are taken, to the
//! power of two above four thirds of the entries.
//!
//! The other candidate was uthash 2.3: chains through the elements, a hash of Jenkins with about 40 operations, and
//! twice as many buckets when a chain has ten elements. With a million objects, a lookup in uthash takes a cache miss
//! for the bucket, and then one for each element of the chain up to the object, each of which depends on the one
//! before. A lookup here takes three cache misses, whose addresses all follow from the hash. So this design is the
//! faster rival.
//!
//! `GLib` calls its hash function by a pointer, and the lookup is a call into a shared library. Both are inlined here,
//! and the keys are addresses alone, without the number of a field. Each difference makes the rival faster.
//!
//! - **L2** The three arrays have `mask + 1` entries, and `prime` is at most `mask + 1`, and not 0.
#![allow(unsafe_code)]

/// The hash of a vacant entry.
const VACANT: u32 = 0;

/// The least hash of an entry: `GHashTable` reserves 0, and 1 for a tombstone.
const LEAST: u32 = 2;

/// The size of an empty table.
const SMALLEST: usize = 8;

/// The table.
#[derive(Debug)]
pub(super) struct HashTable {
    hashes: Box<[u32]>,
    keys: Box<[usize]>,
    values: Box<[Option<Box<u64>>]>,
    mask: usize,
    prime: u32,
    entries: usize,
}

impl HashTable {
    pub(super) fn new() -> Self {
        Self::with_size(SMALLEST)
    }

    /// An empty table of a size, which is a power of two.
    fn with_size(size: usize) -> Self {
        Self {
            hashes: vec![VACANT; size].into(),
            keys: vec![0; size].into(),
            values: (0..size).map(|_| None).collect(),
            mask: size - 1,
            prime: greatest_prime(size),
            entries: 0,
        }
    }

    /// Inserts the value of `key`. Returns whether the key was absent; if not, the table keeps the old value.
    pub(super) fn insert(&mut self, key: usize, value: Box<u64>) -> bool {
        if self.mask < self.entries + self.entries / 16 {
            self.grow();
        }
        let hash = hash(key);
        let index = self.index_of(key, hash);
        if self.hashes[index] != VACANT {
            return false;
        }
        self.put(index, hash, key, Some(value));
        true
    }

    /// The value of `key`.
    #[inline]
    pub(super) fn find(&self, key: usize) -> Option<&u64> {
        let index = self.index_of(key, hash(key));
        // SAFETY: `index_of` returns an index of the arrays.
        let value = unsafe { self.values.get_unchecked(index) };
        // A vacant entry has no value.
        value.as_deref()
    }

    /// The index of `key`, or of the vacant entry that ends the probe sequence. Always an index of the arrays.
    #[inline]
    fn index_of(&self, key: usize, hash: u32) -> usize {
        let mut index = (hash.wrapping_mul(11) % self.prime) as usize;
        let mut step = 0;
        loop {
            // SAFETY: by L2 the arrays have an entry for each number below `prime`, and for each number up to `mask`.
            let found = unsafe { *self.hashes.get_unchecked(index) };
            // SAFETY: as above.
            if found == VACANT || found == hash && unsafe { *self.keys.get_unchecked(index) } == key {
                return index;
            }
            step += 1;
            index = (index + step) & self.mask;
        }
    }

    fn put(&mut self, index: usize, hash: u32, key: usize, value: Option<Box<u64>>) {
        self.hashes[index] = hash;
        self.keys[index] = key;
        self.values[index] = value;
        self.entries += 1;
    }

    #[cold]
    fn grow(&mut self) {
        let mut larger = Self::with_size((self.entries * 4 / 3 + 1).next_power_of_two());
        for (index, value) in self.values.iter_mut().enumerate() {
            if value.is_some() {
                let (hash, key) = (self.hashes[index], self.keys[index]);
                larger.put(larger.index_of(key, hash), hash, key, value.take());
            }
        }
        *self = larger;
    }
}

/// `g_direct_hash`.
#[inline]
fn hash(key: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "the low half of the address")]
    let low = key as u32;
    low.max(LEAST)
}

/// The greatest prime up to `size`, which is at least 2.
fn greatest_prime(size: usize) -> u32 {
    let prime = |number: u32| (2..=number.isqrt()).all(|divisor| number % divisor != 0);
    let size = u32::try_from(size).expect("the hash has 32 bits");
    (2..=size).rev().find(|&number| prime(number)).expect("2 is a prime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modulus_is_prime() {
        assert_eq!([8, 16, 2048, 1 << 20].map(greatest_prime), [7, 13, 2039, 1_048_573]);
    }

    #[test]
    fn what_was_inserted_is_found_after_each_growth() {
        let mut table = HashTable::new();
        let keys = || (1..5000).map(|number| number * 48).chain([0, 1, 2, usize::MAX]);
        for (number, key) in keys().enumerate() {
            assert_eq!(table.find(key), None);
            assert!(table.insert(key, Box::new(number as u64)));
            assert!(!table.insert(key, Box::new(0)));
            assert!(table.mask < 4 * table.entries + SMALLEST, "{table:?}");
        }
        for (number, key) in keys().enumerate() {
            assert_eq!(table.find(key), Some(&(number as u64)));
        }
    }
}
