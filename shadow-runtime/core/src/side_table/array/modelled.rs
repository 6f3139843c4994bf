//! The memory of a shard under loom, in place of a part of `../array.rs`: boxed atomics. loom's atomics are larger than
//! std's, and zeros are no valid representation.
//!
//! In: a size, or an array. Out: tags and slots, by the methods of `../array.rs`. Neighbour: `../array.rs`, with the
//! contracts of these methods.

use std::cell::Cell;
use std::ptr::NonNull;

use super::{Array, LINE, Matches, SLOTS, Slot};
use crate::fallible::OutOfMemory;
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize};

#[repr(align(64))]
struct Boxed<N> {
    tags: Vec<AtomicU32>,
    slots: Vec<Slot<N>>,
    /// Written before the array is published.
    previous: Cell<Option<Array<N>>>,
}

impl<N> Array<N> {
    pub(in crate::side_table) fn empty() -> Self {
        Self::boxed(1, 0)
    }

    pub(in crate::side_table) fn is_empty(self) -> bool {
        // SAFETY: the pointer comes from `boxed`, and by the contract of `free` no thread uses an array after `free`.
        unsafe { &*self.base() }.slots.is_empty()
    }

    pub(in crate::side_table) fn allocate(bits: u32) -> Self {
        Self::boxed(bits, SLOTS << bits)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as without loom")]
    pub(in crate::side_table) fn try_allocate(bits: u32) -> Result<Self, OutOfMemory> {
        Ok(Self::allocate(bits))
    }

    fn boxed(bits: u32, slots: usize) -> Self {
        let slot = || Slot::<N> { key: AtomicUsize::new(0), value: AtomicPtr::new(std::ptr::null_mut()) };
        let boxed = Boxed {
            tags: (0..1 << bits).map(|_| AtomicU32::new(0)).collect(),
            slots: (0..slots).map(|_| slot()).collect(),
            previous: Cell::new(None),
        };
        let packed = Box::into_raw(Box::new(boxed)).wrapping_byte_add((u64::BITS - bits) as usize);
        Self { packed: NonNull::new(packed.cast()).unwrap() }
    }

    pub(in crate::side_table) unsafe fn set_previous(self, previous: Self) {
        // SAFETY: the pointer comes from `boxed`, and no other thread can access the array before publication.
        unsafe { &*self.base() }.previous.set(Some(previous));
    }

    #[cfg(test)]
    pub(in crate::side_table) fn previous(self) -> Option<Self> {
        // SAFETY: the pointer comes from `boxed`, and by the contract of `free` no thread uses an array after `free`.
        unsafe { &*self.base() }.previous.get().filter(|previous| !previous.is_empty())
    }

    pub(in crate::side_table) unsafe fn free(self) {
        // SAFETY: the pointer comes from `Box::into_raw` in `boxed`, and no thread uses the array, as `free` requires.
        drop(unsafe { Box::from_raw(self.base()) });
    }

    pub(in crate::side_table) fn shift(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
        let shift = (self.packed.addr().get() % LINE) as u32;
        shift
    }

    fn base(self) -> *mut Boxed<N> {
        self.packed.as_ptr().wrapping_byte_sub(self.packed.addr().get() % LINE).cast()
    }

    pub(in crate::side_table) unsafe fn tag_word<'array>(self, group: usize) -> &'array AtomicU32 {
        // SAFETY: the pointer comes from `boxed`, and the array is not freed during `'array`, as this function
        // requires.
        &unsafe { &*self.base() }.tags[group]
    }

    pub(in crate::side_table) unsafe fn slot<'array>(self, group: usize, index: usize) -> &'array Slot<N> {
        // SAFETY: the pointer comes from `boxed`, and the array is not freed during `'array`, as this function
        // requires.
        &unsafe { &*self.base() }.slots[group * SLOTS + index]
    }

    pub(in crate::side_table) unsafe fn first_of<'array>(self, group: usize, slots: &Matches) -> &'array Slot<N> {
        // SAFETY: the array is not freed during `'array`, as this function requires; an index out of bounds panics.
        unsafe { self.slot(group, slots.0.trailing_zeros() as usize / 8) }
    }
}
