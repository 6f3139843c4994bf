//! Rule R7 after a peak: after half as many attaches as the peak had hosts, at most a tenth of the dead hosts is left.
//!
//! The table of `Arc` hosts is process-wide, so the tests run sequentially.

use std::sync::{Arc, mpsc};
use std::thread;

use shadow_runtime::shadow;

use support::tally::{Body, Held, Tally};
use support::{Random, alone, fewer, sized};

shadow! { trait BodyFields for Arc<u64> { attach body: Body; } }

fn attach(tally: &Tally) -> Held<u64> {
    let held = tally.hold(Arc::new(0));
    assert!(held.host.attach_body(tally.body(0)).is_ok());
    held
}

/// Attaches to a crowd, on `threads` threads that have ended on return, or on this thread if `threads` is 0.
fn crowd(tally: &Tally, hosts: usize, threads: usize) -> Vec<Held<u64>> {
    if threads == 0 {
        return (0..hosts).map(|_| attach(tally)).collect();
    }
    let makers: Vec<_> = (0..threads)
        .map(|_| {
            let tally = tally.clone();
            thread::spawn(move || (0..hosts / threads).map(|_| attach(&tally)).collect::<Vec<_>>())
        })
        .collect();
    makers.into_iter().flat_map(|maker| maker.join().unwrap()).collect()
}

/// Attaches to a crowd on `threads` threads, and drops the hosts that `dies` does not keep. Then attaches half as
/// often, to hosts that live long or die at once, and checks how many dead hosts are left.
fn after_a_peak(what: &str, hosts: usize, threads: usize, dies: fn(Vec<Held<u64>>) -> Vec<Held<u64>>) {
    for long in [false, true] {
        let _alone = alone();
        let hosts = sized(hosts);
        let tally = Tally::new();
        let left = dies(crowd(&tally, hosts, threads));
        let dead = tally.dead();
        let later = Tally::new();
        let mut alive = Vec::new();
        for _ in 0..hosts / 2 {
            let host = attach(&later);
            if long {
                alive.push(host);
            }
        }
        println!("{what}, then long-lived ones: {long}: {} of {dead} are left", tally.dead());
        // 1,000 dead hosts are allowed at any time. This bound applies under Miri, where the crowd is small.
        assert!(
            tally.dead() <= (dead / 10).max(1000),
            "{what}, then long-lived ones: {long}: {} of {dead} are left",
            tally.dead()
        );
        drop(left);
    }
}

fn all(_: Vec<Held<u64>>) -> Vec<Held<u64>> {
    Vec::new()
}

fn random_half(mut hosts: Vec<Held<u64>>) -> Vec<Held<u64>> {
    let mut random = Random(5);
    hosts.retain(|_| random.below(2) == 0);
    hosts
}

fn older_half(hosts: Vec<Held<u64>>) -> Vec<Held<u64>> {
    let half = hosts.len() / 2;
    hosts.into_iter().skip(half).collect()
}

fn newer_half(mut hosts: Vec<Held<u64>>) -> Vec<Held<u64>> {
    hosts.truncate(hosts.len() / 2);
    hosts
}

#[test]
fn all_of_which_died() {
    after_a_peak("all died", fewer(200_000, 70_000), 0, all);
}

#[test]
fn half_of_which_died_at_random() {
    after_a_peak("half died, at random", fewer(100_000, 20_000), 0, random_half);
}

#[test]
fn the_older_half_of_which_died() {
    after_a_peak("the older half died", fewer(100_000, 20_000), 0, older_half);
}

#[test]
fn the_newer_half_of_which_died() {
    after_a_peak("the newer half died", fewer(100_000, 20_000), 0, newer_half);
}

/// Hosts that have left the ring of young hosts wait for a chunk to fill, but not for ever. Under Miri, the attaches
/// are too few for the end of the wait.
#[test]
fn of_a_few_that_wait_to_become_old() {
    let _alone = alone();
    let (tally, later) = (Tally::new(), Tally::new());
    let hosts = crowd(&tally, fewer(600, 80), 0);
    drop(hosts);
    (0..fewer(10_000, 10)).for_each(|_| drop(attach(&later)));
    assert!(tally.dead() <= fewer(0, 80), "{} are left", tally.dead());
}

/// Attaches before the peak, and before the deaths, move the cursor.
#[test]
fn the_newer_half_of_which_died_wherever_the_cursor_was() {
    for hosts in fewer([20_000, 40_000], [20_000, 30_000]).map(sized) {
        for step in 0..fewer(12, 2) {
            let _alone = alone();
            let (tally, others) = (Tally::new(), Tally::new());
            let pass_by = |attaches| (0..attaches).for_each(|_| drop(attach(&others)));
            pass_by(step * hosts / 24);
            let crowd = crowd(&tally, hosts, 0);
            pass_by(step * hosts / 24);
            let left = newer_half(crowd);
            let dead = tally.dead();
            pass_by(hosts / 2);
            assert!(tally.dead() <= (dead / 10).max(1000), "step {step}: {} of {dead} are left", tally.dead());
            drop(left);
        }
    }
}

#[test]
fn of_a_thread_that_has_ended() {
    after_a_peak("another thread's", fewer(100_000, 20_000), 1, all);
}

#[test]
fn of_four_threads_that_have_ended() {
    after_a_peak("four threads'", fewer(100_000, 20_000), 4, all);
}

#[test]
fn of_four_threads_half_of_which_died_at_random() {
    after_a_peak("four threads', half of which died at random", fewer(100_000, 20_000), 4, random_half);
}

/// The thread has not ended, and attaches no more.
#[test]
fn of_a_thread_that_waits() {
    let _alone = alone();
    let tally = Tally::new();
    let hosts = sized(fewer(100_000, 20_000));
    thread::scope(|scope| {
        let (crowds, crowd_of) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let tally = &tally;
        scope.spawn(move || {
            crowds.send(crowd(tally, hosts, 0)).unwrap();
            // Waits for the drop of the sender.
            let _ = ended.recv();
        });
        drop(crowd_of.recv().unwrap());
        let dead = tally.dead();
        for _ in 0..hosts / 2 {
            attach(&Tally::new());
        }
        println!("a waiting thread's: {} of {dead} are left", tally.dead());
        let left = tally.dead();
        drop(end);
        assert!(left <= (dead / 10).max(1000), "{left} of {dead} are left");
    });
}
