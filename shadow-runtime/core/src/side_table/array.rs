//! The memory of a shard: an array of groups of slots, with one word of tags per group.
//!
//! In: a hash. Out: the tags and the slots of a group. Only this file owns such memory. Neighbours: `tags.rs`, the
//! meaning of a word of tags; `shard.rs` and `shard/writer.rs`, the accesses to slots and tags.
//!
//! A group is four slots, each with a key and a value, and fills one cache line. The tags of a group are one word
//! (`tags.rs`). The tags are separate from the groups, so the tags of 64 slots share a cache line. A lookup that misses
//! mostly touches only the tags.
//!
//! # Packed pointer
//!
//! A lookup must load an array and its size atomically, so one pointer has both. The pointer's address, without the low
//! six bits, is the end of the groups and the start of the tags. The low six bits are a shift count: a right shift of a
//! hash by this number gives the home group.
//!
//! ```text
//!     … group 2 | group 1 | group 0 | tags of group 0 | tags of group 1 | tags of group 2 … | link
//!                                   ^
//! ```
//!
//! The tags are at ascending addresses, since a processor's addressing modes add a scaled index and cannot subtract
//! one, and a lookup needs the address of the tags first.
//!
//! The link, in the last word, points to the array that this array has replaced. The links make an intrusive list of
//! all arrays of a shard, without an allocation. Leak detectors can follow the list.
//!
//! - **M1** The pointer of an `Array` comes from `allocate`, or is the pointer of `EMPTY`. At the unpacked pointer
//!   begin `groups` words of tags. Except for `EMPTY`, as many groups lie before that address, and the link lies behind
//!   the tags. All of this memory is initialised. Only `free` frees an array.

#[cfg(not(loom))]
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::side_table::tags::{Matches, Tags};
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// Slots per group, and tags per word.
pub(super) const SLOTS: usize = 4;

/// Assumed size of a cache line, and the alignment of an array: the low bits of an aligned pointer are free for the
/// shift count.
const LINE: usize = 64;

/// Pointer to an array, packed with the array's size.
#[derive(Debug)]
pub(super) struct Array<N> {
    packed: NonNull<Group<N>>,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Group<N> {
    slots: [Slot<N>; SLOTS],
}

/// A key and its value. A lookup reads a slot only if a tag matches, so the contents of a vacant slot do not matter.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Slot<N> {
    pub(super) key: AtomicUsize,
    pub(super) value: AtomicPtr<N>,
}

impl<N> Clone for Array<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Array<N> {}

impl<N> PartialEq for Array<N> {
    fn eq(&self, other: &Self) -> bool {
        self.packed == other.packed
    }
}

/// The array of a new shard: tags without slots.
#[cfg(not(loom))]
#[repr(align(64))]
struct Empty([AtomicU32; LINE / size_of::<AtomicU32>()]);

#[cfg(not(loom))]
static EMPTY: Empty = Empty([const { AtomicU32::new(0) }; LINE / size_of::<AtomicU32>()]);

#[cfg(not(loom))]
impl<N> Array<N> {
    /// An array of two groups without slots, with tags that stay vacant. Allocates no memory.
    pub(super) const fn empty() -> Self {
        let packed = (&raw const EMPTY.0).cast::<u8>().wrapping_add(LINE - 1).cast_mut();
        // Not null: the address is inside of a static.
        Self { packed: NonNull::new(packed.cast()).expect("not null") }
    }

    /// Whether the array is that of [`empty`](Self::empty).
    pub(super) fn is_empty(self) -> bool {
        self.packed == Self::empty().packed
    }

    /// Allocates an array of two to the power of `bits` groups, with all slots vacant. `bits` is at least 1.
    pub(super) fn allocate(bits: u32) -> Self {
        let (layout, groups) = Self::layout(bits);
        // SAFETY: the size of the layout is not 0. Zeros are valid: vacant tags, slots of atomic integers and pointers,
        // and a null link.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let packed = start.wrapping_add(groups + (u64::BITS - bits) as usize);
        Self { packed: NonNull::new(packed.cast()).expect("it is inside of what was allocated") }
    }

    /// Frees the memory of an array.
    ///
    /// # Safety
    ///
    /// The array comes from [`allocate`](Self::allocate), and is freed once. No thread uses the array during or after
    /// the call.
    pub(super) unsafe fn free(self) {
        let (layout, groups) = Self::layout(u64::BITS - self.shift());
        // SAFETY: by M1 the allocation begins with the groups, at this address. `allocate` used the same layout, and no
        // thread uses the array, as this function requires.
        unsafe { dealloc(self.base().cast::<u8>().wrapping_sub(groups), layout) };
    }

    /// Layout of an array, and the size of its groups in bytes.
    fn layout(bits: u32) -> (Layout, usize) {
        let groups = size_of::<Group<N>>() << bits;
        // At least a cache line, so that the packed pointer stays inside of the allocation, and leak detectors
        // recognise it.
        let tags_and_link = ((size_of::<AtomicU32>() << bits) + size_of::<*mut N>()).max(LINE);
        let size = groups + tags_and_link;
        (Layout::from_size_align(size, LINE).expect("it fits the address space"), groups)
    }

    /// Address of the link. By M1 the link exists in an array that comes from [`allocate`](Self::allocate).
    fn link(self) -> *mut *mut N {
        let (layout, groups) = Self::layout(u64::BITS - self.shift());
        self.base().wrapping_byte_add(layout.size() - groups - size_of::<*mut N>()).cast()
    }

    /// Links an array to the array that it is about to replace.
    ///
    /// # Safety
    ///
    /// The array comes from [`allocate`](Self::allocate), and no other thread can access it yet.
    pub(super) unsafe fn set_previous(self, previous: Self) {
        // SAFETY: by M1 the link is there; no other thread can access the array, as this function requires.
        unsafe { self.link().write(previous.into_raw()) };
    }

    /// The array that this array has replaced, except for the empty array.
    #[cfg(test)]
    pub(super) fn previous(self) -> Option<Self> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: by M1 the link is there; `set_previous` runs before the array is published, so no write races with
        // this read.
        let previous = unsafe { self.link().read() };
        // SAFETY: a link is null, or comes from `into_raw` in `set_previous`.
        (!previous.is_null()).then(|| unsafe { Self::from_raw(previous) }).filter(|previous| !previous.is_empty())
    }

    #[inline]
    fn shift(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
        let shift = (self.packed.addr().get() % LINE) as u32;
        shift
    }

    /// Start of the tags, and end of the groups.
    #[inline]
    fn base(self) -> *mut Group<N> {
        self.packed.as_ptr().map_addr(|address| address & !(LINE - 1))
    }

    /// Word of tags of a group.
    ///
    /// # Safety
    ///
    /// `group` is less than `groups`, and the array is not freed during `'array`.
    #[inline]
    unsafe fn tag_word<'array>(self, group: usize) -> &'array AtomicU32 {
        // SAFETY: `group` exists, so by M1 the word is there, and it stays allocated during `'array`.
        unsafe { &*self.base().cast::<AtomicU32>().wrapping_add(group) }
    }

    /// One slot of a group.
    ///
    /// # Safety
    ///
    /// The array is not the empty one, `group` is less than `groups`, `index` is less than [`SLOTS`], and the array is
    /// not freed during `'array`.
    #[inline]
    pub(super) unsafe fn slot<'array>(self, group: usize, index: usize) -> &'array Slot<N> {
        // SAFETY: the slot exists, so by M1 its memory is there, and it stays allocated during `'array`.
        unsafe { &*self.base().wrapping_sub(group).wrapping_sub(1).cast::<Slot<N>>().wrapping_add(index) }
    }

    /// The first slot of a group among `slots`.
    ///
    /// # Safety
    ///
    /// The array is not the empty one, `group` is less than `groups`, `slots` is not empty, and the array is not freed
    /// during `'array`.
    #[inline]
    pub(super) unsafe fn first_of<'array>(self, group: usize, slots: &Matches) -> &'array Slot<N> {
        // The bit of slot `n` is `8 * n + 7`. Scaling this number to bytes takes one step less than scaling `n`.
        let scale = size_of::<Slot<N>>() / 8;
        let group = self.base().wrapping_sub(group).wrapping_sub(1).cast::<Slot<N>>();
        let slot = group.wrapping_byte_add(slots.0.trailing_zeros() as usize * scale).wrapping_byte_sub(7 * scale);
        // SAFETY: `slots` has a slot, so by M1 the slot's memory is there, and it stays allocated during `'array`.
        unsafe { &*slot }
    }
}

/// Twin for loom, of boxed atomics: loom's atomics are larger than std's, and zeros are no valid representation.
#[cfg(loom)]
mod modelled {
    use std::cell::Cell;
    use std::ptr::NonNull;

    use super::{Array, AtomicPtr, AtomicU32, AtomicUsize, LINE, Matches, SLOTS, Slot};

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
            // SAFETY: the pointer comes from `boxed`, and callers do not free an array that they still use.
            unsafe { &*self.base() }.slots.is_empty()
        }

        pub(in crate::side_table) fn allocate(bits: u32) -> Self {
            Self::boxed(bits, SLOTS << bits)
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

        pub(in crate::side_table) fn previous(self) -> Option<Self> {
            // SAFETY: the pointer comes from `boxed`, and callers do not free an array that they still use.
            unsafe { &*self.base() }.previous.get().filter(|previous| !previous.is_empty())
        }

        pub(in crate::side_table) unsafe fn free(self) {
            // SAFETY: the pointer comes from `Box::into_raw` in `boxed`, and no thread uses the array, as `free`
            // requires.
            drop(unsafe { Box::from_raw(self.base()) });
        }

        pub(super) fn shift(self) -> u32 {
            #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
            let shift = (self.packed.addr().get() % LINE) as u32;
            shift
        }

        fn base(self) -> *mut Boxed<N> {
            self.packed.as_ptr().wrapping_byte_sub(self.packed.addr().get() % LINE).cast()
        }

        pub(super) unsafe fn tag_word<'array>(self, group: usize) -> &'array AtomicU32 {
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
}

impl<N> Array<N> {
    /// The representation for a shard's atomic pointer.
    #[inline]
    pub(super) const fn into_raw(self) -> *mut N {
        self.packed.as_ptr().cast()
    }

    /// Restores an array from its representation.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw).
    #[inline]
    pub(super) unsafe fn from_raw(raw: *mut N) -> Self {
        // SAFETY: `raw` comes from `into_raw`, so it is not null.
        Self { packed: unsafe { NonNull::new_unchecked(raw.cast()) } }
    }

    /// Number of groups: a power of two, and at least 2.
    #[inline]
    pub(super) fn groups(self) -> usize {
        1 << (u64::BITS - self.shift())
    }

    /// Home group of a key with this hash.
    #[inline]
    pub(super) fn home(self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "there are so many groups in memory")]
        let group = (hash >> self.shift()) as usize;
        group
    }

    /// Next group of a probe sequence.
    #[inline]
    pub(super) fn after(self, group: usize) -> usize {
        (group + 1) % self.groups()
    }

    /// Loads the tags of a group.
    ///
    /// # Safety
    ///
    /// `group` is less than `groups`, and the array is not freed during the call.
    #[inline]
    pub(super) unsafe fn tags(self, group: usize, order: Ordering) -> Tags {
        // SAFETY: the group exists, and the array is not freed during the call, so the word may be borrowed for the
        // load.
        Tags(unsafe { self.tag_word(group) }.load(order))
    }

    /// Stores the tags of a group.
    ///
    /// # Safety
    ///
    /// `group` is less than `groups`, the array is not freed during the call, and no other thread stores tags.
    #[inline]
    pub(super) unsafe fn set_tags(self, group: usize, tags: Tags, order: Ordering) {
        // SAFETY: the group exists, and the array is not freed during the call, so the word may be borrowed for the
        // store.
        unsafe { self.tag_word(group) }.store(tags.0, order);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_an_array_overlaps_and_nothing_is_wasted() {
        for bits in 1..8 {
            let array = Array::<u8>::allocate(bits);
            assert!(!array.is_empty());
            assert_eq!(array.groups(), 1 << bits);
            let (layout, groups) = Array::<u8>::layout(bits);
            assert_eq!(groups % LINE, 0);
            assert!(layout.size() < 17 * SLOTS * array.groups() + LINE, "{layout:?}");
            let end = array.base().addr() + layout.size() - groups;
            assert!(array.packed.addr().get() < end, "{layout:?}");
            for group in 0..array.groups() {
                // SAFETY: the group exists, no other thread has the array, and the test does not free it.
                unsafe { array.set_tags(group, Tags(u32::MAX - u32::try_from(group).unwrap()), Ordering::Relaxed) };
                for index in 0..SLOTS {
                    // SAFETY: the array comes from `allocate`, the slot exists, and the test does not free the array.
                    unsafe { array.slot(group, index) }.key.store(group * SLOTS + index, Ordering::Relaxed);
                }
            }
            for group in 0..array.groups() {
                // SAFETY: the group exists, and the test does not free the array.
                let tags = unsafe { array.tags(group, Ordering::Relaxed) };
                assert_eq!(tags.0, u32::MAX - u32::try_from(group).unwrap());
                for index in 0..SLOTS {
                    // SAFETY: the array comes from `allocate`, the slot exists, and the test does not free the array.
                    let key = unsafe { array.slot(group, index) }.key.load(Ordering::Relaxed);
                    assert_eq!(key, group * SLOTS + index);
                }
            }
        }
    }

    #[test]
    fn groups_come_one_after_the_other_and_the_first_after_the_last() {
        let array = Array::<u8>::allocate(3);
        assert!((0..8).map(|group| array.after(group)).eq([1, 2, 3, 4, 5, 6, 7, 0]));
        assert_eq!([array.home(0), array.home(5 << 61 | 7), array.home(u64::MAX)], [0, 5, 7]);
    }

    #[test]
    fn an_empty_array_has_room_for_nothing() {
        let array = Array::<u8>::empty();
        assert!(array.is_empty());
        assert_eq!(array.groups(), 2);
        for group in [array.home(0), array.home(u64::MAX)] {
            // SAFETY: a home group exists, and the empty array is a static.
            assert!(unsafe { array.tags(group, Ordering::Relaxed) }.taken().eq([]));
        }
    }
}
