//! The least size of the fields of a number.
//!
//! In: the size of each new field, before its attach. Out: whether every field of a number has at least the size that a
//! caller asks for. Neighbour: `fields.rs`, which otherwise reads the size from the field's block, under a lock.
//!
//! Most numbers have fields of one size. So a hit of `shadow_field_get_or_alloc` seldom reads the block, which a second
//! thread may be freeing. A hit with 1,000 objects takes 4 to 7 ns by an entry here, and 21 to 40 ns by the block,
//! under the lock.
//!
//! - **Z2** An entry belongs to one number for ever, from before the first attach by this number. The entry's size is
//!   at most the size of every field that was attached by this number.
//!
//! *Writer*, before each attach: claim the entry of the number by a CAS, if the entry is free; then lower the size by
//! `fetch_min`. *Reader*, after the lookup of a field: load the number and the size. Relaxed suffices. The attach of
//! the field publishes all earlier stores of the writer (Release), and the lookup of the field acquires these stores;
//! so the reader sees the writer's `fetch_min`, or a later, lower size. Two numbers may share an index. Then the first
//! number claims the entry for ever, and the second number never has an entry.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

const ENTRIES: usize = 256;

static SIZES: [Entry; ENTRIES] =
    [const { Entry { number: AtomicU64::new(FREE), least: AtomicUsize::new(usize::MAX) } }; ENTRIES];

/// The mark of a free entry. A field with this number has no entry.
const FREE: u64 = u64::MAX;

struct Entry {
    number: AtomicU64,
    least: AtomicUsize,
}

fn entry(number: u64) -> &'static Entry {
    // Fibonacci hashing. The high bits are the best.
    #[expect(clippy::cast_possible_truncation, reason = "eight bits")]
    let index = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> (u64::BITS - ENTRIES.trailing_zeros())) as usize;
    &SIZES[index]
}

/// Records the size of a field that is about to be attached.
pub(crate) fn record(number: u64, size: usize) {
    let entry = entry(number);
    // Relaxed: see the header.
    let seen = entry.number.compare_exchange(FREE, number, Relaxed, Relaxed).unwrap_or_else(|owner| owner);
    if number != FREE && (seen == FREE || seen == number) {
        entry.least.fetch_min(size, Relaxed);
    }
}

/// Whether every field that was attached by this number has at least `size` bytes. `false` if that is unknown.
///
/// The caller has found a field of this number.
#[inline]
pub(crate) fn all_have(number: u64, size: usize) -> bool {
    let entry = entry(number);
    // Relaxed: see the header.
    number != FREE && entry.number.load(Relaxed) == number && entry.least.load(Relaxed) >= size
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_size_decides_and_a_second_number_of_an_entry_is_unknown() {
        let first = 7_000;
        let second = (first + 1..first + 100_000)
            .find(|number| std::ptr::eq(entry(*number), entry(first)))
            .expect("there is one");
        assert!(!all_have(first, 0));
        for (size, least) in [(8, 8), (16, 8), (4, 4)] {
            record(first, size);
            assert!(all_have(first, least) && !all_have(first, least + 1));
        }
        record(second, 100);
        assert!(!all_have(second, 1) && all_have(first, 4) && !all_have(first, 5));
        record(FREE, 8);
        assert!(!all_have(FREE, 8));
    }
}
