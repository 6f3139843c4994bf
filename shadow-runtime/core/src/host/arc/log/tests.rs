//! Tests of the parts of a log, with flags as hosts: whether, how soon, and in which order dead hosts are found.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::young::YOUNG;
use super::*;
use crate::fewer::fewer;

thread_local! {
    /// The keys of dead hosts.
    static DEAD: RefCell<BTreeSet<usize>> = const { RefCell::new(BTreeSet::new()) };
}

static FLAG: HostType = HostType { is_dead: |key| DEAD.with_borrow(|dead| dead.contains(&key)), name: || "Flag" };

/// The host of a number. Tests use each number once, and so uphold G1.
fn host(number: usize) -> LogEntry {
    LogEntry { key: 8 * (number + 1), host_type: &FLAG }
}

fn number_of(entry: LogEntry) -> usize {
    entry.into_key() / 8 - 1
}

fn kill(numbers: impl IntoIterator<Item = usize>) {
    DEAD.with_borrow_mut(|dead| dead.extend(numbers.into_iter().map(|number| host(number).into_key())));
}

/// A pseudo-random number, by a linear congruential generator.
fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).expect("31 bits") % below
}

/// Adds old hosts, in chunks of random lengths.
fn put(old: &mut Old, numbers: impl IntoIterator<Item = usize>, state: &mut u64) {
    let mut numbers = numbers.into_iter().peekable();
    while numbers.peek().is_some() {
        if old.needs_chunk() {
            old.put_empty(Chunk::empty());
        }
        let mut chunk = Chunk::empty();
        for number in numbers.by_ref().take(1 + random(state, CHUNK)) {
            chunk.push(host(number).into());
        }
        old.put(chunk);
    }
}

/// The dead hosts that `looks` looks find.
fn look(old: &mut Old, mut looks: usize) -> Vec<usize> {
    let mut found = Vec::new();
    while looks > 0 {
        found.extend(old.next_dead(&mut looks).map(number_of));
        drop(old.take_surplus());
        if old.len() == 0 {
            break;
        }
    }
    found
}

#[test]
fn two_passes_find_every_old_host_that_is_dead_and_no_other() {
    let (mut old, mut state) = (Old::new(), 1);
    let (mut next, mut living) = (0, BTreeSet::new());
    for _ in 0..fewer(300, 2) {
        let more = random(&mut state, 3 * CHUNK);
        put(&mut old, next..next + more, &mut state);
        living.extend(next..next + more);
        next += more;
        // The cursor starts from a random position.
        let looks = 1 + random(&mut state, 2 * CHUNK);
        assert_eq!(look(&mut old, looks), []);
        let dead: BTreeSet<_> = living.iter().copied().filter(|_| random(&mut state, 3) == 0).collect();
        kill(dead.iter().copied());
        living.retain(|number| !dead.contains(number));
        let passes = 2 * old.len();
        assert_eq!(look(&mut old, passes).into_iter().collect::<BTreeSet<_>>(), dead);
        assert_eq!(old.len(), living.len());
    }
}

#[test]
fn the_cursor_goes_through_old_hosts_in_their_order_one_way_and_then_the_other() {
    let (mut old, mut state) = (Old::new(), 2);
    let all = || 0..fewer(5, 2) * CHUNK;
    put(&mut old, all(), &mut state);
    kill(all());
    let found = look(&mut old, all().len());
    assert!(found.iter().copied().eq(all().rev()), "the newest first");
    put(&mut old, all().map(|number| number + all().len()), &mut state);
    assert_eq!(look(&mut old, all().len()), []);
    kill(all().map(|number| number + all().len()));
    let found = look(&mut old, all().len());
    assert!(found.is_sorted() && found.len() == all().len(), "then the oldest first");
}

/// Each host dies when the host before is found, or, reversed, the host after.
#[test]
fn a_chain_of_old_hosts_falls_in_two_passes_whichever_way_it_hangs_together() {
    for is_reversed in [false, true] {
        let (mut old, mut state, count) = (Old::new(), 3, fewer(7, 4) * CHUNK);
        let first = if is_reversed { 10 * count } else { 20 * count };
        put(&mut old, first..first + count, &mut state);
        look(&mut old, random(&mut state, count));
        kill([if is_reversed { first + count - 1 } else { first }]);
        // Under Miri, both generations have a part of the chain.
        let (mut looks, mut found) = (fewer(3, 8) * count, 0);
        while looks > 0 && old.len() > 0 {
            let Some(entry) = old.next_dead(&mut looks) else { continue };
            found += 1;
            let number = number_of(entry);
            kill([if is_reversed { number.wrapping_sub(1) } else { number + 1 }]);
        }
        assert_eq!(found, count);
    }
}

#[test]
fn a_sweep_is_done_when_a_pass_over_what_was_there_finds_nothing_whatever_comes_meanwhile() {
    let mut state = 4;
    for round in 0..fewer(60, 1) {
        let (mut old, first) = (Old::new(), 1_000_000 * (round + 1));
        let count = 1 + random(&mut state, 6 * CHUNK);
        put(&mut old, first..first + count, &mut state);
        look(&mut old, random(&mut state, 2 * count));
        kill((first..first + count).filter(|_| random(&mut state, 2) == 0));
        let dead =
            (first..first + count).filter(|number| DEAD.with_borrow(|dead| dead.contains(&(8 * (number + 1))))).count();
        let sweeps = [old.begin_sweep(), old.begin_sweep()];
        let (mut found, mut later) = (0, first + count);
        let mut steps = 0;
        while !sweeps.iter().all(|sweep| old.is_done(sweep)) {
            // Hosts that come during the sweep, dead at once.
            put(&mut old, later..later + 5, &mut state);
            kill(later..later + 5);
            later += 5;
            let entry = old.next_dead(&mut 64);
            found += usize::from(entry.is_some_and(|entry| number_of(entry) < first + count));
            steps += 1;
            assert!(steps < 100_000, "it does not end");
        }
        assert_eq!(found, dead);
        for sweep in sweeps {
            old.end_sweep(sweep);
        }
    }
}

/// Wherever the cursor is, above all at the ends of chunks, where a chunk is taken for hosts that then are dead.
#[test]
fn all_hosts_are_taken_wherever_the_cursor_has_found_a_dead_one() {
    const COUNT: usize = 3 * CHUNK;
    for dead in (0..COUNT).step_by(fewer(1, CHUNK / 2)).chain([CHUNK - 1, CHUNK + 1, COUNT - 1]) {
        let (mut old, first) = (Old::new(), 80_000_000 + 1000 * dead);
        old.put_empty(Chunk::empty());
        for chunk in 0..COUNT / CHUNK {
            let mut hosts = Chunk::empty();
            (0..CHUNK).for_each(|index| hosts.push(host(first + CHUNK * chunk + index).into()));
            old.put(hosts);
        }
        kill([first + dead]);
        let mut looks = 2 * COUNT;
        // The cursor turns twice before it meets new hosts.
        let found = (0..3).find_map(|_| old.next_dead(&mut looks));
        assert_eq!(found.map(number_of), Some(first + dead));
        let mut empty = Empty::none();
        let mut all = old.into_stack();
        let taken = std::iter::from_fn(|| all.pop(&mut empty).map(|host| number_of(host.into()))).collect::<Vec<_>>();
        assert!(taken.is_sorted_by(|newer, older| newer > older));
        assert_eq!(taken.len(), COUNT - 1, "of which {dead} was dead");
    }
}

#[test]
fn more_sweeps_at_a_time_than_there_is_room_for_end_too() {
    let (mut old, mut state) = (Old::new(), 5);
    put(&mut old, 50_000_000..50_000_000 + 3 * CHUNK, &mut state);
    let sweeps: Vec<_> = (0..20).map(|_| old.begin_sweep()).collect();
    kill(50_000_000..50_000_000 + 3 * CHUNK);
    let mut found = 0;
    while !sweeps.iter().all(|sweep| old.is_done(sweep)) {
        found += usize::from(old.next_dead(&mut 64).is_some());
    }
    assert_eq!(found, 3 * CHUNK);
}

#[test]
fn a_stack_gives_back_every_host_once_and_every_chunk() {
    let (mut stack, mut empty) = (Stack::new(), Empty::none());
    (0..4).for_each(|_| empty.put(Chunk::empty()));
    for number in 0..=3 * CHUNK {
        stack.push(host(number).into(), &mut empty);
    }
    assert_eq!((stack.len(), empty.len()), (3 * CHUNK + 1, 0));
    let mut below = Stack::new();
    below.push_chunk({
        let mut chunk = Chunk::empty();
        chunk.push(host(9_999_999).into());
        chunk
    });
    stack.put_below(below);
    let popped = std::iter::from_fn(|| stack.pop(&mut empty).map(|host| number_of(host.into())));
    assert!(popped.eq((0..=3 * CHUNK).rev().chain([9_999_999])));
    assert_eq!((stack.len(), empty.len()), (0, 5));
}

#[test]
fn a_young_host_is_found_before_four_times_as_many_have_come_as_it_has_lived() {
    for life in
        [1, 2, 3, 7, 8, 9, 30, 31, 32, 33, 100, 127, 128, 129, 400, 500].into_iter().filter(|life| *life < YOUNG)
    {
        let mut young = Young::new();
        let start = 100_000 * (life + 100);
        let mut found_at = None;
        for number in start..start + 5 * life + 20 {
            assert!(young.push(host(number)).is_none_or(|oldest| number_of(oldest) != start));
            if number == start + life {
                kill([start]);
            }
            if let Some(dead) = young.next_dead() {
                assert_eq!(number_of(dead.entry), start);
                found_at = Some(number - start);
                break;
            }
        }
        assert!(found_at.is_some_and(|after| after <= 4 * life + 2), "a life of {life} was found after {found_at:?}");
    }
}

/// A list that was built back to front: each host dies when the host after is found.
#[test]
fn a_young_list_falls_when_its_last_host_is_found() {
    const LENGTH: usize = fewer(100, 40);
    let (mut young, first) = (Young::new(), 90_000_000);
    for number in first..first + LENGTH {
        young.push(host(number));
        assert!(young.next_dead().is_none());
    }
    kill([first + LENGTH - 1]);
    let mut found = 0;
    for later in first + LENGTH..first + LENGTH + 10 {
        young.push(host(later));
        while let Some(dead) = young.next_dead() {
            found += 1;
            let may_be_more = dead.may_be_more;
            kill([number_of(dead.entry) - 1]);
            assert!(may_be_more || found == 1);
        }
    }
    assert_eq!(found, LENGTH);
}

#[test]
fn looks_that_were_deferred_are_made_and_no_host_is_lost() {
    const COUNT: usize = fewer(10, 2) * YOUNG;
    const DEAD: usize = YOUNG / 4 * 3;
    const LATER: usize = YOUNG + DEAD / 4;
    let (mut young, first) = (Young::new(), 70_000_000);
    let mut left = Vec::new();
    for number in first..first + COUNT {
        left.extend(young.push(host(number)).map(number_of));
    }
    kill(first + COUNT - DEAD..first + COUNT);
    let mut found = BTreeSet::new();
    for later in first + COUNT..first + COUNT + LATER {
        left.extend(young.push(host(later)).map(number_of));
        while let Some(dead) = young.next_dead() {
            assert!(found.insert(number_of(dead.entry)));
        }
    }
    left.extend(young.drain().map(number_of));
    let all: BTreeSet<_> = left.iter().copied().chain(found.iter().copied()).collect();
    assert_eq!((all.len(), left.len() + found.len()), (COUNT + LATER, COUNT + LATER), "each is in one place");
    assert!(found.len() >= DEAD - 10, "{} of {DEAD}", found.len());
}

/// The bound of the header: hosts become old and die in any order, and hosts pay for the looks.
#[test]
fn the_dead_are_at_most_as_many_as_the_living() {
    let orders: [fn(usize, usize, &mut u64) -> usize; 3] =
        // The oldest host dies; a random host; a host of the newer half.
        [|_, _, _| 0, |count, _, state| random(state, count), |count, step, _| count - 1 - step % (count / 2)];
    for (index, order) in orders.into_iter().enumerate() {
        let (mut old, mut state) = (Old::new(), 6);
        let live = fewer(100, 1) * CHUNK;
        let first = 2_000_000 * (index + 1);
        let mut living: Vec<_> = (first..first + live).collect();
        put(&mut old, living.iter().copied(), &mut state);
        let (mut most, mut looks) = (0, 0);
        for step in 0..fewer(8 * live / CHUNK, 2) {
            let next = first + live + step * CHUNK;
            put(&mut old, next..next + CHUNK, &mut state);
            living.extend(next..next + CHUNK);
            for each in 0..CHUNK {
                let position = order(living.len(), step * CHUNK + each, &mut state);
                kill([living.remove(position)]);
            }
            looks += CHUNK * (PER_TWO_ATTACHES + 2 * PER_PROMOTION) / 2;
            while looks > 0 {
                if old.next_dead(&mut looks).is_some() {
                    looks += PER_DEAD;
                }
                drop(old.take_surplus());
            }
            most = most.max(old.len() - living.len());
        }
        assert!(most <= live + CHUNK, "order {index}: {most} dead beside {live}");
    }
}
