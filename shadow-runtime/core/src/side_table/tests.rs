//! Tests of a single shard, with a map, backward-shift deletion, and growth by load factor; and of a table of shards.

use std::collections::{BTreeMap, BTreeSet};
use std::ptr;

use super::array::SLOTS;
use super::writer::{position, tags};
use super::*;
use crate::fewer::fewer;

type Table = SideTable<usize, 1>;

/// A pointer for identity only, without provenance. No test dereferences the pointer.
fn value(number: usize) -> NonNull<usize> {
    NonNull::new(ptr::without_provenance_mut(8 * (number + 1))).expect("more than 0")
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

/// The tags of each group with the overflow bit.
fn overflowed(array: Array<usize>) -> impl Iterator<Item = Tags> {
    // SAFETY: `group` is less than `groups`.
    let tags = (0..array.groups()).map(move |group| unsafe { tags(array, group) });
    tags.filter(|tags| tags.has_overflowed())
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
            // SAFETY: the group is less than `groups`: `home` or `after` has returned it.
            let tags = unsafe { tags(array, group) };
            assert!(tags.has_overflowed(), "a group before that of a key does not say so");
            group = array.after(group);
        }
    }
    for tags in overflowed(array) {
        assert_eq!(tags.vacant(), None, "a group with the overflow bit has room");
    }
}

#[test]
fn a_shard_is_a_map() {
    const STEPS: usize = fewer(20_000, 100);
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

/// Insertions by reservations, and other insertions, in any order. A reserved slot stays free until its insertion, also
/// when the shard grows meanwhile.
#[test]
fn a_reservation_has_its_slot_whatever_is_inserted_meanwhile() {
    let table = Table::new();
    let shard = table.shard_at(0);
    let (mut expected, mut reservations, mut random) = (BTreeMap::new(), Vec::new(), numbers());
    for step in 0..fewer(20_000, 100) {
        let key = 16 * random(300);
        let reserved: Option<Reservation<'_, usize>> =
            if random(3) == 0 && !reservations.is_empty() { Some(reservations.swap_remove(0)) } else { None };
        match random(5) {
            0 | 1 if reservations.len() < 100 => reservations.push(shard.try_reserve().expect("there is memory")),
            // A drop of `reserved`, if there is one.
            2 => {}
            _ => {
                let array = shard.array.array();
                let by_reservation = reserved.is_some();
                let guard = reserved.map_or_else(|| shard.lock_with_room(), Reservation::lock);
                assert!(!by_reservation || shard.array.array() == array, "a reserved insertion needs no growth");
                guard.insert_first(key, hash(key), value(step));
                expected.entry(key).or_insert_with(|| value(step));
            }
        }
        if random(100) == 0 {
            for (key, _) in std::mem::take(&mut expected) {
                shard.lock().remove(key, hash(key));
            }
        }
        let taken = shard.entries() + reservations.len();
        assert!(taken <= shard.array.array().groups() * SLOTS * 13 / 16, "{taken}");
        if step % 50 == 0 {
            check(shard, &expected);
        }
    }
    // Without reservations, the shard fills as far as before any.
    drop(reservations);
    let capacity = shard.array.array().groups() * SLOTS * 13 / 16;
    for key in (301..).map(|number| 16 * number).take(capacity - shard.entries()) {
        assert!(shard.lock_if_roomy().is_some());
        shard.lock_with_room().insert(key, hash(key), value(key));
    }
    assert!(shard.lock_if_roomy().is_none());
}

#[test]
fn no_overflow_bit_is_left_when_everything_is_removed() {
    let table = Table::new();
    let shard = table.shard_at(0);
    let mut random = numbers();
    let overflowed = |shard: Shard<'_, usize>| overflowed(shard.array.array()).count();
    let mut most = 0;
    for _ in 0..fewer(20, 1) {
        let mut keys = BTreeSet::new();
        while keys.len() < fewer(400, 100) {
            keys.insert(16 * random(10_000));
        }
        for &key in &keys {
            shard.lock_with_room().insert(key, hash(key), value(key));
        }
        most = most.max(overflowed(shard));
        for key in keys {
            assert!(shard.lock().remove(key, hash(key)).is_some());
        }
        assert_eq!(overflowed(shard), 0);
    }
    assert!(most > fewer(20, 3), "{most} of {}", shard.array.array().groups());
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

/// The number of keys in the fullest of 128 buckets.
fn fullest(keys: impl Iterator<Item = usize>, part: fn(u64) -> u64) -> usize {
    let mut parts = [0; 128];
    keys.for_each(|key| parts[usize::try_from(part(hash(key)) % 128).unwrap()] += 1);
    parts.into_iter().max().unwrap()
}

#[test]
fn addresses_are_spread_over_the_shards_the_tags_and_the_groups_whatever_their_stride() {
    const COUNT: usize = 128 * fewer(64, 8);
    let strides = [8, 16, 48, 64, 80, 1024, 4096, 4112, 1 << 21];
    let first = 0x7f << (usize::BITS - 24);
    // Addresses of 32 bits have no room for the longest stride. Under Miri, one stride.
    let fitting = strides.into_iter().filter(|stride| usize::MAX / stride > 2 * COUNT);
    for stride in fitting.take(fewer(usize::MAX, 1)) {
        let keys = || (1..=COUNT).map(|number| first + number * stride);
        for part in
            [|hash| hash, |hash| hash >> 7, |hash| hash >> 15, |hash| hash >> 23, |hash| hash >> 31, |hash| hash >> 57]
        {
            let most = fullest(keys(), part);
            assert!(most < COUNT / 128 * 2, "{most} for a stride of {stride}");
        }
    }
}

#[test]
fn every_shard_is_reached_by_its_number_and_once() {
    let table = SideTable::<u8, 4>::new();
    assert_eq!(table.shards().count(), 4);
    for (number, shard) in table.shards().enumerate() {
        shard.lock_with_room().insert(8, hash(8), NonNull::dangling());
        assert_eq!(table.shard_at(number).entries(), 1);
        assert_eq!(table.shard_at(number + 4).entries(), 1);
        assert!((number + 1..4).all(|later| table.shard_at(later).entries() == 0));
    }
}

#[test]
fn what_is_put_in_is_found_at_home_and_elsewhere_and_in_every_shard() {
    const COUNT: usize = fewer(2000, 100);
    let table = SideTable::<u8, 4>::new();
    let keys = || (1..=COUNT).map(|number| 16 * number);
    let value = |key| NonNull::new(ptr::without_provenance_mut::<u8>(key));
    for key in keys() {
        assert_eq!(table.find(key), None);
        table.shard(hash(key)).lock_with_room().insert(key, hash(key), value(key).expect("not null"));
    }
    assert!(keys().all(|key| table.find(key) == value(key)));
    assert!(table.shards().all(|shard| shard.entries() > COUNT / 5));
}

/// The keys of a walk. Calls `between` after each step, with the shard unlocked.
fn walk(shard: Shard<'_, usize>, mut between: impl FnMut(usize)) -> Vec<usize> {
    let mut last = None;
    std::iter::from_fn(|| {
        last = shard.lock().key_after(last);
        last.inspect(|key| between(*key))
    })
    .collect()
}

/// Keys of a full array, in the order of a walk.
fn filled(shard: Shard<'_, usize>, count: usize) -> Vec<usize> {
    let mut random = numbers();
    let mut keys = BTreeSet::new();
    while keys.len() < count {
        keys.insert(16 * (1 + random(1 << 20)));
    }
    for &key in &keys {
        shard.lock_with_room().insert(key, hash(key), value(key));
    }
    let mut keys: Vec<_> = keys.into_iter().collect();
    keys.sort_unstable_by_key(|key| (hash(*key), *key));
    keys
}

#[test]
fn a_walk_passes_every_key_once_in_the_order_of_the_hashes() {
    for count in (0..fewer(100, 12)).chain(fewer(1660, 0)..fewer(1670, 0)) {
        let table = Table::new();
        let shard = table.shard_at(0);
        let keys = filled(shard, count);
        assert_eq!(walk(shard, |_| ()), keys);
    }
}

/// Most keys have the last group as their home group, and are in the first groups: the probe sequence wraps.
#[test]
fn a_walk_finds_the_keys_of_the_last_group_in_the_first_groups() {
    let table = Table::new();
    let shard = table.shard_at(0);
    let keys_of = |home, count| (1..).map(|number| 16 * number).filter(move |key| hash(*key) >> 61 == home).take(count);
    let mut keys: Vec<_> = keys_of(7, 20).chain(keys_of(6, 2)).collect();
    for &key in &keys {
        shard.lock_with_room().insert(key, hash(key), value(key));
    }
    keys.sort_unstable_by_key(|key| hash(*key));
    let array = shard.array.array();
    assert_eq!(array.groups(), 8);
    let group = |key: &usize| position(array, *key, hash(*key)).expect("it was inserted").group;
    assert_eq!(keys.iter().filter(|key| group(key) < 6).count(), 16);
    assert_eq!(walk(shard, |_| ()), keys);
}

#[test]
fn a_walk_goes_on_where_it_was_when_keys_are_removed_ahead_and_behind() {
    const COUNT: usize = fewer(1000, 40);
    let table = Table::new();
    let shard = table.shard_at(0);
    let keys = filled(shard, COUNT);
    let index = |key| keys.iter().position(|other| *other == key).expect("it was inserted");
    let remove = |key: usize| shard.lock().remove(key, hash(key)).is_some();
    // At every third key: this key, a key far behind, a key far ahead, and the next key.
    let mut gone = BTreeSet::new();
    let seen = walk(shard, |key| {
        let at = index(key);
        if at % 3 == 0 {
            for other in [at, at / 2, usize::midpoint(at, COUNT), at + 1].into_iter().filter(|other| *other < COUNT) {
                if remove(keys[other]) && other > at {
                    gone.insert(keys[other]);
                }
            }
        }
    });
    assert!(gone.len() > COUNT / 5, "{}", gone.len());
    assert!(seen.iter().eq(keys.iter().filter(|key| !gone.contains(key))));
}

#[test]
fn a_walk_passes_every_key_once_while_the_shard_grows() {
    const COUNT: usize = fewer(50, 4);
    let table = Table::new();
    let shard = table.shard_at(0);
    let keys = filled(shard, COUNT);
    let before = shard.array.array().groups();
    let (mut added, mut next) = (BTreeSet::new(), 1);
    let seen = walk(shard, |last| {
        // A walk of a shard that gets several keys in each step may take long.
        for _ in 0..if next < 16 * fewer(2000, 120) { 20 } else { 0 } {
            // No other key is odd.
            next += 16;
            shard.lock_with_room().insert(next, hash(next), value(next));
            if hash(next) > hash(last) {
                added.insert(next);
            }
        }
    });
    assert!(shard.array.array().groups() >= 8 * before);
    assert!(seen.is_sorted_by(|one, next| hash(*one) < hash(*next)), "a key comes twice");
    let new = seen.iter().copied().filter(|key| key % 2 == 1).collect();
    assert_eq!(added, new, "keys that were inserted ahead come, too");
    assert!(seen.into_iter().filter(|key| key % 2 == 0).eq(keys));
}
