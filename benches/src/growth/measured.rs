//! Measured costs of one thread: of attach, read and sweep by the number of `Arc` hosts, and of an update by the number
//! of threads with a hazard slot.
//!
//! In: a number of hosts or of threads. Out: nanoseconds and milliseconds. A process measures one number of hosts
//! once, since the table of `Arc` hosts never shrinks.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use shadow_runtime::{Shadow, ShadowFields, registry, shadow};

use crate::check::float;
use crate::measure::{median, nanoseconds};
use crate::order::shuffle;

/// A host of 16 bytes.
#[derive(Debug)]
pub struct Object {
    id: u64,
    other: u64,
}

shadow! {
    trait Stamped for Arc<Object> { attach stamp: u64; }
}

#[derive(Debug, Default, Shadow)]
#[shadow_field(get_or_update setting: u64)]
struct Task {
    shadow: ShadowFields,
}

/// The costs of a number of hosts.
#[derive(Clone, Copy, Debug)]
pub struct Hosts {
    /// Nanoseconds of the first attach to a host.
    pub attach: f64,
    /// Milliseconds of the longest attach.
    pub longest_attach: f64,
    /// Nanoseconds of a read of a random host.
    pub read: f64,
    /// Nanoseconds of a sweep on demand for each host, if no host is dead.
    pub sweep_live: f64,
    /// Nanoseconds of a sweep on demand for each host, if no host is alive.
    pub sweep_dead: f64,
}

/// Measures `count` hosts.
///
/// # Panics
///
/// If a field is missing, or the sweep finds another number of dead hosts: the library is wrong.
#[must_use]
pub fn hosts(count: u64) -> Hosts {
    let mut all: Vec<Arc<Object>> = (0..count).map(|id| Arc::new(Object { id, other: 0 })).collect();
    let (mut attaching, mut longest) = (Duration::ZERO, Duration::ZERO);
    for host in &all {
        let start = Instant::now();
        assert!(host.attach_stamp(host.id).is_ok(), "it is the first attach");
        let took = start.elapsed();
        attaching += took;
        longest = longest.max(took);
    }
    let number = float(all.len());
    shuffle(&mut all, 1);
    let time = |work: &mut dyn FnMut()| {
        let start = Instant::now();
        work();
        nanoseconds(start.elapsed()) / number
    };
    let read = time(&mut || {
        black_box(all.iter().filter_map(|host| host.stamp()).fold(0, |sum: u64, stamp| sum.wrapping_add(*stamp)));
    });
    black_box(all.iter().fold(0, |sum: u64, host| sum.wrapping_add(host.other)));
    let sweep_live = time(&mut || assert_eq!(registry().sweep(), 0));
    drop(all);
    let mut swept = 0;
    let sweep_dead = time(&mut || swept = registry().sweep());
    assert_eq!(swept as u64, count, "all are dead");
    let attach = nanoseconds(attaching) / number;
    Hosts { attach, longest_attach: nanoseconds(longest) / 1e6, read, sweep_live, sweep_dead }
}

/// Nanoseconds of an update of a field, after reads by `threads` further threads, each with a hazard slot.
#[must_use]
pub fn update_beside(threads: usize) -> f64 {
    const UPDATES: u32 = 2_000;
    const ROUNDS: usize = 9;
    let task = Task::default();
    task.update_setting(0);
    let (have_read, end) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                black_box(task.setting());
                have_read.wait();
                end.wait();
            });
        }
        have_read.wait();
        let round = || {
            let start = Instant::now();
            for number in 0..UPDATES {
                black_box(task.update_setting(u64::from(number)));
                // A read in between keeps the cell read-biased.
                black_box(task.setting());
            }
            nanoseconds(start.elapsed()) / f64::from(UPDATES)
        };
        let figure = median((0..ROUNDS).map(|_| round()).collect());
        end.wait();
        figure
    })
}
