//! The order in which hosts are visited: random, and the same in every run.
//!
//! In: a seed. Out: numbers, shuffled slices, and walks that go round and round through a slice.

use std::hint::black_box;

/// Marsaglia's xorshift with 64 bits of state. Not for secrets.
#[derive(Clone, Debug)]
pub struct Xorshift {
    state: u64,
}

impl Xorshift {
    /// Starts from `seed`; 0 is none, since it would stay 0 for ever.
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
        // The high half of the product: no division, and the low bits of a xorshift are its weak ones.
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

/// Goes round and round through a slice. Each call goes on where the last one stopped, so that a short call on a long
/// slice does not find again what it has just read.
#[derive(Debug)]
pub struct Walk<'a, T> {
    items: &'a [T],
    next: usize,
}

impl<'a, T> Walk<'a, T> {
    /// Starts with the first of `items`, of which there must be one.
    #[must_use]
    pub const fn new(items: &'a [T]) -> Self {
        Self { items, next: 0 }
    }

    /// Visits `count` items, in stretches, and adds up what `visit` returns for each stretch.
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
