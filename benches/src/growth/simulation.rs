//! A discrete-event simulation of threads that attach fields to `Arc` hosts.
//!
//! In: the costs of the steps of an attach, and a number of threads, each on a core of its own. Out: the rate of
//! attaches, the time that threads wait, and the looks at old hosts that are made.
//!
//! Each attach is the first of a new host, and for each new host an older host dies. So a simulated attach consists of
//! these steps of the library:
//!
//! 1. work without a lock: the node is allocated and initialised, the shard is searched;
//! 2. the lock of a random shard of 128, for the insertion;
//! 3. the lock of a log of 64; a thread that finds its log locked goes on to the next log;
//! 4. looks at old hosts: an attach pays for 4.5 looks. With 16 or more looks paid for, the thread tries the lock of
//!    one of 8 groups of old hosts, makes up to 64 looks, and goes on to the next group;
//! 5. the lock of a random shard, for the removal of a dead host, and the end of the host's fields.
//!
//! The numbers are those of `side_table/mod.rs`, `host/arc/logs.rs` and `host/arc/log/mod.rs` of `shadow-runtime-core`.
//! A lock that another core has held costs transfers of cache lines in addition: [`Costs::transfer`] for each line that
//! is written under the lock.
//!
//! What the simulation leaves out: the bandwidth of the memory, a global allocator that does not scale, and threads
//! that lose their core while they hold a lock.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::check::float;
use crate::order::Xorshift;

const SHARDS: usize = 128;
const LOGS: usize = 64;
const LOOKS_PER_ATTACH: f64 = 4.5;
const LEAST_LOOKS: f64 = 16.0;
const MOST_LOOKS: f64 = 64.0;

/// The lines that an insertion or a removal writes: the lock, the tags, the slot, the counts of the shard.
const LINES_OF_A_SHARD: f64 = 4.0;

/// The lines that an append to a log writes: the lock with the counts, and the entry.
const LINES_OF_A_LOG: f64 = 2.0;

/// Nanoseconds of the steps of an attach.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// The attach, and the end of a host, without locks and looks.
    pub own: f64,
    /// An insertion or a removal, under the lock of a shard.
    pub shard: f64,
    /// An append, under the lock of a log.
    pub log: f64,
    /// A look at an old host.
    pub look: f64,
    /// A cache line that another core has written.
    pub transfer: f64,
}

/// The result of a simulation.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Attaches of all threads in a microsecond.
    pub rate: f64,
    /// The part of the time that threads wait for shards.
    pub waiting: f64,
    /// The looks at old hosts, for each attach.
    pub looks: f64,
}

impl Outcome {
    /// The most dead hosts for each live host, or `None` if the number grows without a bound: `host/arc/log/mod.rs` has
    /// the argument.
    #[must_use]
    pub fn dead_for_each_live(self) -> Option<f64> {
        (self.looks > 2.0).then(|| 2.0 / (self.looks - 2.0))
    }
}

/// A lock, and the line of its word.
#[derive(Clone, Copy, Default)]
struct Lock {
    free_at: f64,
    last: usize,
}

impl Lock {
    /// The time at which `thread` has done `work` under the lock, from `now`.
    fn hold(&mut self, thread: usize, now: f64, work: f64, lines: f64, transfer: f64) -> f64 {
        let moved = if self.last == thread { 0.0 } else { lines * transfer };
        self.last = thread;
        self.free_at = now.max(self.free_at) + moved + work;
        self.free_at
    }
}

/// The thread whose step is next, at a time. The earliest event is the greatest.
#[derive(Clone, Copy, PartialEq)]
struct Event {
    at: f64,
    thread: usize,
}

impl Eq for Event {}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.total_cmp(&self.at).then(other.thread.cmp(&self.thread))
    }
}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The next step of a thread.
#[derive(Clone, Copy)]
enum Step {
    Own,
    Insert,
    Log,
    Look,
    Remove,
}

#[derive(Clone, Copy)]
struct Thread {
    step: Step,
    log: usize,
    group: usize,
    credit: f64,
}

/// `attaches` attaches by `threads` threads, with `groups` groups of old hosts.
#[must_use]
pub fn simulate(costs: Costs, threads: usize, groups: usize, attaches: usize) -> Outcome {
    let mut random = Xorshift::new(1);
    // No thread was the last owner: the first use of a lock moves its lines, too.
    let new = Lock { free_at: 0.0, last: usize::MAX };
    let (mut shards, mut logs, mut old) = (vec![new; SHARDS], vec![new; LOGS], vec![new; groups]);
    let thread = |number| Thread { step: Step::Own, log: number % LOGS, group: number % groups, credit: 0.0 };
    let mut all: Vec<Thread> = (0..threads).map(thread).collect();
    let mut next: BinaryHeap<Event> = (0..threads).map(|thread| Event { at: 0.0, thread }).collect();
    let (mut done, mut waiting, mut looks, mut now) = (0, 0.0, 0.0, 0.0);
    while done < attaches {
        let Some(Event { at, thread: number }) = next.pop() else { break };
        let thread = &mut all[number];
        now = at;
        let until = match thread.step {
            Step::Own => {
                thread.step = Step::Insert;
                // Half to one and a half, so that threads do not march in step.
                now + costs.own * (0.5 + float(random.below(1000)) / 1000.0)
            }
            Step::Insert | Step::Remove => {
                let is_insert = matches!(thread.step, Step::Insert);
                thread.step = if is_insert { Step::Log } else { Step::Own };
                done += usize::from(!is_insert);
                let shard = &mut shards[random.below(SHARDS)];
                waiting += (shard.free_at - now).max(0.0);
                shard.hold(number, now, costs.shard, LINES_OF_A_SHARD, costs.transfer)
            }
            Step::Log => {
                let free = (0..LOGS).map(|more| (thread.log + more) % LOGS).find(|&log| logs[log].free_at <= now);
                thread.log = free.unwrap_or(thread.log);
                thread.credit += LOOKS_PER_ATTACH;
                thread.step = if thread.credit >= LEAST_LOOKS { Step::Look } else { Step::Remove };
                logs[thread.log].hold(number, now, costs.log, LINES_OF_A_LOG, costs.transfer)
            }
            Step::Look => {
                thread.step = Step::Remove;
                let group = &mut old[thread.group];
                thread.group = (thread.group + 1) % groups;
                if group.free_at > now {
                    now
                } else {
                    let batch = thread.credit.min(MOST_LOOKS);
                    thread.credit -= batch;
                    looks += batch;
                    group.hold(number, now, batch * costs.look, 1.0, costs.transfer)
                }
            }
        };
        next.push(Event { at: until, thread: number });
    }
    let count = float(attaches);
    Outcome { rate: count / now * 1000.0, waiting: waiting / (now * float(threads)), looks: looks / count }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs { own: 300.0, shard: 30.0, log: 20.0, look: 20.0, transfer: 60.0 };

    #[test]
    fn one_thread_waits_for_nothing_and_takes_the_sum_of_its_steps() {
        let costs = Costs { transfer: 0.0, ..COSTS };
        let outcome = simulate(costs, 1, 8, 100_000);
        let sum = 300.0 + 2.0 * 30.0 + 20.0 + 4.5 * 20.0;
        assert!((outcome.rate - 1000.0 / sum).abs() < 0.05, "{outcome:?}");
        assert!(outcome.waiting < 1e-9 && (outcome.looks - LOOKS_PER_ATTACH).abs() < 0.01, "{outcome:?}");
    }

    #[test]
    fn locks_bound_the_rate_however_many_threads_attach() {
        // A look of a microsecond: eight groups make eight looks in a microsecond.
        let outcome = simulate(Costs { look: 1000.0, ..COSTS }, 64, 8, 100_000);
        assert!(outcome.looks * outcome.rate < 8.1, "{outcome:?}");
        // An insertion and a removal of ten microseconds in 128 shards.
        let outcome = simulate(Costs { shard: 10_000.0, transfer: 0.0, ..COSTS }, 1000, 8, 100_000);
        assert!(outcome.rate < 6.5 && outcome.waiting > 0.5, "{outcome:?}");
    }

    #[test]
    fn the_dead_are_bounded_while_more_than_two_looks_an_attach_are_made() {
        let with = |looks| Outcome { rate: 1.0, waiting: 0.0, looks };
        assert_eq!(with(4.5).dead_for_each_live(), Some(0.8));
        assert_eq!(with(2.0).dead_for_each_live(), None);
    }
}
