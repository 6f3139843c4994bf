//! The memory of a shard: an array of groups, and a word of tags for each.
//!
//! In: a hash. Out: the tags and the slots of its group. This is the only file that owns such memory.
//!
//! A group is four slots, each a key and a value, which fill one cache line. Its tags are one byte for each slot: 0 if the
//! slot is vacant, otherwise seven bits of the key's hash and one added. The first has six bits, since the lowest bit of
//! the word says whether the group was passed. Tags are apart from the groups, so that those of 64 slots share a cache
//! line; whoever looks for what is not there mostly touches nothing else.
//!
//! # One word for all
//!
//! A reader has to get the array and its size at once, so both are in one pointer: it points to the tags, before which
//! the groups lie, and its low six bits are the number of bits by which a hash is shifted to the right to give its group.
//!
//! ```text
//!     … group 2 | group 1 | group 0 | tags of group 0 | tags of group 1 | tags of group 2 …
//!                                   ^
//! ```
//!
//! The tags go up, since a processor adds a scaled number to an address but does not take one away from it, and their
//! address is needed first.
//!
//! - **M1** The pointer of an `Array` comes from `allocate`, or is the one of `EMPTY`. From it, `groups` words of tags
//!   lie behind and, but for `EMPTY`, as many groups before, all made. It is not freed.

#[cfg(not(loom))]
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ptr::NonNull;

use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering};

/// How many slots a group has, which is how many tags fit a word.
pub(super) const SLOTS: usize = 4;

/// How large a cache line is taken to be, which the pointer's low bits live on.
const LINE: usize = 64;

/// The high bit of each tag.
const HIGH: u32 = 0x8080_8080;

/// The least that a tag is if its slot is not vacant.
const LEAST: u32 = 0x0101_0102;

/// Says that the group was passed.
const PASSED: u32 = 1;

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

/// The tags of one group.
#[derive(Clone, Copy)]
pub(super) struct Tags(u32);

impl<N> Clone for Array<N> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<N> Copy for Array<N> {}

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
        // SAFETY: its size is not 0. Zeros are vacant tags, and slots that are not looked at.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            handle_alloc_error(layout);
        }
        let packed = start.wrapping_add(groups + (u64::BITS - bits) as usize);
        Self { packed: NonNull::new(packed.cast()).expect("it is inside of what was allocated") }
    }

    /// The memory of an array, and how much of it is for groups.
    fn layout(bits: u32) -> (Layout, usize) {
        let groups = size_of::<Group<N>>() << bits;
        // A line of tags at least, so that the packed pointer, too, is inside: what looks for leaks sees it as one to here.
        let tags = (size_of::<AtomicU32>() << bits).next_multiple_of(LINE);
        let size = groups + tags;
        (Layout::from_size_align(size, LINE).expect("it fits the address space"), groups)
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
    use std::ptr::NonNull;

    use super::{Array, AtomicPtr, AtomicU32, AtomicUsize, LINE, Matches, SLOTS, Slot};

    #[repr(align(64))]
    struct Boxed<N> {
        tags: Vec<AtomicU32>,
        slots: Vec<Slot<N>>,
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
            };
            let packed = Box::into_raw(Box::new(boxed)).wrapping_byte_add((u64::BITS - bits) as usize);
            Self { packed: NonNull::new(packed.cast()).unwrap() }
        }

        /// Only models do: the tables of hosts stay.
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

impl Tags {
    /// The tags of a hash: each slot has another, so that none has to be copied to all. Neither the shard nor the group is
    /// chosen by these bits.
    #[inline]
    const fn of(hash: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "seven bits for each slot")]
        let bits = (hash >> super::SHARD_BITS) as u32 & (HIGH - LEAST);
        bits + LEAST
    }

    /// Which slots may have a key with this hash: the high bit of each such byte.
    ///
    /// A slot may be there without a match: if its tag is 128, or the wanted one is, or if the one before matches. The key
    /// decides anyway.
    #[inline]
    pub(super) fn matches(self, hash: u64) -> Matches {
        let different = self.0 ^ Self::of(hash);
        Matches(different.wrapping_sub(LEAST) & HIGH)
    }

    /// A slot that is vacant, if there is one.
    #[inline]
    pub(super) fn vacant(self) -> Option<usize> {
        Matches(!self.taken().0 & HIGH).next()
    }

    /// Whether a key was put further on, since there was no room here.
    #[inline]
    pub(super) fn was_passed(self) -> bool {
        self.0 & PASSED != 0
    }

    #[must_use]
    pub(super) fn passed(self) -> Self {
        Self(self.0 | PASSED)
    }

    #[must_use]
    pub(super) fn not_passed(self) -> Self {
        Self(self.0 & !PASSED)
    }

    /// The slots that are not vacant.
    #[inline]
    pub(super) fn taken(self) -> Matches {
        Matches(((self.0 & !PASSED) + !HIGH) & HIGH)
    }

    #[must_use]
    pub(super) fn with(self, index: usize, hash: u64) -> Self {
        Self(self.0 | Self::of(hash) & 0xff << (8 * index))
    }

    #[must_use]
    pub(super) fn without(self, index: usize) -> Self {
        Self(self.0 & (!(0xff << (8 * index)) | PASSED))
    }
}

/// Slots of a group, one after the other.
pub(super) struct Matches(u32);

impl Matches {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

impl Iterator for Matches {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let index = self.0.trailing_zeros() as usize / 8;
        self.0 &= self.0 - 1;
        Some(index)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A hash with this tag in every slot, but for the lowest bit of the first's.
    fn with_tag(tag: u64) -> u64 {
        ((tag - 1) * 0x0101_0101) << crate::side_table::SHARD_BITS
    }

    /// The same tags in a group that was not passed, and in one that was.
    fn passed_or_not(tags: Tags) -> [Tags; 2] {
        [tags, tags.passed()]
    }

    #[test]
    fn tags_say_which_slots_are_taken() {
        for tag in [1, 2, 0x7f, 0x80] {
            for mut tags in passed_or_not(Tags(0)) {
                for index in 0..SLOTS {
                    assert_eq!(tags.vacant(), Some(index));
                    assert!(tags.taken().eq(0..index));
                    tags = tags.with(index, with_tag(tag));
                }
                assert_eq!(tags.vacant(), None);
                assert!(tags.taken().eq(0..SLOTS));
                for index in 0..SLOTS {
                    let rest = tags.without(index);
                    assert_eq!(rest.vacant(), Some(index));
                    assert!(rest.taken().eq((0..SLOTS).filter(|other| *other != index)));
                }
            }
        }
    }

    #[test]
    fn tags_say_which_slots_may_have_a_key() {
        for tag in 1..=0x80 {
            // The bits of a shard, and those of a group, play no part.
            let hashes = [with_tag(tag), with_tag(tag) | 0x7f | u64::MAX << 39];
            for other in (1..=0x80).filter(|other| *other != tag) {
                for index in 0..SLOTS {
                    let all = (0..SLOTS)
                        .fold(Tags(0), |tags, slot| tags.with(slot, with_tag(if slot == index { tag } else { other })));
                    for (tags, hash) in passed_or_not(all).into_iter().flat_map(|tags| hashes.map(|hash| (tags, hash)))
                    {
                        assert!(tags.matches(hash).any(|seen| seen == index));
                        assert!(!tags.without(index).matches(hash).take(1).any(|seen| seen == index));
                        let others: Vec<usize> = tags.matches(with_tag(other)).collect();
                        assert!((0..SLOTS).all(|slot| slot == index || others.contains(&slot)));
                    }
                    let is_told_apart = (tag - 1) / 2 != (other - 1) / 2 && tag < 0x7f && other < 0x7f;
                    for tags in passed_or_not(all).into_iter().filter(|_| is_told_apart) {
                        assert_eq!(tags.matches(with_tag(tag)).next(), Some(index));
                        assert_eq!(tags.without(index).matches(with_tag(tag)).next(), None);
                    }
                }
            }
            assert_eq!(Tags(0).matches(with_tag(tag)).next(), None);
        }
    }

    #[test]
    fn each_slot_has_a_tag_of_its_own() {
        for index in 0..SLOTS {
            // The first bit says whether the group was passed.
            for bit in usize::from(index == 0)..7 {
                let hash = 1 << (crate::side_table::SHARD_BITS as usize + 8 * index + bit);
                for slot in 0..SLOTS {
                    let differs = Tags(0).with(slot, hash).0 != Tags(0).with(slot, 0).0;
                    assert_eq!(differs, slot == index);
                }
            }
        }
    }

    #[test]
    fn whether_a_group_was_passed_is_nothing_to_its_slots() {
        for hash in (1..=0x80).map(with_tag) {
            let full = (0..SLOTS).fold(Tags(0), |tags, index| tags.with(index, hash));
            assert!(!full.was_passed());
            assert!(full.passed().was_passed());
            assert_eq!(full.passed().not_passed().0, full.0);
            for index in 0..SLOTS {
                let [rest, passed] = passed_or_not(full).map(|tags| tags.without(index));
                assert!(!rest.was_passed() && passed.was_passed());
                assert_eq!(rest.with(index, hash).0, full.0);
                assert_eq!(passed.with(index, hash).0, full.passed().0);
            }
        }
    }

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
