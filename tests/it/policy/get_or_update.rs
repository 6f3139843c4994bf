//! The policy `get_or_update`: an update replaces the value, and a read returns a clone of the newest value.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

use support::{AtEnd, Census, Life, elsewhere, fewer, forever};

#[derive(Shadow, Default)]
#[shadow_field(get_or_update last_seen: u64)]
#[shadow_field(get_or_update route: Vec<u32>)]
#[shadow_field(get_or_update life: Life)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Owned for Shadowed<u8> { get_or_update last_seen: u64; get_or_update route: Vec<u32>; }
    trait Counted for Arc<u8> { get_or_update last_seen: u64; get_or_update route: Vec<u32>; }
    trait Fixed for &'static u8 { get_or_update last_seen: u64; get_or_update route: Vec<u32>; }
}

#[test]
fn a_field_that_is_not_attached_is_none() {
    let mut task = Task::default();
    assert_eq!(task.last_seen(), None);
    assert_eq!(task.take_last_seen(), None);
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
    let previous = support::never_hangs(update);
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
    let previous = support::never_hangs(update);
    assert_eq!(saw, [None, Some(10)]);
    assert_eq!((previous, task.last_seen()), (Some(10), Some(11)));
}

refusable_updates!();

/// Each attempt of a refused update drops what the closure made before, and keeps the attached value.
#[test]
fn a_refused_update_drops_what_lost_a_race() {
    let census = Census::default();
    let mut task = Task::default();
    let mut runs = 0;
    let refused = task.try_update_life_with(|_| {
        runs += 1;
        if runs > 1 {
            return Err(());
        }
        elsewhere(|| drop(task.update_life(census.life())));
        Ok(census.life())
    });
    assert!(refused.is_err());
    assert_eq!((runs, census.made() - census.dropped()), (2, 1));
    task.detach_life();
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn a_closure_that_panics_changes_nothing() {
    let task = Task::default();
    task.update_last_seen(1);
    let message = support::panic_of(|| task.update_last_seen_with(|_| panic!("no next")));
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

/// Takes the values of a host's first and second field, after no read or after many reads of a value.
macro_rules! takes {
    ($host:expr) => {
        for reads in [0, 1, fewer(1000, 50), 0] {
            assert_eq!($host.take_last_seen(), None, "there is nothing to take");
            assert_eq!(($host.update_last_seen(1), $host.update_route(vec![2])), (None, None));
            for _ in 0..reads {
                assert_eq!(($host.last_seen(), $host.route()), (Some(1), Some(vec![2])));
            }
            assert_eq!($host.take_last_seen(), Some(1));
            assert_eq!(($host.last_seen(), $host.route()), (None, Some(vec![2])), "the other field is as before");
            assert_eq!(($host.take_last_seen(), $host.last_seen()), (None, None));
            assert_eq!($host.update_last_seen(3), None, "there is nothing to replace");
            assert_eq!((elsewhere(|| $host.take_last_seen()), $host.last_seen()), (Some(3), None));
            assert_eq!($host.update_last_seen_with(|last| last.map_or(4, |_| 0)), None);
            assert_eq!(($host.last_seen(), $host.take_last_seen()), (Some(4), Some(4)));
            assert_eq!(($host.take_route(), $host.route()), (Some(vec![2]), None));
        }
    };
}

#[test]
fn a_value_that_is_taken_leaves_the_field_empty_until_the_next_update() {
    let mut task = Task::default();
    takes!(task);
    assert_eq!(task.last_seen_mut(), None);
    assert_eq!(task.detach_last_seen(), None);
    task.update_last_seen(5);
    assert_eq!((task.last_seen_mut().copied(), task.take_last_seen()), (Some(5), Some(5)));
    takes!(task);
    let (owned, shared, fixed) = (Shadowed::new(0_u8), Arc::new(0_u8), forever(0_u8));
    takes!(owned);
    takes!(shared);
    takes!(fixed);
}

/// The second field is attached first, so that the first field does not publish the field set.
#[test]
fn a_value_can_be_taken_whichever_field_was_attached_first() {
    let task = Task::default();
    task.update_route(vec![1]);
    assert_eq!((task.take_route(), task.route(), task.last_seen()), (Some(vec![1]), None, None));
    takes!(task);
}

#[test]
fn the_closure_of_an_update_runs_again_if_its_value_was_taken() {
    let task = Task::default();
    task.update_last_seen(1);
    let mut saw = Vec::new();
    let update = || {
        task.update_last_seen_with(|before| {
            saw.push(before.copied());
            if saw.len() == 1 {
                assert_eq!(elsewhere(|| task.take_last_seen()), Some(1));
            }
            before.map_or(10, |before| before + 1)
        })
    };
    assert_eq!(support::never_hangs(update), None);
    assert_eq!((saw, task.last_seen()), (vec![Some(1), None], Some(10)));
}

#[test]
fn the_closure_of_an_update_does_not_run_again_if_the_field_is_empty_again() {
    let task = Task::default();
    task.update_last_seen(1);
    task.take_last_seen();
    let mut runs = 0;
    let update = || {
        task.update_last_seen_with(|before| {
            runs += 1;
            assert_eq!(before, None);
            elsewhere(|| (task.update_last_seen(2), task.take_last_seen()));
            3
        })
    };
    assert_eq!(support::never_hangs(update), None);
    assert_eq!((runs, task.last_seen()), (1, Some(3)));
}

/// A take during a clone returns a second clone; the reader drops the value itself.
#[test]
fn a_value_that_is_taken_during_a_clone_is_dropped_by_the_reader() {
    struct Read(Life, Option<Box<dyn Fn() + Send + Sync>>);
    impl Clone for Read {
        fn clone(&self) -> Self {
            self.1.iter().for_each(|meanwhile| meanwhile());
            Self(self.0.clone(), None)
        }
    }
    shadow! { trait Reading for Arc<u16> { get_or_update read: Read; } }
    let census = Census::default();
    let host = Arc::new(0);
    let (taking, counts) = (Arc::downgrade(&host), census.clone());
    let is_first = AtomicBool::new(true);
    let take = move || {
        if is_first.swap(false, Ordering::Relaxed) {
            let host = taking.upgrade().unwrap();
            drop(host.take_read().expect("it is there"));
            assert!(host.take_read().is_none() && host.read().is_none());
            assert_eq!((counts.made(), counts.dropped()), (2, 1), "the clone that was taken is gone");
        }
    };
    assert!(host.update_read(Read(census.life(), Some(Box::new(take)))).is_none());
    assert!(host.read().is_some());
    assert_eq!((census.made(), census.dropped()), (3, 3));
    assert!(host.read().is_none());
}

#[test]
fn a_value_that_nobody_reads_comes_back_itself_and_not_a_clone() {
    let census = Census::default();
    let mut task = Task::default();
    task.update_life(census.life());
    let first = task.update_life(census.life());
    let second = task.update_life_with(|_| census.life());
    let third = task.take_life();
    task.update_life(census.life());
    let fourth = task.detach_life();
    assert!(first.is_some() && second.is_some() && third.is_some() && fourth.is_some());
    assert_eq!(census.made(), 4, "nothing was cloned");
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
    each_value_comes_back_once(|task, value| [task.update_last_seen(value), None]);
}

#[test]
fn of_racing_updates_and_takes_each_value_is_handed_out_once() {
    each_value_comes_back_once(|task, value| [task.update_last_seen(value), task.take_last_seen()]);
}

/// Runs `act` on several threads with different values. The results and the last value are all values, each once.
fn each_value_comes_back_once(act: fn(&Task, u64) -> [Option<u64>; 2]) {
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
                    values.flat_map(|value| act(shared, value)).flatten().collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    returned.extend(task.detach_last_seen());
    assert_eq!(returned.len() as u64, THREADS * ROUNDS);
    assert_eq!(returned.into_iter().collect::<BTreeSet<_>>(), (0..THREADS * ROUNDS).collect());
}

/// Readers of the first field, whose reads take a shortcut, and of the second field.
#[test]
fn readers_find_a_whole_value_or_none_while_others_take_it() {
    const ROUNDS: u32 = fewer(2000, 6);
    let task = Task::default();
    task.update_last_seen(1);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(task.last_seen().is_none_or(|seen| seen <= u64::from(ROUNDS)));
                    assert!(task.route().is_none_or(|route| route.len() == 3 && route[0] == route[2]));
                }
            });
        }
        // Also after a failure, or the other threads would run for ever.
        let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
        for round in 1..=ROUNDS {
            task.update_route(vec![round; 3]);
            assert!(task.take_last_seen().is_some());
            assert_eq!(task.take_route(), Some(vec![round; 3]));
            task.update_last_seen(u64::from(round));
        }
    });
    assert_eq!((task.last_seen(), task.route()), (Some(u64::from(ROUNDS)), None));
}
