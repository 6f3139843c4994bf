//! Tests of a single shard: a map, backward-shift deletion, and growth by load factor.

use std::collections::{BTreeMap, BTreeSet};

use super::writer::{position, tags};
use super::*;
use crate::fewer::fewer;
use crate::side_table::array::{Array, SLOTS};
use crate::side_table::{SideTable, hash};

type Table = SideTable<usize, 1>;

/// A pointer for identity only, without provenance. No test dereferences the pointer.
fn value(number: usize) -> NonNull<usize> {
    NonNull::new(std::ptr::without_provenance_mut(8 * (number + 1))).expect("more than 0")
}

/// Pseudo-random numbers: a linear congruential generator, with a fixed seed.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 1_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below
    }
}

fn everything(shard: Shard<'_, usize>) -> BTreeMap<usize, NonNull<usize>> {
    // The capacity is reserved first, so that no allocation happens under the shard's lock (R4).
    let mut seen = Vec::with_capacity(shard.entries());
    shard.lock().each(|key, value| seen.push((key, value)));
    let count = seen.len();
    let seen: BTreeMap<_, _> = seen.into_iter().collect();
    assert_eq!(seen.len(), count, "a key is there twice");
    seen
}

/// Asserts invariant T2 of the shard, and that a lookup finds each key with its value.
fn check(shard: Shard<'_, usize>, expected: &BTreeMap<usize, NonNull<usize>>) {
    assert_eq!(everything(shard), *expected);
    assert_eq!(shard.entries(), expected.len());
    let array = shard.array.array();
    for (&key, &there) in expected {
        assert_eq!(shard.find(key, hash(key)), Some(there));
        assert_eq!(shard.lock().find(key, hash(key)), Some(there));
        let mut group = array.home(hash(key));
        let at = position(array, key, hash(key)).expect("it is there").group;
        while group != at {
            assert!(tags(array, group).was_passed(), "a group before that of a key does not say so");
            group = array.after(group);
        }
    }
    for tags in (0..array.groups()).map(|group| tags(array, group)).filter(|tags| tags.was_passed()) {
        assert_eq!(tags.vacant(), None, "a group that was passed has room");
    }
}

#[test]
fn a_shard_is_a_map() {
    const STEPS: usize = fewer(20_000, 250);
    let table = Table::new();
    let shard = table.shard_at(0);
    let mut expected = BTreeMap::new();
    let mut random = numbers();
    for step in 0..STEPS {
        // Alternates between few keys and many keys.
        let keys = if step / (STEPS / 5) % 2 == 0 { 40 } else { fewer(400, 80) };
        let key = 16 * random(keys);
        let new = value(step);
        match random(5) {
            0 | 1 => {
                let there = shard.lock_with_room().insert_first(key, hash(key), new);
                assert_eq!(there, expected.get(&key).copied());
                expected.entry(key).or_insert(new);
            }
            2 => {
                shard.lock().replace(key, hash(key), new);
                expected.entry(key).and_modify(|there| *there = new);
            }
            _ => {
                let removed = shard.lock().remove(key, hash(key));
                assert_eq!(removed, expected.remove(&key));
            }
        }
        assert_eq!(shard.find(key, hash(key)), expected.get(&key).copied());
        if step % 50 == 0 {
            check(shard, &expected);
        }
    }
}

#[test]
fn no_mark_is_left_when_everything_is_removed() {
    let table = Table::new();
    let shard = table.shard_at(0);
    let mut random = numbers();
    let passed = |shard: Shard<'_, usize>| {
        let array = shard.array.array();
        (0..array.groups()).filter(|group| tags(array, *group).was_passed()).count()
    };
    let mut most = 0;
    for _ in 0..fewer(20, 1) {
        let mut keys = BTreeSet::new();
        while keys.len() < 400 {
            keys.insert(16 * random(10_000));
        }
        for &key in &keys {
            shard.lock_with_room().insert(key, hash(key), value(key));
        }
        most = most.max(passed(shard));
        for key in keys {
            assert!(shard.lock().remove(key, hash(key)).is_some());
        }
        assert_eq!(passed(shard), 0);
    }
    assert!(most > 20, "{most} of {}", shard.array.array().groups());
}

#[test]
fn a_shard_grows_when_it_is_almost_full_and_not_before() {
    let table = Table::new();
    let shard = table.shard_at(0);
    assert!(shard.array.array().is_empty());
    let mut slots = 0;
    for number in 0..fewer(500, 60) {
        shard.lock_with_room().insert(16 * number, hash(16 * number), value(number));
        let entries = number + 1;
        if entries * 16 > slots * 13 {
            slots = if slots == 0 { 8 } else { 2 * slots };
        }
        assert_eq!(shard.array.array().groups() * SLOTS, slots, "of {entries} entries");
    }
    let replaced = std::iter::successors(shard.array.array().previous(), |array| array.previous());
    let replaced: usize = replaced.map(Array::groups).sum();
    assert_eq!(replaced, shard.array.array().groups() - 2, "each that was replaced, and not the empty one");
}
