//! The tags of a group: which of its slots are taken, which may have a key, and whether it was passed.
//!
//! In: a hash. Out: the slots to look at. Neighbours: `array.rs`, which has a word of tags for each group; `shard.rs`,
//! which says what a group that was passed is (T2).
//!
//! There is one byte for each slot: 0 if the slot is vacant, otherwise one more than seven bits of the key's hash, so
//! 128 at most. The first has only the upper six of the seven, and two added: its lowest bit says whether the group was
//! passed. All four are compared at once.
#![forbid(unsafe_code)]

use crate::side_table::SHARD_BITS;

/// The high bit of each tag.
const HIGH: u32 = 0x8080_8080;

/// The least that a tag is if its slot is not vacant.
const LEAST: u32 = 0x0101_0102;

/// Says that the group was passed.
const PASSED: u32 = 1;

/// The tags of one group, in one word.
#[derive(Clone, Copy)]
pub(super) struct Tags(pub(super) u32);

impl Tags {
    /// The tags of a hash: each slot has another, so that none has to be copied to all. Neither the shard nor the group
    /// is chosen by these bits.
    #[inline]
    const fn of(hash: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "no more than seven bits for each slot")]
        let bits = (hash >> SHARD_BITS) as u32 & (HIGH - LEAST);
        bits + LEAST
    }

    /// Which slots may have a key with this hash: the high bit of each such byte.
    ///
    /// A slot may be there without a match: if its tag is 128, or the wanted one is, or if the one before matches. The
    /// key decides anyway. The mark changes none of this: two is taken from its byte, for which the lowest bit does not
    /// matter.
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

    /// The slots that are not vacant. Nothing is carried from one to the next, since a tag is 128 at most.
    #[inline]
    pub(super) fn taken(self) -> Matches {
        Matches(((self.0 & !PASSED) + !HIGH) & HIGH)
    }

    /// Whether this slot is not vacant.
    #[inline]
    pub(super) fn is_taken(self, index: usize) -> bool {
        self.taken().0 & 0x80 << (8 * index) != 0
    }

    /// These, and of a slot that is vacant that of this hash.
    #[inline]
    #[must_use]
    pub(super) fn with(self, index: usize, hash: u64) -> Self {
        Self(self.0 | Self::of(hash) & 0xff << (8 * index))
    }

    #[inline]
    #[must_use]
    pub(super) fn without(self, index: usize) -> Self {
        Self(self.0 & (!(0xff << (8 * index)) | PASSED))
    }
}

/// Slots of a group, one after the other: bit `8 * n + 7` is that of slot `n`.
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

    /// A hash with this tag in every slot, but for the lowest bit of the first's.
    fn with_tag(tag: u64) -> u64 {
        ((tag - 1) * 0x0101_0101) << SHARD_BITS
    }

    /// All tags; under Miri, a few.
    fn all_tags() -> impl Iterator<Item = u64> {
        (1..=0x80).step_by(fewer(1, 21))
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
        for tag in all_tags() {
            // The bits of a shard, and those of a group, play no part.
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
            // The first bit says whether the group was passed.
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
