//! A block with several owners: a value that a writer replaces while threads read the value.
//!
//! In: a block. Out: shares of the block, and the block itself once one share is left. Neighbours: `block.rs`, the
//! block, with the count of owners in its header; `updates.rs`, whose table owns the shares.
//!
//! A share needs no memory, and so cannot fail. `Arc::new` allocates, and ends the process without memory.
//!
//! - **Z3** The count of a block is the number of its shares. All shares of a block have the same header, and own the
//!   block together: the last share frees the block.
//!
//! *Orderings*: the drop of a share releases the uses of the block by this share, by the subtraction. The last owner
//! acquires these uses: by its own subtraction in `drop`, or by the load in `into_block`. Every change of a count is a
//! read-modify-write, and so continues the release sequences of the earlier subtractions. A clone needs no ordering:
//! the clone is made of a share, so the count is not 0 meanwhile.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::sync::atomic::Ordering;
use std::thread;

use crate::block::Block;

/// One of the owners of a block.
pub(crate) struct Shared(ManuallyDrop<Block>);

impl Shared {
    /// The first share of a block.
    pub(crate) fn new(block: Block) -> Self {
        // Relaxed: no other thread has the block.
        debug_assert_eq!(block.owners().load(Ordering::Relaxed), 1);
        Self(ManuallyDrop::new(block))
    }

    /// The block, once this share is the last. Waits for the drops of the other shares.
    pub(crate) fn into_block(self) -> Block {
        // Acquire: pairs with the Release of `drop`, so the uses by the other shares happen before the return.
        while self.owners().load(Ordering::Acquire) != 1 {
            thread::yield_now();
        }
        let mut last = ManuallyDrop::new(self);
        // SAFETY: by Z3 no other share is left, and no thread makes a share without a share. So the ownership of the
        // block passes to the caller. `last` is not used or dropped any more.
        unsafe { ManuallyDrop::take(&mut last.0) }
    }
}

impl Clone for Shared {
    fn clone(&self) -> Self {
        // Relaxed: see the header. No overflow: a writer that replaces a value makes at most one share, for itself, and
        // a value is replaced once.
        self.owners().fetch_add(1, Ordering::Relaxed);
        // SAFETY: the line above has counted the new share, and by Z3 the last share drops the block.
        Self(unsafe { self.0.share() })
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // Release: the uses by this share happen before the free; pairs with the Acquire here, and of `into_block`.
        // Acquire: the uses by the other shares happen before a free by this drop; pairs with the Release here.
        if self.owners().fetch_sub(1, Ordering::AcqRel) == 1 {
            // SAFETY: by Z3 no other share is left, and this share is not used any more.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

impl Deref for Shared {
    type Target = Block;

    fn deref(&self) -> &Block {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn filled(byte: u8) -> Shared {
        let block = Block::zeroed(64, 16).expect("there is memory");
        // SAFETY: by Z1 the block has so many bytes, and no other thread has the block.
        unsafe { block.bytes().cast::<u8>().write_bytes(byte, 64) };
        Shared::new(block)
    }

    fn is_filled(block: &Block, byte: u8) -> bool {
        // SAFETY: by Z1 the block has so many bytes, and no thread writes to the bytes.
        unsafe { std::slice::from_raw_parts(block.bytes().cast::<u8>(), block.size()) }.iter().all(|it| *it == byte)
    }

    #[test]
    fn the_last_share_owns_the_block_whichever_it_is() {
        for ends_first in [false, true] {
            let first = filled(3);
            let second = first.clone();
            assert_eq!(first.owners().load(Ordering::Relaxed), 2);
            let (gone, left) = if ends_first { (first, second) } else { (second, first) };
            drop(gone);
            assert!(is_filled(&left, 3));
            assert!(is_filled(&left.into_block(), 3));
        }
    }

    /// The readers use the bytes until the drop, and the owner of the block writes to the bytes. Miri and the thread
    /// sanitizer find a race without the orderings.
    #[test]
    fn a_block_waits_for_all_readers() {
        let rounds = if cfg!(miri) { 10 } else { 300 };
        for round in 0..rounds {
            let (value, has_begun) = (filled(5), &AtomicBool::new(false));
            thread::scope(|scope| {
                for _ in 0..2 {
                    let share = value.clone();
                    scope.spawn(move || {
                        has_begun.store(true, Ordering::Relaxed);
                        (0..round % 7).for_each(|_| thread::yield_now());
                        assert!(is_filled(&share, 5));
                    });
                }
                if round % 2 == 0 {
                    while !has_begun.load(Ordering::Relaxed) {
                        thread::yield_now();
                    }
                }
                let block = value.into_block();
                // SAFETY: by Z1 the block has so many bytes, and `into_block` has waited for the readers.
                unsafe { block.bytes().cast::<u8>().write_bytes(6, 64) };
            });
        }
    }

    /// Shares that end at the same time: one drop frees the block. The leak sanitizer finds a block that no drop frees.
    #[test]
    fn of_racing_drops_one_frees_the_block() {
        for _ in 0..if cfg!(miri) { 10 } else { 300 } {
            let value = filled(5);
            thread::scope(|scope| {
                for _ in 0..3 {
                    let share = value.clone();
                    scope.spawn(move || assert!(is_filled(&share, 5)));
                }
                drop(value);
            });
        }
    }
}
