//! Rule R7 for short-lived hosts: the dead hosts are at most as many as the attaches of about four lifetimes. So a few
//! large values beside many small values cost little.
//!
//! The table of `Arc` hosts is process-wide, so the tests run sequentially.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use shadow_runtime::{registry, shadow};

use support::tally::{Body, Held, Tally};
use support::{alone, fewer, sized};

/// The bound of the dead hosts in addition to four lifetimes.
const FEW: isize = 256;

/// The size of a large value.
const LARGE: usize = 100_000;

shadow! {
    trait BodyFields<T: Send + Sync + 'static> for Arc<T> { attach body: Body; }
}

/// Attaches to `count` hosts that live as long as the test.
fn sessions(count: usize) -> Vec<Arc<u32>> {
    let tally = Tally::new();
    (0..sized(count))
        .map(|_| {
            let session = Arc::new(0);
            assert!(session.attach_body(tally.body(4)).is_ok());
            session
        })
        .collect()
}

/// Attaches to `count` hosts. Every host dies `life` attaches later.
fn requests(tally: &Tally, count: usize, life: usize, bytes: usize) {
    let mut alive: VecDeque<Held<u64>> = VecDeque::new();
    for _ in 0..count {
        let request = tally.hold(Arc::new(0));
        assert!(request.host.attach_body(tally.body(bytes)).is_ok());
        alive.push_back(request);
        if alive.len() > life {
            alive.pop_front();
        }
    }
}

#[test]
fn large_values_that_die_young_cost_little_beside_many_small_ones() {
    let _alone = alone();
    let crowd = sessions(fewer(100_000, 20_000));
    let tally = Tally::new();
    requests(&tally, sized(20_000), 16, LARGE);
    let above = tally.most_bytes() - tally.most_live() * isize::try_from(LARGE).unwrap();
    println!("{} dead, {} kB above what lives", tally.most_dead(), above / 1000);
    assert!(above < 50_000_000, "{above} bytes, of {} dead", tally.most_dead());
    drop(crowd);
}

/// A lifetime counts the attaches of the host's own thread.
#[test]
fn large_values_of_several_threads_cost_little_too() {
    let _alone = alone();
    let crowd = sessions(fewer(100_000, 20_000));
    let tally = Tally::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| requests(&tally, sized(10_000), 16, LARGE));
        }
    });
    let above = tally.most_bytes() - tally.most_live() * isize::try_from(LARGE).unwrap();
    println!("{} dead, {} kB above what lives", tally.most_dead(), above / 1000);
    assert!(above < 4 * 50_000_000, "{above} bytes, of {} dead", tally.most_dead());
    drop(crowd);
}

#[test]
fn the_dead_are_those_of_about_four_lifetimes() {
    let _alone = alone();
    for crowd in [0, fewer(100_000, 70_000)] {
        registry().sweep();
        let crowd = sessions(crowd);
        for life in [2, 8, 32, 128, 500].into_iter().take(fewer(5, 2)) {
            registry().sweep();
            let tally = Tally::new();
            requests(&tally, sized(fewer(50_000, 20_000)), life, 0);
            let (dead, bound) = (tally.most_dead(), 4 * isize::try_from(life).unwrap() + FEW);
            println!("lives of {life} attaches beside {}: {dead} dead", crowd.len());
            assert!(dead <= bound, "lives of {life} attaches beside {}: {dead} dead", crowd.len());
        }
    }
}

/// Every ninth attach is to a host that lives longer. Half of these hosts die when old.
#[test]
fn hosts_that_live_longer_do_not_keep_the_young_ones() {
    let _alone = alone();
    let crowd = sessions(fewer(100_000, 20_000));
    let (tally, older) = (Tally::new(), Tally::new());
    let mut alive = VecDeque::new();
    for number in 0..sized(4000) {
        requests(&tally, 8, 2, 0);
        let session = older.hold(Arc::new(0_u32));
        assert!(session.host.attach_body(older.body(4)).is_ok());
        alive.push_back(session);
        if number % 2 == 0 && alive.len() > fewer(300, 1) {
            alive.pop_front();
        }
    }
    let (dead, bound) = (tally.most_dead(), 4 * 3 + FEW);
    println!("{dead} dead");
    assert!(dead <= bound, "{dead} dead");
    drop(crowd);
}
