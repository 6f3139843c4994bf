//! The memory of the last small node that a thread has taken apart, for the next that it makes.
//!
//! In: the memory of a node that is nobody's any more. Out: the same, for another node of that size. Neighbour:
//! `node.rs`.
//!
//! Who updates a field makes a node, puts it where another was, and has that one to free: memory of the same size,
//! still in its cache. So it needs no allocator in between, which for a small value takes longer than all the rest, and
//! longer still where several threads update one field, since then each frees what another has allocated.
//!
//! A thread keeps one [`Block`], and frees it when it ends. What is larger, or aligned in another way, is allocated and
//! freed each time. That a thread is to free something at its end may itself be something that allocates, and an
//! allocator may update fields, as it may where it frees: meanwhile nothing is kept, and nothing of this is half done.
//! Nor is anything kept after that, in what the thread's other locals drop at its end.

use std::alloc::{Layout, dealloc};
use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use crate::sync::local;

/// How large the memory is that is kept: that of a node of a few words.
const MOST: usize = 64;

/// How it is aligned.
const ALIGN: usize = 8;

/// Memory with nothing in it.
///
/// - **S1** It was allocated by `Box`, for something of this size, which is not 0, and of the alignment [`ALIGN`]. It
///   is nobody else's.
struct Block {
    memory: NonNull<u8>,
    size: usize,
}

impl Block {
    /// Whether a `T` has such memory, and little of it. Under a model checker none has: models have memory of their
    /// own, which comes back at once.
    const fn is_for<T>() -> bool {
        !cfg!(loom) && 0 < size_of::<T>() && size_of::<T>() <= MOST && align_of::<T>() == ALIGN
    }

    /// Frees it, if it is not for a `T`.
    #[inline]
    fn of<T>(memory: Box<MaybeUninit<T>>) -> Option<Self> {
        if const { Self::is_for::<T>() } {
            Some(Self { memory: NonNull::from(Box::leak(memory)).cast(), size: size_of::<T>() })
        } else {
            None
        }
    }
}

impl Drop for Block {
    #[cold]
    fn drop(&mut self) {
        let layout = Layout::from_size_align(self.size, ALIGN).expect("something was allocated by it");
        // SAFETY: by S1.
        unsafe { dealloc(self.memory.as_ptr(), layout) };
    }
}

struct Spare {
    block: Cell<Option<Block>>,
    /// Whether it is freed when the thread ends; `None` as long as nobody has asked for that.
    is_freed: Cell<Option<bool>>,
}

/// Frees it when it is dropped.
struct End;

local! {
    /// It has no destructor, so an update need not ask whether it is still there.
    static SPARE: ManuallyDrop<Spare> =
        ManuallyDrop::new(Spare { block: Cell::new(None), is_freed: Cell::new(None) });

    static END: End = End;
}

/// The memory that this thread has, if it is that of a `T`.
#[inline]
pub(super) fn take<T>() -> Option<Box<MaybeUninit<T>>> {
    if !const { Block::is_for::<T>() } {
        return None;
    }
    // Where thread-locals are emulated, this one may be gone at the end of a thread.
    let block = SPARE.try_with(|spare| spare.take(size_of::<T>())).ok().flatten()?;
    let memory = ManuallyDrop::new(block).memory.cast();
    // SAFETY: by S1 it was allocated by `Box` for what has the size and the alignment of a `T`, and is nobody else's.
    Some(unsafe { Box::from_raw(memory.as_ptr()) })
}

/// Keeps the memory of a `T` for this thread, instead of what it had, or frees it.
#[inline]
pub(super) fn keep<T>(memory: Box<MaybeUninit<T>>) {
    if let Some(block) = Block::of(memory) {
        let _ = SPARE.try_with(|spare| spare.keep(block));
    }
}

impl Spare {
    #[inline]
    fn take(&self, size: usize) -> Option<Block> {
        let block = self.block.take()?;
        if block.size == size {
            return Some(block);
        }
        self.block.set(Some(block));
        None
    }

    #[inline]
    fn keep(&self, block: Block) {
        if self.is_freed.get() == Some(true) || self.begin() {
            // What was there before is dropped when all is done, since that may come back here.
            drop(self.block.replace(Some(block)));
        }
    }

    /// Has the thread free what is kept when it ends, unless it is about to do so, or has ended.
    #[cold]
    fn begin(&self) -> bool {
        if self.is_freed.get().is_none() {
            self.is_freed.set(Some(false));
            self.is_freed.set(Some(END.try_with(|_| ()).is_ok()));
        }
        self.is_freed.get() == Some(true)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        let _ = SPARE.try_with(|spare| {
            spare.is_freed.set(Some(false));
            drop(spare.block.take());
        });
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
    fn what_is_large_or_nothing_or_aligned_in_another_way_is_not_kept() {
        #[repr(align(16))]
        struct Aligned(#[expect(dead_code, reason = "for its size")] u64);
        thread::spawn(|| {
            keep(Box::<[u64; 8]>::new_uninit());
            assert!(take::<[u64; 8]>().is_some());
            keep(Box::<[u64; 9]>::new_uninit());
            assert!(take::<[u64; 9]>().is_none());
            keep(Box::<[u64; 0]>::new_uninit());
            assert!(take::<[u64; 0]>().is_none());
            for _ in 0..2 {
                keep(Box::<Aligned>::new_uninit());
                assert!(take::<Aligned>().is_none());
                keep(Box::<[u32; 4]>::new_uninit());
                assert!(take::<[u32; 4]>().is_none() && take::<[u64; 2]>().is_none());
            }
        })
        .join()
        .expect("it holds");
    }
}
