//! The memory that a thread has from the last small node that it has replaced, for the next that it makes.
//!
//! In: the memory of a node that is nobody's any more. Out: the same, for another node of that size. Neighbour: `node.rs`.
//!
//! Who updates a field makes a node, puts it where another was, and has that one to free: memory of the same size, still
//! in its cache. So it needs no allocator in between, which for a small value takes longer than all the rest, and longer
//! still where several threads update one field, since then each frees what another has allocated.
//!
//! - **S1** What is kept was allocated by `Box`, has the size that stands beside it and the alignment [`ALIGN`], and is
//!   nobody else's. There is nothing in it.
//!
//! A thread keeps the memory of one node, the last, of [`MOST`] bytes at most, and frees it when it ends. What is larger, or aligned to
//! more, is allocated and freed each time. Where a thread ends, in what its other thread-locals drop, it may update fields
//! when this one is gone; then nothing is kept.

use std::alloc::{Layout, dealloc};
use std::cell::Cell;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::sync::local;

/// How large the memory is that is kept: that of a node of a few words.
const MOST: usize = 64;

/// How it is aligned.
const ALIGN: usize = 8;

/// Memory, by S1, if there is any.
struct Spare {
    memory: Cell<Option<NonNull<u8>>>,
    size: Cell<usize>,
}

local! {
    static SPARE: Spare = Spare { memory: Cell::new(None), size: Cell::new(0) };
}

const fn is_small<T>() -> bool {
    size_of::<T>() <= MOST && align_of::<T>() == ALIGN
}

/// The memory that this thread has, if it is that of a `T`.
#[inline]
pub(super) fn take<T>() -> Option<Box<MaybeUninit<T>>> {
    if !const { is_small::<T>() } {
        return None;
    }
    let memory = SPARE.try_with(|spare| spare.take(size_of::<T>())).ok().flatten()?;
    // SAFETY: by S1 it was allocated by `Box` for this size and alignment, and is nobody else's.
    Some(unsafe { Box::from_raw(memory.cast().as_ptr()) })
}

/// Keeps the memory of a `T` for this thread, instead of what it had, or frees it.
#[inline]
pub(super) fn keep<T>(memory: Box<MaybeUninit<T>>) {
    if const { is_small::<T>() } {
        let _ = SPARE.try_with(|spare| spare.keep(memory));
    }
}

impl Spare {
    #[inline]
    fn take(&self, size: usize) -> Option<NonNull<u8>> {
        if self.size.get() == size { self.memory.take() } else { None }
    }

    #[inline]
    fn keep<T>(&self, memory: Box<MaybeUninit<T>>) {
        if self.memory.get().is_some() {
            self.free();
        }
        self.memory.set(Some(NonNull::from(Box::leak(memory)).cast()));
        self.size.set(size_of::<T>());
    }

    #[cold]
    fn free(&self) {
        if let Some(memory) = self.memory.take() {
            let layout = Layout::from_size_align(self.size.get(), ALIGN).expect("something was allocated by it");
            // SAFETY: by S1.
            unsafe { dealloc(memory.as_ptr(), layout) };
        }
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    fn address_of<T>(memory: &MaybeUninit<T>) -> usize {
        memory.as_ptr().addr()
    }

    #[test]
    fn what_is_kept_is_for_one_of_its_size_and_there_is_one_at_a_time() {
        thread::spawn(|| {
            assert!(take::<[u64; 2]>().is_none());
            let [first, second] = [(); 2].map(|()| Box::<[u64; 2]>::new_uninit());
            let last = address_of(&second);
            keep(first);
            keep(second);
            assert!(take::<[u64; 3]>().is_none() && take::<u64>().is_none());
            let again = take::<[i64; 2]>().expect("it was kept");
            assert_eq!(address_of(&again), last);
            assert!(take::<[i64; 2]>().is_none());
            keep(Box::<[u64; 3]>::new_uninit());
            keep(again);
            assert!(take::<[u64; 3]>().is_none());
            assert_eq!(take::<[u64; 2]>().map(|memory| address_of(&memory)), Some(last));
        })
        .join()
        .expect("it holds");
    }

    #[test]
    fn what_is_large_or_aligned_in_another_way_is_not_kept() {
        #[repr(align(16))]
        struct Aligned;
        thread::spawn(|| {
            keep(Box::<[u64; 8]>::new_uninit());
            assert!(take::<[u64; 8]>().is_some());
            keep(Box::<[u64; 9]>::new_uninit());
            assert!(take::<[u64; 9]>().is_none());
            for _ in 0..2 {
                keep(Box::<[Aligned; 1]>::new_uninit());
                assert!(take::<[Aligned; 1]>().is_none());
                keep(Box::<[u32; 4]>::new_uninit());
                assert!(take::<[u32; 4]>().is_none() && take::<[u64; 2]>().is_none());
            }
        })
        .join()
        .expect("it holds");
    }
}
