//! `Arc` and `Weak` for the models of `arc.rs`: as in std, but with counts that loom sees.
//!
//! In: values. Out: the part of std's interface that the crate uses. The operations on the two counts are those of
//! `alloc::sync`, in the same order and with the same orderings. As in std, `get_mut` locks the weak count by the
//! greatest number, and `downgrade` waits for the unlock.
//!
//! Allocations are blocks of a small pool, one pool per thread of the system. An allocation takes the first free block.
//! So all runs of a model have the same addresses, and a freed address is soon reused.

use std::alloc::{Layout, alloc, handle_alloc_error};
use std::cell::Cell;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use loom::sync::atomic::{AtomicUsize, Ordering, fence};

pub(crate) struct Arc<T: ?Sized> {
    inner: NonNull<Inner<T>>,
}

pub(crate) struct Weak<T: ?Sized> {
    inner: NonNull<Inner<T>>,
}

/// The two counts of std. All strong references together hold one weak count.
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

loom::lazy_static! {
    /// For each block: stored by `Release` when the block is freed, and loaded by `Acquire` when the block is
    /// allocated. An allocator orders a free before the next allocation of the same memory.
    static ref FREED: [AtomicUsize; BLOCKS] = std::array::from_fn(|_| AtomicUsize::new(0));
}

std::thread_local! {
    /// The pool, allocated at the first use, and whether each block is allocated. Loom runs all threads of a model on
    /// one thread of the system.
    static FIRST: Cell<Option<NonNull<Block>>> = const { Cell::new(None) };
    static IN_USE: Cell<[bool; BLOCKS]> = const { Cell::new([false; BLOCKS]) };
}

// SAFETY: the bounds are those of std: an `Arc` shares the `T`, and drops the `T` on any thread.
unsafe impl<T: ?Sized + Sync + Send> Send for Arc<T> {}
// SAFETY: the bounds are those of std: a shared `Arc` gives access to the `T`, and clones of the `Arc`.
unsafe impl<T: ?Sized + Sync + Send> Sync for Arc<T> {}
// SAFETY: the bounds are those of std: a `Weak` becomes an `Arc` by `upgrade`.
unsafe impl<T: ?Sized + Sync + Send> Send for Weak<T> {}
// SAFETY: the bounds are those of std: a shared `Weak` gives an `Arc` by `upgrade`.
unsafe impl<T: ?Sized + Sync + Send> Sync for Weak<T> {}

impl<T> Arc<T> {
    pub(crate) fn new(value: T) -> Self {
        let counts = Counts { strong: AtomicUsize::new(1), weak: AtomicUsize::new(1) };
        let inner = allocate::<Inner<T>>();
        // SAFETY: `allocate` asserts size and alignment, and returns a block without another reference.
        unsafe { inner.write(Inner { counts, value: ManuallyDrop::new(value) }) };
        Self { inner }
    }

    /// The value, if this is the only `Arc`. `Weak`s may exist. Takes the strong count from 1 to 0 by a CAS.
    pub(crate) fn try_unwrap(this: Self) -> Result<T, Self> {
        if this.counts().strong.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Err(this);
        }
        fence(Ordering::Acquire);
        let this = ManuallyDrop::new(this);
        // SAFETY: the allocation is live: this `Arc` has a strong count's share of the weak count, which is released
        // below.
        let value = unsafe { &raw const (*this.inner.as_ptr()).value };
        // SAFETY: the strong count was 1 and is 0 now, so no other `Arc` exists, now or later.
        let value = unsafe { value.read() };
        drop(Weak { inner: this.inner });
        Ok(ManuallyDrop::into_inner(value))
    }
}

impl<T: ?Sized> Arc<T> {
    pub(crate) fn as_ptr(this: &Self) -> *const T {
        value_of(this.inner)
    }

    pub(crate) fn downgrade(this: &Self) -> Weak<T> {
        let weak = &this.counts().weak;
        let one_more = |count: usize| count.checked_add(1);
        while weak.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more).is_err() {
            loom::thread::yield_now();
        }
        Weak { inner: this.inner }
    }

    /// The value, if this is the only `Arc`, and there is no `Weak`.
    pub(crate) fn get_mut(this: &mut Self) -> Option<&mut T> {
        let counts = this.counts();
        counts.weak.compare_exchange(1, usize::MAX, Ordering::Acquire, Ordering::Relaxed).ok()?;
        let is_only = counts.strong.load(Ordering::Acquire) == 1;
        counts.weak.store(1, Ordering::Release);
        // SAFETY: the allocation is live while an `Arc` exists.
        let value = unsafe { &raw mut (*this.inner.as_ptr()).value };
        // SAFETY: no other `Arc` and no `Weak` exists, and `this` is borrowed exclusively.
        is_only.then(|| unsafe { &mut **value })
    }

    fn counts(&self) -> &Counts {
        // SAFETY: the allocation is live while an `Arc` exists.
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
        // SAFETY: the allocation and the value are live while an `Arc` exists.
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
        // SAFETY: no `Arc` exists any more, and a `Weak` does not access the value.
        let value = unsafe { &mut (*self.inner.as_ptr()).value };
        // SAFETY: the last `Arc` drops the value, once.
        unsafe { ManuallyDrop::drop(value) };
        drop(weak);
    }
}

impl<T: ?Sized> Weak<T> {
    pub(crate) fn strong_count(&self) -> usize {
        self.counts().strong.load(Ordering::Relaxed)
    }

    pub(crate) fn weak_count(&self) -> usize {
        let weak = self.counts().weak.load(Ordering::Acquire);
        if self.counts().strong.load(Ordering::Relaxed) == 0 { 0 } else { weak - 1 }
    }

    pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
        let one_more = |count| (count != 0).then_some(count + 1);
        let upgraded = self.counts().strong.fetch_update(Ordering::Acquire, Ordering::Relaxed, one_more);
        upgraded.ok().map(|_| Arc { inner: self.inner })
    }

    pub(crate) fn into_raw(self) -> *const T {
        value_of(ManuallyDrop::new(self).inner)
    }

    /// # Safety
    ///
    /// `value` comes from [`into_raw`](Self::into_raw), and the caller gives up its weak count to the result.
    pub(crate) unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: the `Weak` of `value` keeps the allocation. The value may have been dropped; only the alignment is
        // used.
        let align = align_of_val(unsafe { &*(value as *const ManuallyDrop<T>) });
        let inner = value.wrapping_byte_sub(size_of::<Counts>().next_multiple_of(align)).cast_mut() as *mut Inner<T>;
        Self { inner: NonNull::new(inner).expect("the address of counts") }
    }

    fn counts(&self) -> &Counts {
        // SAFETY: the counts are live while a `Weak` exists.
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
        // SAFETY: the weak count was 1, so no other `Arc` or `Weak` exists.
        let counts = unsafe { &mut (*self.inner.as_ptr()).counts };
        // Exclusive accesses, which loom checks for a data race: all uses of the allocation happen before the free.
        counts.strong.with_mut(|_| ());
        counts.weak.with_mut(|_| ());
        // SAFETY: no other `Arc` or `Weak` exists. The last `Arc` has dropped the value, so only the counts are left.
        unsafe { std::ptr::drop_in_place(counts) };
        free(self.inner.cast());
    }
}

fn value_of<T: ?Sized>(inner: NonNull<Inner<T>>) -> *const T {
    // SAFETY: the allocation is live while an `Arc` or a `Weak` exists.
    unsafe { &raw const (*inner.as_ptr()).value as *const T }
}

fn first_block() -> NonNull<Block> {
    FIRST.with(|first| {
        first.get().unwrap_or_else(|| {
            let layout = Layout::new::<[Block; BLOCKS]>();
            // SAFETY: the size of the layout is not 0.
            let blocks = unsafe { alloc(layout) };
            let blocks = NonNull::new(blocks.cast()).unwrap_or_else(|| handle_alloc_error(layout));
            first.set(Some(blocks));
            blocks
        })
    })
}

fn allocate<T>() -> NonNull<T> {
    const { assert!(size_of::<T>() <= size_of::<Block>() && align_of::<T>() <= align_of::<Block>()) };
    let mut in_use = IN_USE.get();
    let index = in_use.iter().position(|in_use| !in_use).expect("a model has few hosts, and gives all of them back");
    in_use[index] = true;
    IN_USE.set(in_use);
    FREED[index].swap(1, Ordering::Acquire);
    // SAFETY: `index` is an index into the pool, which has `BLOCKS` blocks.
    unsafe { first_block().add(index) }.cast()
}

fn free(block: NonNull<Block>) {
    // SAFETY: `block` is a block of this thread's pool, so both pointers are into one allocation.
    let index = unsafe { block.offset_from(first_block()) };
    let index = usize::try_from(index).expect("a block");
    FREED[index].store(0, Ordering::Release);
    let mut in_use = IN_USE.get();
    in_use[index] = false;
    IN_USE.set(in_use);
}
