//! Who goes through a shard and takes out what is gone, some groups at a time.
//!
//! In: how many entries to look at, and who says which are gone (T5). Out: their keys and values, which whoever sweeps drops
//! once the shard is unlocked. Neighbours: `writer.rs`, which takes a key out; `host/arc/sweep.rs`, who sweeps, and when.
//!
//! A sweep goes on where the one before it ended, whoever swept. What moves back meanwhile may move from where the sweep has
//! still to come to where it has been: such an entry is looked at when the sweep comes round again.

use std::ptr::NonNull;

use super::writer::{Guard, Position, key_at, occupant, tags, value_at};
use crate::side_table::array::{Array, SLOTS};
use crate::sync::Ordering;

/// How many groups are swept at a time, where most are vacant.
pub(super) const MOST_GROUPS: usize = 64;

/// How far a shard is swept.
pub(super) struct Sweep {
    /// The group that is swept next.
    cursor: usize,
    /// The round of sweeping that is on, and how many groups of the shard it has still to see.
    round: usize,
    left: usize,
}

impl Sweep {
    pub(super) const fn new() -> Self {
        Self { cursor: 0, round: 0, left: 0 }
    }

    /// Begins anew, in an array of so many groups, where all lies elsewhere.
    pub(super) fn restart(&mut self, groups: usize) {
        self.cursor = 0;
        self.left = groups;
    }
}

impl<N> Guard<'_, N> {
    /// As [`sweep`](Self::sweep), for a round that sees every shard from end to end. Returns whether it now has seen
    /// this one.
    pub(crate) fn sweep_round(
        &mut self,
        round: usize,
        count: usize,
        prefetch: impl Fn(usize, NonNull<N>),
        is_gone: impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) -> bool {
        if self.shard.is_swept(round) {
            return false;
        }
        if self.writer.sweep.round != round {
            self.writer.sweep.round = round;
            self.writer.sweep.left = self.shard.array.array().groups();
        }
        let swept = self.sweep(count, prefetch, is_gone, gone);
        self.writer.sweep.left = self.writer.sweep.left.saturating_sub(swept);
        if self.writer.sweep.left == 0 {
            self.shard.upkeep.swept.store(round, Ordering::Relaxed);
        }
        self.writer.sweep.left == 0
    }

    /// Takes out the keys and values that `is_gone` (T5), of as many groups as have `count` entries, but of no more than
    /// [`MOST_GROUPS`], and returns how many groups there were. All of these are given to `prefetch` before the first is
    /// asked about: what is known of them is all over the memory, and can be on its way at once.
    pub(crate) fn sweep(
        &mut self,
        count: usize,
        prefetch: impl Fn(usize, NonNull<N>),
        is_gone: impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) -> usize {
        let array = self.shard.array.array();
        let most = array.groups().min(MOST_GROUPS);
        let (mut groups, mut entries, mut group) = (0, 0, self.writer.sweep.cursor);
        while groups < most && entries < count {
            for index in tags(array, group).taken() {
                let position = Position { group, index };
                prefetch(key_at(array, position), value_at(array, position));
                entries += 1;
            }
            group = array.after(group);
            groups += 1;
        }
        for _ in 0..groups {
            self.sweep_group(array, &is_gone, gone);
        }
        groups
    }

    /// As [`sweep`](Self::sweep), of all groups.
    pub(crate) fn sweep_all(
        &mut self,
        prefetch: impl Fn(usize, NonNull<N>),
        is_gone: impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) {
        let groups = self.shard.array.array().groups();
        let mut swept = 0;
        while swept < groups {
            swept += self.sweep(MOST_GROUPS, &prefetch, &is_gone, gone);
        }
    }

    /// Sweeps the group whose turn it is.
    fn sweep_group(
        &mut self,
        array: Array<N>,
        is_gone: &impl Fn(usize, NonNull<N>) -> bool,
        gone: &mut Vec<(usize, NonNull<N>)>,
    ) {
        let group = self.writer.sweep.cursor;
        for index in 0..SLOTS {
            let position = Position { group, index };
            // What moves into the hole is looked at, too.
            while let Some((key, value)) = occupant(array, position) {
                if !is_gone(key, value) {
                    break;
                }
                gone.push((key, value));
                self.vacate(array, position);
            }
        }
        self.writer.sweep.cursor = array.after(group);
    }
}
