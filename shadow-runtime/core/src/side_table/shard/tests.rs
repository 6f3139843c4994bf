//! A shard by itself: as a map, its growth, its sweeps.

use std::collections::{BTreeMap, BTreeSet};

use super::sweep::MOST_GROUPS;
use super::writer::{position, tags};
use super::*;
use crate::side_table::array::SLOTS;
use crate::side_table::{SideTable, hash};

type Table = SideTable<usize, 1>;

/// A value that is told apart by its address, and is not looked at.
fn value(number: usize) -> NonNull<usize> {
    NonNull::new(std::ptr::without_provenance_mut(8 * (number + 1))).expect("more than 0")
}

/// Numbers that look as if there were no order in them.
fn numbers() -> impl FnMut(usize) -> usize {
    let mut state = 1_u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).expect("31 bits") % below
    }
}

fn everything(shard: Shard<'_, usize>) -> BTreeMap<usize, NonNull<usize>> {
    let mut seen = BTreeMap::new();
    shard.lock().each(|key, value| assert!(seen.insert(key, value).is_none(), "{key} is there twice"));
    seen
}

/// T2, by the header's words; and that what is there is where it is looked for.
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
    let table = Table::new();
    let shard = table.shard_at(0);
    let mut expected = BTreeMap::new();
    let mut random = numbers();
    for step in 0..20_000 {
        // Now few, now many.
        let keys = if step / 4000 % 2 == 0 { 40 } else { 400 };
        let key = 16 * random(keys);
        let new = value(step);
        match random(6) {
            0 | 1 => {
                let there = shard.lock().insert_first(key, hash(key), new);
                assert_eq!(there, expected.get(&key).copied());
                expected.entry(key).or_insert(new);
            }
            2 => {
                shard.lock().replace(key, hash(key), new);
                expected.entry(key).and_modify(|there| *there = new);
            }
            3 => {
                assert_eq!(shard.lock().remove_if(key, hash(key), |_| false), None);
            }
            _ => {
                let expected = expected.remove(&key);
                let asked = |there| {
                    assert_eq!(Some(there), expected);
                    true
                };
                assert_eq!(shard.lock().remove_if(key, hash(key), asked), expected);
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
    for _ in 0..20 {
        let mut keys = BTreeSet::new();
        while keys.len() < 400 {
            keys.insert(16 * random(10_000));
        }
        for &key in &keys {
            shard.lock().insert(key, hash(key), value(key));
        }
        most = most.max(passed(shard));
        for key in keys {
            assert!(shard.lock().remove_if(key, hash(key), |_| true).is_some());
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
    for number in 0..500 {
        shard.lock().insert(16 * number, hash(16 * number), value(number));
        let entries = number + 1;
        if entries * 16 > slots * 13 {
            slots = if slots == 0 { 8 } else { 2 * slots };
        }
        assert_eq!(shard.array.array().groups() * SLOTS, slots, "of {entries} entries");
    }
    let replaced: usize = shard.lock().writer.replaced.iter().map(|array| array.groups()).sum();
    assert_eq!(replaced, shard.array.array().groups() - 2, "each that was replaced, and not the empty one");
}

#[test]
fn a_sweep_takes_out_what_is_gone_and_only_that() {
    let table = Table::new();
    let shard = table.shard_at(0);
    let mut random = numbers();
    let mut expected = BTreeMap::new();
    for round in 0..200 {
        while expected.len() < 300 {
            let key = 16 * random(2000);
            if shard.lock().insert_first(key, hash(key), value(round)).is_none() {
                expected.insert(key, value(round));
            }
        }
        let dead: BTreeSet<_> = expected.keys().copied().filter(|_| random(3) == 0).collect();
        let is_gone = |key: usize, there: NonNull<usize>| {
            assert_eq!(expected.get(&key), Some(&there));
            dead.contains(&key)
        };
        let mut gone = Vec::new();
        shard.lock().sweep_all(|_, _| (), is_gone, &mut gone);
        assert_eq!(gone.iter().map(|(key, _)| *key).collect::<BTreeSet<_>>(), dead);
        assert_eq!(gone.len(), dead.len());
        assert!(gone.iter().all(|(key, there)| expected.get(key) == Some(there)));
        expected.retain(|key, _| !dead.contains(key));
        check(shard, &expected);
    }
}

#[test]
fn a_sweep_sees_a_few_entries_at_a_time_and_in_the_end_all() {
    let table = Table::new();
    let shard = table.shard_at(0);
    for number in 0..300 {
        shard.lock().insert(16 * number, hash(16 * number), value(number));
    }
    let groups = shard.array.array().groups();
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let (mut passed, mut sweeps) = (0, 0);
    while passed < groups {
        let before = seen.borrow().len();
        let note = |key, _: NonNull<usize>| {
            seen.borrow_mut().insert(key);
            false
        };
        passed += shard.lock().sweep(4, |_, _| (), note, &mut Vec::new());
        sweeps += 1;
        let now = seen.borrow().len() - before;
        assert!(now < 4 + SLOTS, "{now} at a time");
        assert!(now >= 4 || passed >= groups, "{now} at a time");
    }
    assert_eq!(seen.borrow().len(), 300);
    assert!(sweeps > 300 / 8, "{sweeps}");
    assert_eq!(shard.entries(), 300);
}

#[test]
fn a_sweep_of_a_shard_that_is_almost_vacant_ends() {
    let table = Table::new();
    let shard = table.shard_at(0);
    for number in 0..3000 {
        shard.lock().insert(16 * number, hash(16 * number), value(number));
    }
    shard.lock().sweep_all(|_, _| (), |key, _| key != 0, &mut Vec::new());
    assert!(shard.array.array().groups() > MOST_GROUPS);
    assert_eq!(shard.lock().sweep(100, |_, _| (), |_, _| false, &mut Vec::new()), MOST_GROUPS);
}

#[test]
fn a_round_has_seen_a_shard_when_it_has_seen_all_its_groups() {
    let table = Table::new();
    let shard = table.shard_at(0);
    for number in 0..300 {
        shard.lock().insert(16 * number, hash(16 * number), value(number));
    }
    for round in 1..4 {
        let seen = std::cell::RefCell::new(BTreeSet::new());
        let mut sweeps = 0;
        loop {
            assert!(!shard.is_swept(round));
            sweeps += 1;
            let note = |key, _: NonNull<usize>| {
                seen.borrow_mut().insert(key);
                false
            };
            if shard.lock().sweep_round(round, 16, |_, _| (), note, &mut Vec::new()) {
                break;
            }
        }
        assert!(shard.is_swept(round));
        assert_eq!(seen.borrow().len(), 300, "from end to end");
        assert!((300 / 20..=300 / 16 + 1).contains(&sweeps), "{sweeps}");
        // It is said once.
        assert!(!shard.lock().sweep_round(round, 16, |_, _| (), |_, _| unreachable!(), &mut Vec::new()));
    }
}

/// However many rounds have been since: a thread may rest for long between its look at which round is on and the shard. If
/// it had a round that is over begin again, that would be counted once too often, and there would never be another round.
#[test]
fn who_is_late_with_a_round_sweeps_nothing_and_counts_nothing() {
    // Also where the number of rounds wraps around.
    for before in [0, usize::MAX - 3] {
        let table = Table::new();
        let shard = table.shard_at(0);
        for number in 0..100 {
            shard.lock().insert(16 * number, hash(16 * number), value(number));
        }
        shard.upkeep.swept.store(before, Ordering::Relaxed);
        let sweep = |round| shard.lock().sweep_round(round, 16, |_, _| (), |_, _| false, &mut Vec::new());
        let rounds = (1..8).map(|number| before.wrapping_add(number));
        for (over, round) in rounds.clone().enumerate() {
            let nobody_is_late = || {
                for late in rounds.clone().take(over) {
                    assert!(shard.is_swept(late), "{late} is over in {round}");
                    let seen = |_, _| unreachable!("{late} is over in {round}");
                    assert!(!shard.lock().sweep_round(late, 16, |_, _| (), seen, &mut Vec::new()));
                }
            };
            nobody_is_late();
            assert!(!sweep(round), "a part of it is still to be seen");
            nobody_is_late();
            assert!(!shard.is_swept(round));
            assert!((0..100).any(|_| sweep(round)), "it is seen to the end");
            nobody_is_late();
            assert!(shard.is_swept(round));
        }
    }
}

#[test]
fn a_shard_that_has_grown_is_seen_from_end_to_end_again() {
    let table = Table::new();
    let shard = table.shard_at(0);
    let mut count = 0;
    let mut fill = |until: usize| {
        while count < until {
            shard.lock().insert(16 * count, hash(16 * count), value(count));
            count += 1;
        }
    };
    fill(100);
    let sweep = |seen: &mut Vec<usize>| {
        let seen = std::cell::RefCell::new(seen);
        let note = |key, _: NonNull<usize>| {
            seen.borrow_mut().push(key);
            false
        };
        shard.lock().sweep_round(1, 16, |_, _| (), note, &mut Vec::new())
    };
    let mut seen = Vec::new();
    while seen.len() < 50 {
        assert!(!sweep(&mut seen));
    }
    fill(300);
    seen.clear();
    while !sweep(&mut seen) {}
    assert_eq!(seen.into_iter().collect::<BTreeSet<_>>().len(), 300);
}
