//! An `Arc` and its `Weak` for the models of `tests/loom_arc.rs`: those of std's, but that the model checker sees the
//! counts.
//!
//! In: values. Out: the part of std's interface that is used of them, with the operations on the two counts of
//! `alloc::sync`, in the same order and of the same orderings; `downgrade` is one addition, since nothing here locks
//! the count that std's would wait for. It is compiled under a model checker only.
//!
//! Allocations are in a few blocks of each thread of the system, of which the first that is free is taken: so all runs
//! of a model have the same addresses, and one that is given back is used again soon.
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    reason = "for the models"
)]

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::sync::{AtomicUsize, Ordering, array_of, fence, shared};

pub struct Arc<T: ?Sized> {
    inner: NonNull<Inner<T>>,
}

pub struct Weak<T: ?Sized> {
    inner: NonNull<Inner<T>>,
}

/// Both counts as std has them: all strong ones together count as one weak.
#[repr(C)]
struct Inner<T: ?Sized> {
    counts: Counts,
    value: ManuallyDrop<T>,
}

struct Counts {
    strong: AtomicUsize,
    weak: AtomicUsize,
}

const BLOCKS: usize = 8;

#[repr(align(128))]
struct Block {
    _room: [u8; 256],
}

shared! {
    /// For each block, what is stored by `Release` when it is given back, and loaded by `Acquire` when it is taken: who
    /// is given memory by an allocator comes after whoever has freed it.
    static HANDED_ON: [AtomicUsize; BLOCKS] = array_of!(BLOCKS, AtomicUsize::new(0));
}

std::thread_local! {
    /// Blocks, once they are needed, and whether each is taken. All threads of a model are in one of the system.
    static FIRST: Cell<Option<NonNull<Block>>> = const { Cell::new(None) };
    static TAKEN: Cell<[bool; BLOCKS]> = const { Cell::new([false; BLOCKS]) };
}

// SAFETY: as of std's.
unsafe impl<T: ?Sized + Sync + Send> Send for Arc<T> {}
// SAFETY: as of std's.
unsafe impl<T: ?Sized + Sync + Send> Sync for Arc<T> {}
// SAFETY: as of std's.
unsafe impl<T: ?Sized + Sync + Send> Send for Weak<T> {}
// SAFETY: as of std's.
unsafe impl<T: ?Sized + Sync + Send> Sync for Weak<T> {}

impl<T> Arc<T> {
    pub fn new(value: T) -> Self {
        let counts = Counts { strong: AtomicUsize::new(1), weak: AtomicUsize::new(1) };
        let inner = take_block::<Inner<T>>();
        // SAFETY: a block has room for it, as `take_block` asserts, and is nobody else's.
        unsafe { inner.write(Inner { counts, value: ManuallyDrop::new(value) }) };
        Self { inner }
    }

    /// The value, if this is the only `Arc`; what there is beside it are `Weak`s.
    pub fn try_unwrap(this: Self) -> Result<T, Self> {
        if this.counts().strong.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Err(this);
        }
        fence(Ordering::Acquire);
        let this = ManuallyDrop::new(this);
        // SAFETY: it is there while there is an `Arc`.
        let value = unsafe { &raw const (*this.inner.as_ptr()).value };
        // SAFETY: there is no other, and never will be.
        let value = unsafe { value.read() };
        drop(Weak { inner: this.inner });
        Ok(ManuallyDrop::into_inner(value))
    }
}

impl<T: ?Sized> Arc<T> {
    pub fn as_ptr(this: &Self) -> *const T {
        value_of(this.inner)
    }

    pub fn downgrade(this: &Self) -> Weak<T> {
        this.counts().weak.fetch_add(1, Ordering::Acquire);
        Weak { inner: this.inner }
    }

    fn counts(&self) -> &Counts {
        // SAFETY: it is there while there is an `Arc`.
        &unsafe { self.inner.as_ref() }.counts
    }
}

impl<T: ?Sized> Clone for Arc<T> {
    fn clone(&self) -> Self {
        self.counts().strong.fetch_add(1, Ordering::Relaxed);
        Self { inner: self.inner }
    }
}

impl<T: ?Sized> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: it is there while there is an `Arc`.
        &unsafe { self.inner.as_ref() }.value
    }
}

impl<T: ?Sized> Drop for Arc<T> {
    fn drop(&mut self) {
        if self.counts().strong.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        let weak = Weak { inner: self.inner };
        // SAFETY: there is no `Arc` any more, and a `Weak` does not look at the value.
        let value = unsafe { &mut (*self.inner.as_ptr()).value };
        // SAFETY: this happens once.
        unsafe { ManuallyDrop::drop(value) };
        drop(weak);
    }
}

impl<T: ?Sized> Weak<T> {
    pub fn strong_count(&self) -> usize {
        self.counts().strong.load(Ordering::Relaxed)
    }

    pub fn weak_count(&self) -> usize {
        let weak = self.counts().weak.load(Ordering::Acquire);
        if self.counts().strong.load(Ordering::Relaxed) == 0 { 0 } else { weak - 1 }
    }

    pub fn upgrade(&self) -> Option<Arc<T>> {
        let one_more = |count| (count != 0).then_some(count + 1);
        let upgraded = self.counts().strong.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more);
        upgraded.ok().map(|_| Arc { inner: self.inner })
    }

    pub fn into_raw(self) -> *const T {
        value_of(ManuallyDrop::new(self).inner)
    }

    /// # Safety
    ///
    /// It comes from [`into_raw`](Self::into_raw), and is this one's from now on.
    pub unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the memory is there, for the `Weak` that it comes from; a `ManuallyDrop` may have been dropped.
        let align = align_of_val(unsafe { &*(value as *const ManuallyDrop<T>) });
        let inner = value.wrapping_byte_sub(size_of::<Counts>().next_multiple_of(align)).cast_mut() as *mut Inner<T>;
        Self { inner: NonNull::new(inner).expect("the address of counts") }
    }

    fn counts(&self) -> &Counts {
        // SAFETY: the counts are there while there is a `Weak`.
        unsafe { &(*self.inner.as_ptr()).counts }
    }
}

impl<T: ?Sized> Clone for Weak<T> {
    fn clone(&self) -> Self {
        self.counts().weak.fetch_add(1, Ordering::Relaxed);
        Self { inner: self.inner }
    }
}

impl<T: ?Sized> Drop for Weak<T> {
    fn drop(&mut self) {
        if self.counts().weak.fetch_sub(1, Ordering::Release) != 1 {
            return;
        }
        fence(Ordering::Acquire);
        // SAFETY: nobody else has it.
        let counts = unsafe { &mut (*self.inner.as_ptr()).counts };
        // What frees memory comes after all that was done with it.
        counts.strong.with_mut(|_| ());
        counts.weak.with_mut(|_| ());
        // SAFETY: nobody else has it; the value was dropped with the last `Arc`.
        unsafe { std::ptr::drop_in_place(counts) };
        give_back(self.inner.cast());
    }
}

fn value_of<T: ?Sized>(inner: NonNull<Inner<T>>) -> *const T {
    // SAFETY: it is not freed while there is an `Arc` or a `Weak`.
    unsafe { &raw const (*inner.as_ptr()).value as *const T }
}

fn first_block() -> NonNull<Block> {
    FIRST.with(|first| {
        first.get().unwrap_or_else(|| {
            let layout = Layout::new::<[Block; BLOCKS]>();
            // SAFETY: its size is not 0.
            let blocks = unsafe { alloc(layout) };
            let blocks = NonNull::new(blocks.cast()).unwrap_or_else(|| handle_alloc_error(layout));
            first.set(Some(blocks));
            blocks
        })
    })
}

fn take_block<T>() -> NonNull<T> {
    const { assert!(size_of::<T>() <= size_of::<Block>() && align_of::<T>() <= align_of::<Block>()) };
    let mut taken = TAKEN.get();
    let free = taken.iter().position(|taken| !taken).expect("a model has few hosts, and gives all of them back");
    taken[free] = true;
    TAKEN.set(taken);
    HANDED_ON[free].swap(1, Ordering::Acquire);
    // SAFETY: there are so many blocks.
    unsafe { first_block().add(free) }.cast()
}

fn give_back(block: NonNull<Block>) {
    // SAFETY: it is one of the blocks.
    let index = unsafe { block.offset_from(first_block()) };
    let index = usize::try_from(index).expect("a block");
    HANDED_ON[index].store(0, Ordering::Release);
    let mut taken = TAKEN.get();
    taken[index] = false;
    TAKEN.set(taken);
}
