//! The tags of a group, in one word: vacant slots, candidate slots for a key, and the overflow bit.
//!
//! In: a hash. Out: the slots that a lookup has to probe. Neighbours: `array.rs`, with a word of tags for each group;
//! `shard.rs`, with the invariant of the overflow bit (T2).
//!
//! Each slot has a tag of one byte: 0 for a vacant slot, and otherwise seven bits of the key's hash, plus 1, so at most
//! 128. The tag of slot 0 has only the upper six of seven bits, plus 2, and the lowest bit of the tag is the overflow
//! bit of the group. A lookup compares the four tags by one integer operation.
#![forbid(unsafe_code)]

use crate::side_table::SHARD_BITS;

/// The high bit of each tag.
const HIGH: u32 = 0x8080_8080;

/// The least tag of each slot that is not vacant.
const LEAST: u32 = 0x0101_0102;

/// The overflow bit of the group.
const PASSED: u32 = 1;

/// The tags of one group, in one word.
#[derive(Clone, Copy)]
pub(super) struct Tags(pub(super) u32);

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
    pub(super) fn was_passed(self) -> bool {
        self.0 & PASSED != 0
    }

    /// Sets the overflow bit.
    #[must_use]
    pub(super) fn passed(self) -> Self {
        Self(self.0 | PASSED)
    }

    /// Clears the overflow bit.
    #[must_use]
    pub(super) fn not_passed(self) -> Self {
        Self(self.0 & !PASSED)
    }

    /// Finds the slots that are not vacant. A tag is at most 128, so the addition carries into no other tag.
    #[inline]
    pub(super) fn taken(self) -> Matches {
        Matches(((self.0 & !PASSED) + !HIGH) & HIGH)
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
        Self(self.0 & (!(0xff << (8 * index)) | PASSED))
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
    use crate::side_table::array::SLOTS;

    /// A hash with this tag in every slot; in the first slot, without the lowest bit.
    fn with_tag(tag: u64) -> u64 {
        ((tag - 1) * 0x0101_0101) << SHARD_BITS
    }

    /// All tags; under Miri, a few.
    fn all_tags() -> impl Iterator<Item = u64> {
        (1..=0x80).step_by(fewer(1, 21))
    }

    /// The same tags without and with the overflow bit.
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
        for tag in all_tags() {
            // The hash bits of the shard and of the group have no influence.
            let hashes =
                [with_tag(tag), with_tag(tag) | ((1 << SHARD_BITS) - 1) | u64::MAX << (SHARD_BITS + u32::BITS)];
            for other in all_tags().filter(|other| *other != tag) {
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
    fn whether_a_group_was_passed_is_nothing_to_its_slots() {
        for hash in all_tags().map(with_tag) {
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
}
