//! The memory of a shard: an array of groups, and a word of tags for each.
//!
//! In: a hash. Out: the tags and the slots of its group. This is the only file that owns such memory.
//!
//! A group is four slots, each a key and a value, which fill one cache line. Its tags are one word (`tags.rs`). They
//! are apart from the groups, so that the tags of 64 slots share a cache line; whoever looks for what is not there
//! mostly touches nothing else.
//!
//! # One word for all
//!
//! A reader has to get the array and its size at once, so both are in one pointer: it points to the tags, before which
//! the groups lie, and its low six bits are the number of bits by which a hash is shifted to the right to give its
//! group.
//!
//! ```text
//!     … group 2 | group 1 | group 0 | tags of group 0 | tags of group 1 | tags of group 2 … | link
//!                                   ^
//! ```
//!
//! The tags go up, since a processor adds a scaled number to an address but does not take one away from it, and their
//! address is needed first.
//!
//! The link, in the last word, points to the array that this one has replaced. It makes a list of all arrays of a shard
//! without an allocation, which what looks for leaks can follow.
//!
//! - **M1** The pointer of an `Array` comes from `allocate`, or is the one of `EMPTY`. From it, `groups` words of tags
//!   lie behind and, but for `EMPTY`, as many groups before, and the link behind the tags, all made. Only `free` frees
//!   an array.

#[cfg(not(loom))]
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::side_table::tags::{Matches, Tags};
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// How many slots a group has, which is how many tags fit a word.
pub(super) const SLOTS: usize = 4;

/// How large a cache line is taken to be, which the pointer's low bits live on.
const LINE: usize = 64;

/// A pointer to an array, with its size.
#[derive(Debug)]
pub(super) struct Array<N> {
    packed: NonNull<Group<N>>,
}

#[derive(Debug)]
#[repr(C, align(64))]
struct Group<N> {
    slots: [Slot<N>; SLOTS],
}

/// A key and its value. A slot is only looked at when its tag says so, so nothing need be in a vacant one.
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

/// Where a table begins: with room for nothing.
#[cfg(not(loom))]
#[repr(align(64))]
struct Empty([AtomicU32; LINE / size_of::<AtomicU32>()]);

#[cfg(not(loom))]
static EMPTY: Empty = Empty([const { AtomicU32::new(0) }; LINE / size_of::<AtomicU32>()]);

#[cfg(not(loom))]
impl<N> Array<N> {
    /// An array of two groups without slots, whose tags stay vacant. Allocates nothing.
    pub(super) const fn empty() -> Self {
        let packed = (&raw const EMPTY.0).cast::<u8>().wrapping_add(LINE - 1).cast_mut();
        // It is not null, being inside of a static.
        Self { packed: NonNull::new(packed.cast()).expect("not null") }
    }

    /// Whether it is the one of [`empty`](Self::empty).
    pub(super) fn is_empty(self) -> bool {
        self.packed == Self::empty().packed
    }

    /// An array of two to the power of `bits` groups, all vacant. `bits` is at least 1.
    pub(super) fn allocate(bits: u32) -> Self {
        let (layout, groups) = Self::layout(bits);
        // SAFETY: its size is not 0. Zeros are vacant tags, slots that are not looked at, and a link to nothing.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let packed = start.wrapping_add(groups + (u64::BITS - bits) as usize);
        Self { packed: NonNull::new(packed.cast()).expect("it is inside of what was allocated") }
    }

    /// Gives the memory of an array back.
    ///
    /// # Safety
    ///
    /// It comes from [`allocate`](Self::allocate), is freed once, and nobody uses it any more.
    pub(super) unsafe fn free(self) {
        let (layout, groups) = Self::layout(u64::BITS - self.shift());
        // SAFETY: by M1 the groups begin there; it was allocated with this layout, and the caller says that nobody uses
        // it.
        unsafe { dealloc(self.base().cast::<u8>().wrapping_sub(groups), layout) };
    }

    /// The memory of an array, and how much of it is for groups.
    fn layout(bits: u32) -> (Layout, usize) {
        let groups = size_of::<Group<N>>() << bits;
        // A line at least, so that the packed pointer, too, is inside: what looks for leaks sees it as one to here.
        let tags_and_link = ((size_of::<AtomicU32>() << bits) + size_of::<*mut N>()).max(LINE);
        let size = groups + tags_and_link;
        (Layout::from_size_align(size, LINE).expect("it fits the address space"), groups)
    }

    /// Where the link is. By M1 it is in an array that comes from [`allocate`](Self::allocate).
    fn link(self) -> *mut *mut N {
        let (layout, groups) = Self::layout(u64::BITS - self.shift());
        self.base().wrapping_byte_add(layout.size() - groups - size_of::<*mut N>()).cast()
    }

    /// Links an array to the one that it is about to replace.
    ///
    /// # Safety
    ///
    /// It comes from [`allocate`](Self::allocate), and no other thread has it yet.
    pub(super) unsafe fn set_previous(self, previous: Self) {
        // SAFETY: by M1 the link is there, and the caller says that nobody else uses it.
        unsafe { self.link().write(previous.into_raw()) };
    }

    /// The array that this one has replaced, if that was not the empty one.
    #[cfg(test)]
    pub(super) fn previous(self) -> Option<Self> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: by M1 the link is there, and it is written before others have the array.
        let previous = unsafe { self.link().read() };
        // SAFETY: nothing else is ever in this word, but null before.
        (!previous.is_null()).then(|| unsafe { Self::from_raw(previous) }).filter(|previous| !previous.is_empty())
    }

    #[inline]
    fn shift(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "less than 64")]
        let shift = (self.packed.addr().get() % LINE) as u32;
        shift
    }

    /// Where the tags begin, and the groups end.
    #[inline]
    fn base(self) -> *mut Group<N> {
        self.packed.as_ptr().map_addr(|address| address & !(LINE - 1))
    }

    /// # Safety
    ///
    /// There is such a group, and the array is not freed during `'array`.
    #[inline]
    unsafe fn tag_word<'array>(self, group: usize) -> &'array AtomicU32 {
        // SAFETY: by M1 and the caller's promise the word is there.
        unsafe { &*self.base().cast::<AtomicU32>().wrapping_add(group) }
    }

    /// # Safety
    ///
    /// There is such a slot, and the array is not freed during `'array`.
    #[inline]
    pub(super) unsafe fn slot<'array>(self, group: usize, index: usize) -> &'array Slot<N> {
        // SAFETY: by M1 and the caller's promise the slot is there.
        unsafe { &*self.base().wrapping_sub(group).wrapping_sub(1).cast::<Slot<N>>().wrapping_add(index) }
    }

    /// The first of the slots of a group.
    ///
    /// # Safety
    ///
    /// There are slots of that group, `slots` are some of them, and the array is not freed during `'array`.
    #[inline]
    pub(super) unsafe fn first_of<'array>(self, group: usize, slots: &Matches) -> &'array Slot<N> {
        // The bit of slot `n` is `8 * n + 7`, from which it is one step less to where the slot is than to `n`.
        let scale = size_of::<Slot<N>>() / 8;
        let group = self.base().wrapping_sub(group).wrapping_sub(1).cast::<Slot<N>>();
        let slot = group.wrapping_byte_add(slots.0.trailing_zeros() as usize * scale).wrapping_byte_sub(7 * scale);
        // SAFETY: by M1 and the caller's promise the slot is there.
        unsafe { &*slot }
    }
}

/// The same of boxed atomics: those of a model checker are larger, and are not made of zeros.
#[cfg(loom)]
mod modelled {
    use std::cell::Cell;
    use std::ptr::NonNull;

    use super::{Array, AtomicPtr, AtomicU32, AtomicUsize, LINE, Matches, SLOTS, Slot};

    #[repr(align(64))]
    struct Boxed<N> {
        tags: Vec<AtomicU32>,
        slots: Vec<Slot<N>>,
        /// Written before other threads have the array.
        previous: Cell<Option<Array<N>>>,
    }

    impl<N> Array<N> {
        pub(in crate::side_table) fn empty() -> Self {
            Self::boxed(1, 0)
        }

        pub(in crate::side_table) fn is_empty(self) -> bool {
            // SAFETY: it is not freed while somebody asks.
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
            // SAFETY: nobody else has it yet.
            unsafe { &*self.base() }.previous.set(Some(previous));
        }

        pub(in crate::side_table) fn previous(self) -> Option<Self> {
            // SAFETY: it is not freed while somebody asks.
            unsafe { &*self.base() }.previous.get().filter(|previous| !previous.is_empty())
        }

        pub(in crate::side_table) unsafe fn free(self) {
            // SAFETY: it was made so, and the caller says that nobody uses it.
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
            // SAFETY: the caller says that it is not freed.
            &unsafe { &*self.base() }.tags[group]
        }

        pub(in crate::side_table) unsafe fn slot<'array>(self, group: usize, index: usize) -> &'array Slot<N> {
            // SAFETY: the caller says that it is not freed.
            &unsafe { &*self.base() }.slots[group * SLOTS + index]
        }

        pub(in crate::side_table) unsafe fn first_of<'array>(self, group: usize, slots: &Matches) -> &'array Slot<N> {
            // SAFETY: the caller says that it is not freed.
            unsafe { self.slot(group, slots.0.trailing_zeros() as usize / 8) }
        }
    }
}

impl<N> Array<N> {
    /// What a shard keeps in its atomic word.
    #[inline]
    pub(super) const fn into_raw(self) -> *mut N {
        self.packed.as_ptr().cast()
    }

    /// # Safety
    ///
    /// It comes from [`into_raw`](Self::into_raw).
    #[inline]
    pub(super) unsafe fn from_raw(raw: *mut N) -> Self {
        // SAFETY: the caller says so, and that is not null.
        Self { packed: unsafe { NonNull::new_unchecked(raw.cast()) } }
    }

    /// How many groups there are, which is a power of two, and at least 2.
    #[inline]
    pub(super) fn groups(self) -> usize {
        1 << (u64::BITS - self.shift())
    }

    /// The group where a key with this hash is looked for first.
    #[inline]
    pub(super) fn home(self, hash: u64) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "there are so many groups in memory")]
        let group = (hash >> self.shift()) as usize;
        group
    }

    /// The group that is looked at after this one.
    #[inline]
    pub(super) fn after(self, group: usize) -> usize {
        (group + 1) % self.groups()
    }

    /// # Safety
    ///
    /// There is such a group, and the array is not freed meanwhile.
    #[inline]
    pub(super) unsafe fn tags(self, group: usize, order: Ordering) -> Tags {
        // SAFETY: the caller's promise is the same.
        Tags(unsafe { self.tag_word(group) }.load(order))
    }

    /// # Safety
    ///
    /// There is such a group, the array is not freed meanwhile, and nobody else stores tags.
    #[inline]
    pub(super) unsafe fn set_tags(self, group: usize, tags: Tags, order: Ordering) {
        // SAFETY: the caller's promise is the same.
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
                // SAFETY: there is such a group, nobody else stores, and it is not freed.
                unsafe { array.set_tags(group, Tags(u32::MAX - u32::try_from(group).unwrap()), Ordering::Relaxed) };
                for index in 0..SLOTS {
                    // SAFETY: as above.
                    unsafe { array.slot(group, index) }.key.store(group * SLOTS + index, Ordering::Relaxed);
                }
            }
            for group in 0..array.groups() {
                // SAFETY: as above.
                let tags = unsafe { array.tags(group, Ordering::Relaxed) };
                assert_eq!(tags.0, u32::MAX - u32::try_from(group).unwrap());
                for index in 0..SLOTS {
                    // SAFETY: as above.
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
            // SAFETY: a home is a group, and the array is not freed.
            assert!(unsafe { array.tags(group, Ordering::Relaxed) }.taken().eq([]));
        }
    }
}
