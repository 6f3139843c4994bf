//! The policy `get_or_update`: an update replaces the value, and a read returns a clone of the newest value.

use std::collections::BTreeSet;
use std::sync::Barrier;
use std::thread;

use shadow_runtime::{Shadow, ShadowFields};

mod common;

use common::{Census, Life, elsewhere, fewer};

#[derive(Shadow, Default)]
#[shadow_field(get_or_update last_seen: u64)]
#[shadow_field(get_or_update route: Vec<u32>)]
#[shadow_field(get_or_update life: Life)]
struct Task {
    shadow: ShadowFields,
}

#[test]
fn a_field_that_is_not_attached_is_none() {
    let mut task = Task::default();
    assert_eq!(task.last_seen(), None);
    assert_eq!(task.last_seen_mut(), None);
    assert_eq!(task.detach_last_seen(), None);
    assert_eq!(task.last_seen(), None, "none of these attaches anything");
}

#[test]
fn an_update_attaches_or_replaces_and_returns_the_previous_value() {
    let task = Task::default();
    assert_eq!(task.update_last_seen(1), None);
    assert_eq!(task.last_seen(), Some(1));
    assert_eq!(task.update_last_seen(2), Some(1));
    assert_eq!(task.update_last_seen(3), Some(2));
    assert_eq!(task.last_seen(), Some(3));
}

#[test]
fn reading_gives_a_clone_that_later_updates_do_not_touch() {
    let task = Task::default();
    task.update_route(vec![1, 2]);
    let mut mine = task.route().unwrap();
    task.update_route(vec![3]);
    assert_eq!(mine, [1, 2]);
    mine.push(9);
    assert_eq!(task.route().unwrap(), [3]);
}

#[test]
fn a_value_that_is_read_often_stays_and_can_be_replaced() {
    let mut task = Task::default();
    let census = Census::default();
    for round in 0..3 {
        task.update_route(vec![round]);
        task.update_life(census.life());
        for _ in 0..fewer(1000, 100) {
            assert_eq!(task.route().unwrap(), [round]);
        }
        drop(task.life());
        assert_eq!(task.update_route(vec![9]), Some(vec![round]));
        assert_eq!(census.made() - census.dropped(), 1);
    }
    task.detach_life();
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn an_update_can_be_made_of_the_value_before_it() {
    let task = Task::default();
    let seen = task.update_route_with(|before| {
        assert_eq!(before, None);
        vec![1]
    });
    assert_eq!(seen, None);
    let append = |before: Option<&Vec<u32>>| {
        let mut route = before.unwrap().clone();
        route.push(2);
        route
    };
    assert_eq!(task.update_route_with(append), Some(vec![1]));
    assert_eq!(task.route().unwrap(), [1, 2]);
}

#[test]
fn the_closure_of_an_update_runs_again_if_another_update_came_between() {
    let task = Task::default();
    task.update_last_seen(1);
    let mut saw = Vec::new();
    let update = || {
        task.update_last_seen_with(|before| {
            saw.push(*before.unwrap());
            if saw.len() == 1 {
                elsewhere(|| task.update_last_seen(10));
            }
            before.unwrap() + 1
        })
    };
    let previous = common::never_hangs(update);
    assert_eq!(saw, [1, 10]);
    assert_eq!(previous, Some(10));
    assert_eq!(task.last_seen(), Some(11));
}

#[test]
fn the_closure_of_an_update_does_not_run_again_for_what_it_reads() {
    let task = Task::default();
    task.update_route(vec![1]);
    let mut runs = 0;
    let previous = task.update_route_with(|before| {
        runs += 1;
        for _ in 0..fewer(1000, 100) {
            assert_eq!(task.route().as_ref(), before);
        }
        vec![2]
    });
    assert_eq!((previous, runs), (Some(vec![1]), 1));
    assert_eq!(task.route().unwrap(), [2]);
}

#[test]
fn the_closure_of_a_first_update_runs_again_if_another_attached_before() {
    let task = Task::default();
    let mut saw = Vec::new();
    let update = || {
        task.update_last_seen_with(|before| {
            saw.push(before.copied());
            if saw.len() == 1 {
                elsewhere(|| task.update_last_seen(10));
            }
            before.map_or(1, |before| before + 1)
        })
    };
    let previous = common::never_hangs(update);
    assert_eq!(saw, [None, Some(10)]);
    assert_eq!((previous, task.last_seen()), (Some(10), Some(11)));
}

#[test]
fn a_closure_that_panics_changes_nothing() {
    let task = Task::default();
    task.update_last_seen(1);
    let message = common::panic_of(|| task.update_last_seen_with(|_| panic!("no next")));
    assert_eq!(message, "no next");
    assert_eq!(task.last_seen(), Some(1));
}

#[test]
fn an_attached_value_can_be_changed_by_exclusive_access() {
    let mut task = Task::default();
    task.update_route(vec![1]);
    task.route_mut().unwrap().push(2);
    assert_eq!(task.route().unwrap(), [1, 2]);
}

#[test]
fn a_detached_field_gives_its_value_back_and_can_be_attached_again() {
    let mut task = Task::default();
    task.update_last_seen(1);
    assert_eq!(task.detach_last_seen(), Some(1));
    assert_eq!(task.last_seen(), None);
    assert_eq!(task.detach_last_seen(), None);
    assert_eq!(task.update_last_seen(2), None, "there is nothing to replace");
    assert_eq!(task.last_seen(), Some(2));
}

#[test]
fn a_value_that_nobody_reads_comes_back_itself_and_not_a_clone() {
    let census = Census::default();
    let mut task = Task::default();
    task.update_life(census.life());
    let first = task.update_life(census.life());
    let second = task.update_life_with(|_| census.life());
    let third = task.detach_life();
    assert!(first.is_some() && second.is_some() && third.is_some());
    assert_eq!(census.made(), 3, "nothing was cloned");
    assert_eq!(census.dropped(), 0, "all of them came back");
}

#[test]
fn no_update_that_is_made_of_the_one_before_is_lost() {
    const THREADS: usize = 4;
    const ROUNDS: usize = fewer(500, 4);
    let task = Task::default();
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                start.wait();
                for _ in 0..ROUNDS {
                    task.update_last_seen_with(|before| before.map_or(1, |before| before + 1));
                }
            });
        }
    });
    assert_eq!(task.last_seen(), Some((THREADS * ROUNDS) as u64));
}

#[test]
fn of_racing_updates_each_value_is_the_previous_of_one_other_or_the_last() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = fewer(500, 4);
    let mut task = Task::default();
    let start = Barrier::new(4);
    let (shared, start) = (&task, &start);
    let mut returned: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                scope.spawn(move || {
                    start.wait();
                    let values = (0..ROUNDS).map(|round| thread * ROUNDS + round);
                    values.filter_map(|value| shared.update_last_seen(value)).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    returned.extend(task.detach_last_seen());
    assert_eq!(returned.len() as u64, THREADS * ROUNDS);
    assert_eq!(returned.into_iter().collect::<BTreeSet<_>>(), (0..THREADS * ROUNDS).collect());
}
