//! The memory of a shard: an array of groups of slots, with one word of tags per group.
//!
//! In: a hash. Out: the tags and the slots of a group. Only this file owns such memory. Neighbours: `mod.rs` and
//! `writer.rs`, the accesses to slots and tags; `array/modelled.rs`, the memory under loom.
//!
//! A group is four slots, each with a key and a value, and fills one cache line. The tags of a group are one word. The
//! tags are separate from the groups, so the tags of 64 slots share a cache line. A lookup that misses mostly touches
//! only the tags.
//!
//! # Tags
//!
//! The tags of a group tell vacant slots, candidate slots for a key, and the overflow bit (T2 of `mod.rs`). Each slot
//! has a tag of one byte: 0 for a vacant slot, and otherwise seven bits of the key's hash, plus 1, so at most 128. The
//! tag of slot 0 has only the upper six of seven bits, plus 2, and the lowest bit of the tag is the overflow bit of the
//! group. A lookup compares the four tags by one integer operation.
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
//! - **M1** The pointer of an `Array` comes from `try_allocate`, or is the pointer of `EMPTY`. At the unpacked pointer
//!   begin `groups` words of tags. Except for `EMPTY`, as many groups lie before that address, and the link lies behind
//!   the tags. All of this memory is initialised. Only `free` frees an array.

#[cfg(loom)]
mod modelled;

#[cfg(not(loom))]
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

#[cfg(not(loom))]
use crate::fallible::OutOfMemory;
use crate::side_table::SHARD_BITS;
#[cfg(not(loom))]
use crate::sync::AtomicU32;
use crate::sync::{AtomicPtr, AtomicUsize, Ordering};

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

    /// As [`try_allocate`](Self::try_allocate). Without memory, ends the process.
    pub(super) fn allocate(bits: u32) -> Self {
        Self::try_allocate(bits).unwrap_or_else(|_| handle_alloc_error(Self::layout(bits).0))
    }

    /// Allocates an array of two to the power of `bits` groups, with all slots vacant. `bits` is at least 1.
    pub(super) fn try_allocate(bits: u32) -> Result<Self, OutOfMemory> {
        let (layout, groups) = Self::layout(bits);
        // SAFETY: the size of the layout is not 0. Zeros are valid: vacant tags, slots of atomic integers and pointers,
        // and a null link.
        let start = unsafe { alloc_zeroed(layout) };
        if start.is_null() {
            return Err(OutOfMemory);
        }
        let packed = start.wrapping_add(groups + (u64::BITS - bits) as usize);
        Ok(Self { packed: NonNull::new(packed.cast()).expect("it is inside of what was allocated") })
    }

    /// Frees the memory of an array.
    ///
    /// # Safety
    ///
    /// The array comes from [`allocate`](Self::allocate), and is freed once. No thread uses the array during or after
    /// the call.
    pub(super) unsafe fn free(self) {
        let (layout, groups) = Self::layout(u64::BITS - self.shift());
        // SAFETY: by the contract the array comes from `allocate`, with the same layout; by M1 the allocation begins
        // with the groups, at this address. By the contract no thread uses the array, now or later.
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
        // SAFETY: by the contract the array comes from `allocate`, so by M1 the link is there. By the contract no other
        // thread can access the array, so no access races with the write.
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

/// The high bit of each tag.
const HIGH: u32 = 0x8080_8080;

/// The least tag of each slot that is not vacant.
const LEAST: u32 = 0x0101_0102;

/// The overflow bit of the group.
const OVERFLOW: u32 = 1;

/// The tags of one group, in one word.
#[derive(Clone, Copy)]
pub(super) struct Tags(u32);

impl Tags {
    /// The tags of a hash. Each slot takes different bits of the hash, which saves the broadcast of one tag to four
    /// bytes. The bits of tags select neither the shard nor the group.
    #[inline]
    const fn of(hash: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "no more than seven bits for each slot")]
        let bits = (hash >> SHARD_BITS) as u32 & (HIGH - LEAST);
        bits + LEAST
    }

    /// Finds the candidate slots for a key with this hash.
    ///
    /// The subtraction sets the high bit of each byte that is equal. False positives are possible: by a tag of 128, in
    /// the slot or of the hash, or by a borrow from the slot before. So a lookup compares the key anyway. The overflow
    /// bit does not matter: the subtraction takes 2 from the first byte, and the lowest bit of the byte does not affect
    /// the high bit of the difference.
    #[inline]
    pub(super) fn matches(self, hash: u64) -> Matches {
        let different = self.0 ^ Self::of(hash);
        Matches(different.wrapping_sub(LEAST) & HIGH)
    }

    /// Finds a vacant slot.
    #[inline]
    pub(super) fn vacant(self) -> Option<usize> {
        Matches(!self.taken().0 & HIGH).next()
    }

    /// Whether the overflow bit is set: a key was inserted further on, since the group was full.
    #[inline]
    pub(super) fn has_overflowed(self) -> bool {
        self.0 & OVERFLOW != 0
    }

    /// Sets the overflow bit.
    #[must_use]
    pub(super) fn with_overflow(self) -> Self {
        Self(self.0 | OVERFLOW)
    }

    /// Clears the overflow bit.
    #[must_use]
    pub(super) fn without_overflow(self) -> Self {
        Self(self.0 & !OVERFLOW)
    }

    /// Finds the slots that are not vacant. A tag is at most 128, so the addition carries into no other tag.
    #[inline]
    pub(super) fn taken(self) -> Matches {
        Matches(((self.0 & !OVERFLOW) + !HIGH) & HIGH)
    }

    /// Whether the slot is not vacant.
    #[inline]
    pub(super) fn is_taken(self, index: usize) -> bool {
        self.taken().0 & 0x80 << (8 * index) != 0
    }

    /// Sets the tag of a vacant slot to that of `hash`.
    #[inline]
    #[must_use]
    pub(super) fn with(self, index: usize, hash: u64) -> Self {
        Self(self.0 | Self::of(hash) & 0xff << (8 * index))
    }

    /// Makes a slot vacant, and keeps the overflow bit.
    #[inline]
    #[must_use]
    pub(super) fn without(self, index: usize) -> Self {
        Self(self.0 & (!(0xff << (8 * index)) | OVERFLOW))
    }
}

/// An iterator over slots of a group: bit `8 * n + 7` stands for slot `n`.
pub(super) struct Matches(pub(super) u32);

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
    use crate::fewer::fewer;

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

    /// A hash with this tag in every slot; in the first slot, without the lowest bit.
    fn with_tag(tag: u64) -> u64 {
        ((tag - 1) * 0x0101_0101) << SHARD_BITS
    }

    /// All tags; under Miri, a few.
    fn all_tags() -> impl Iterator<Item = u64> {
        (1..=0x80).step_by(fewer(1, 42))
    }

    /// The same tags without and with the overflow bit.
    fn with_and_without_overflow(tags: Tags) -> [Tags; 2] {
        [tags, tags.with_overflow()]
    }

    #[test]
    fn tags_say_which_slots_are_taken() {
        for tag in [1, 2, 0x7f, 0x80] {
            for mut tags in with_and_without_overflow(Tags(0)) {
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
        for tag in all_tags() {
            // The hash bits of the shard and of the group have no influence.
            let hashes =
                [with_tag(tag), with_tag(tag) | ((1 << SHARD_BITS) - 1) | u64::MAX << (SHARD_BITS + u32::BITS)];
            for other in all_tags().filter(|other| *other != tag) {
                for index in 0..SLOTS {
                    let all = (0..SLOTS)
                        .fold(Tags(0), |tags, slot| tags.with(slot, with_tag(if slot == index { tag } else { other })));
                    for (tags, hash) in
                        with_and_without_overflow(all).into_iter().flat_map(|tags| hashes.map(|hash| (tags, hash)))
                    {
                        assert!(tags.matches(hash).any(|seen| seen == index));
                        assert!(!tags.without(index).matches(hash).take(1).any(|seen| seen == index));
                        let others: Vec<usize> = tags.matches(with_tag(other)).collect();
                        assert!((0..SLOTS).all(|slot| slot == index || others.contains(&slot)));
                    }
                    let is_told_apart = (tag - 1) / 2 != (other - 1) / 2 && tag < 0x7f && other < 0x7f;
                    for tags in with_and_without_overflow(all).into_iter().filter(|_| is_told_apart) {
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
            // The lowest bit of the first tag is the overflow bit.
            for bit in usize::from(index == 0)..7 {
                let hash = 1 << (SHARD_BITS as usize + 8 * index + bit);
                for slot in 0..SLOTS {
                    let differs = Tags(0).with(slot, hash).0 != Tags(0).with(slot, 0).0;
                    assert_eq!(differs, slot == index);
                }
            }
        }
    }

    #[test]
    fn the_overflow_bit_leaves_the_tags_of_slots_alone() {
        for hash in all_tags().map(with_tag) {
            let full = (0..SLOTS).fold(Tags(0), |tags, index| tags.with(index, hash));
            assert!(!full.has_overflowed());
            assert!(full.with_overflow().has_overflowed());
            assert_eq!(full.with_overflow().without_overflow().0, full.0);
            for index in 0..SLOTS {
                let [rest, overflowed] = with_and_without_overflow(full).map(|tags| tags.without(index));
                assert!(!rest.has_overflowed() && overflowed.has_overflowed());
                assert_eq!(rest.with(index, hash).0, full.0);
                assert_eq!(overflowed.with(index, hash).0, full.with_overflow().0);
            }
        }
    }
}
