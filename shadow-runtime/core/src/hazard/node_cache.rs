//! A thread-local cache of node memory: the memory of the last small node that the thread has freed, for its next node.
//!
//! In: the memory of a node, owned by the caller. Out: the same memory, for a new node of the same size. Neighbour:
//! `node.rs`.
//!
//! An update allocates a node, and frees the node that was replaced, of the same size and still in the processor's
//! cache. With this cache an update calls no allocator, which for a small value takes longer than the rest of the
//! update, and even longer if several threads update one field, since a thread then frees memory that a different
//! thread has allocated.
//!
//! A thread caches one [`Block`], and frees the block at the end of the thread. Larger nodes, and nodes of a different
//! alignment, always use the allocator. The registration of the destructor for the end of the thread may allocate, and
//! an allocator may update fields, both at an allocation and at a deallocation. During the registration the cache is
//! disabled, and a block is freed only when the cache is consistent, so reentrant calls are harmless. The cache is also
//! disabled from the destructor on, when the destructors of other thread-locals may still update fields.

use std::alloc::{Layout, dealloc};
use std::cell::Cell;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ptr::NonNull;

use crate::hazard::node::Node;
use crate::sync::local;

/// The largest size of a cached block: a node with a value of a few words.
const MOST: usize = 64;

/// The alignment of a cached block: that of a node, unless the alignment of the value is greater.
const ALIGN: usize = align_of::<Node<()>>();

/// Uninitialised memory.
///
/// - **S1** `Box` has allocated the memory for a type of this size, which is not 0, and of the alignment [`ALIGN`]. The
///   block has exclusive ownership of the memory.
struct Block {
    memory: NonNull<u8>,
    size: usize,
}

impl Block {
    /// Whether the memory of a `T` is cached: small, and of the alignment [`ALIGN`]. Never under loom, where models
    /// have their own allocator, which recycles memory at once.
    const fn is_for<T>() -> bool {
        !cfg!(loom) && 0 < size_of::<T>() && size_of::<T>() <= MOST && align_of::<T>() == ALIGN
    }

    /// The block of `memory`. If the memory of a `T` is not cached, frees `memory` and returns `None`.
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
        // SAFETY: by S1 the memory was allocated by `Box`, with the global allocator and this layout, and has no other
        // owner.
        unsafe { dealloc(self.memory.as_ptr(), layout) };
    }
}

struct NodeCache {
    block: Cell<Option<Block>>,
    /// Whether a destructor is registered that frees the block at the end of the thread. `None` before the first
    /// attempt.
    is_freed: Cell<Option<bool>>,
}

/// Frees the cached block on drop, and disables the cache.
struct OnExit;

local! {
    /// Without a destructor, so that an update need not test for a destroyed thread-local.
    static CACHE: ManuallyDrop<NodeCache> =
        ManuallyDrop::new(NodeCache { block: Cell::new(None), is_freed: Cell::new(None) });

    static ON_EXIT: OnExit = OnExit;
}

/// The cached memory of this thread, if the memory has the layout of a `T`.
#[inline]
pub(super) fn take<T>() -> Option<Box<MaybeUninit<T>>> {
    if !const { Block::is_for::<T>() } {
        return None;
    }
    // An emulated thread-local may be destroyed before the end of the thread.
    let block = CACHE.try_with(|cache| cache.take(size_of::<T>())).ok().flatten()?;
    let memory = ManuallyDrop::new(block).memory.cast();
    // SAFETY: by S1 `Box` has allocated the memory with the size and the alignment of a `T`, and the memory has no
    // other owner.
    Some(unsafe { Box::from_raw(memory.as_ptr()) })
}

/// Caches the memory of a `T` for this thread, and frees the block that was cached before. Or frees `memory`.
#[inline]
pub(super) fn keep<T>(memory: Box<MaybeUninit<T>>) {
    if let Some(block) = Block::of(memory) {
        let _ = CACHE.try_with(|cache| cache.keep(block));
    }
}

impl NodeCache {
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
        if self.is_freed.get() == Some(true) || self.register() {
            // The drop of the old block may reenter this function, so the new block is already in the cell.
            drop(self.block.replace(Some(block)));
        }
    }

    /// Registers the destructor for the end of the thread. Returns false during the registration, from the destructor
    /// on, and after a failed registration.
    #[cold]
    fn register(&self) -> bool {
        if self.is_freed.get().is_none() {
            self.is_freed.set(Some(false));
            self.is_freed.set(Some(ON_EXIT.try_with(|_| ()).is_ok()));
        }
        self.is_freed.get() == Some(true)
    }
}

impl Drop for OnExit {
    fn drop(&mut self) {
        let _ = CACHE.try_with(|cache| {
            cache.is_freed.set(Some(false));
            drop(cache.block.take());
        });
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::thread;

    use super::*;

    /// The number of words in the largest cached block.
    const FIT: usize = MOST / size_of::<u64>();

    /// A type with the alignment of a node, on processors of 32 bits, too.
    #[repr(align(8))]
    struct Words<const COUNT: usize>([u64; COUNT]);

    /// Another type of the same size as `Words<2>`.
    #[repr(align(8))]
    struct Pair(#[expect(dead_code, reason = "for its size")] [u64; 2]);

    fn address_of<T>(memory: &MaybeUninit<T>) -> usize {
        memory.as_ptr().addr()
    }

    #[test]
    fn the_cache_has_one_block_for_nodes_of_its_size() {
        thread::spawn(|| {
            assert!(take::<Words<2>>().is_none());
            let [first, second] = [(); 2].map(|()| Box::<Words<2>>::new_uninit());
            let last = address_of(&second);
            keep(first);
            keep(second);
            assert!(take::<Words<3>>().is_none() && take::<Words<1>>().is_none());
            let again = take::<Pair>().expect("it was kept");
            assert_eq!(address_of(&again), last);
            assert!(take::<Pair>().is_none());
            keep(Box::<Words<3>>::new_uninit());
            keep(again);
            assert!(take::<Words<3>>().is_none());
            assert_eq!(take::<Words<2>>().map(|memory| address_of(&memory)), Some(last));
        })
        .join()
        .expect("it holds");
    }

    #[test]
    fn large_empty_and_overaligned_memory_is_not_cached() {
        #[repr(align(16))]
        struct Aligned(#[expect(dead_code, reason = "for its size")] u64);
        thread::spawn(|| {
            keep(Box::<Node<u64>>::new_uninit());
            assert!(take::<Node<u64>>().is_some());
            keep(Box::<Words<FIT>>::new_uninit());
            assert!(take::<Words<FIT>>().is_some());
            keep(Box::<Words<{ FIT + 1 }>>::new_uninit());
            assert!(take::<Words<{ FIT + 1 }>>().is_none());
            keep(Box::<Words<0>>::new_uninit());
            assert!(take::<Words<0>>().is_none());
            for _ in 0..2 {
                keep(Box::<Aligned>::new_uninit());
                assert!(take::<Aligned>().is_none());
                keep(Box::<[u16; 8]>::new_uninit());
                assert!(take::<[u16; 8]>().is_none() && take::<Pair>().is_none());
            }
        })
        .join()
        .expect("it holds");
    }
}
