//! The order of visits to hosts: pseudo-random, and the same in every run.
//!
//! In: a seed. Out: numbers, shuffled slices, and cyclic walks through a slice.

use std::hint::black_box;

/// Marsaglia's xorshift with 64 bits of state. Not for cryptography.
#[derive(Clone, Debug)]
pub struct Xorshift {
    state: u64,
}

impl Xorshift {
    /// Starts from `seed`. Sets the top bit, since a state of 0 would stay 0.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: seed | 1 << 63 }
    }

    /// The next number.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// The next number, below `limit`.
    #[inline]
    pub fn below(&mut self, limit: usize) -> usize {
        // The high half of the product: no division, and xorshift's low bits are weak.
        #[expect(clippy::cast_possible_truncation, reason = "it is below `limit`, which is a `usize`")]
        let index = ((u128::from(self.next_u64()) * limit as u128) >> 64) as usize;
        index
    }
}

/// Shuffles by Fisher and Yates, from `seed`.
pub fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut random = Xorshift::new(seed);
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}

/// A cyclic walk through a slice. Each call continues at the end of the last call, so that a short call on a long slice
/// does not find its items in the cache.
#[derive(Debug)]
pub struct Walk<'a, T> {
    items: &'a [T],
    next: usize,
}

impl<'a, T> Walk<'a, T> {
    /// Starts with the first of `items`, which must not be empty.
    #[must_use]
    pub const fn new(items: &'a [T]) -> Self {
        Self { items, next: 0 }
    }

    /// Visits `count` items, in contiguous parts, and sums the results of `visit`.
    pub fn visit(&mut self, count: usize, mut visit: impl FnMut(&[T]) -> u64) -> u64 {
        let mut sum = 0_u64;
        let mut left = count;
        while left > 0 {
            let stretch = &self.items[self.next..];
            let stretch = &stretch[..left.min(stretch.len())];
            sum = sum.wrapping_add(visit(black_box(stretch)));
            left -= stretch.len();
            self.next = (self.next + stretch.len()) % self.items.len();
        }
        sum
    }
}
