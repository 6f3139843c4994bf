//! The memory of counters (R7): at most the longest block of a thread's counters, times the peak number of live
//! threads, in every order of threads and fields.
//!
//! Counters are never freed, so every order has a process of its own.
// Miri supports no processes.
#![cfg(not(miri))]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::{ptr, thread};

use shadow_runtime::{raw, registry};

use support::memory::{Counting, bytes_of_all_threads};
use support::{child, never_hangs};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The number of fields, and of the longest counters.
const FIELDS: u64 = 4096;

/// The bytes of the longest counters of one thread, with some to spare.
const LONGEST: isize = 4096 * 32 + 4096;

const THREADS: usize = 24;

static OBJECT: u8 = 0;

/// The number of updates on all threads.
static UPDATES: AtomicU64 = AtomicU64::new(0);

fn update(field: u64) {
    UPDATES.fetch_add(1, Ordering::Relaxed);
    let id = raw::UpdateId::new(field);
    // SAFETY: the object is a static.
    assert!(unsafe { id.get_or_update(ptr::from_ref(&OBJECT).cast(), field) }.is_ok());
}

/// Runs `count` threads at one time. Every thread updates the fields.
fn threads(count: usize, fields: impl Fn() -> Vec<u64> + Clone + Send + 'static) {
    let all_have_counted = Arc::new(Barrier::new(count));
    let threads = (0..count).map(|_| {
        let (all_have_counted, fields) = (Arc::clone(&all_have_counted), fields.clone());
        thread::spawn(move || {
            fields().into_iter().for_each(update);
            all_have_counted.wait();
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().unwrap();
    }
}

/// The last field of each length of counters, in rising order.
fn lengths() -> impl DoubleEndedIterator<Item = u64> {
    (4..=12).map(|power| (1_u64 << power) - 1)
}

/// Attaches the fields, runs `order`, and returns the bytes that stay allocated. Checks the sum of the counts.
fn kept(order: impl FnOnce()) -> isize {
    for field in 0..FIELDS {
        update(field);
    }
    let before = bytes_of_all_threads();
    order();
    let kept = bytes_of_all_threads() - before;
    // The first update of a field is an attach.
    let counted = registry().report().iter().map(|row| row.attached() + row.updates()).sum::<u64>();
    assert_eq!(counted, UPDATES.load(Ordering::Relaxed), "no count is lost when a thread ends");
    kept
}

fn is_at_most(test: &str, alive: usize, order: impl FnOnce()) {
    if child::part().is_none() {
        let output = child::play(test, "order");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let kept = never_hangs(|| kept(order));
    let bound = isize::try_from(alive).unwrap() * LONGEST;
    assert!(kept <= bound, "{kept} bytes are kept, more than {bound}");
}

#[test]
fn threads_that_each_count_more_fields_than_the_ones_before() {
    is_at_most("threads_that_each_count_more_fields_than_the_ones_before", THREADS, || {
        lengths().for_each(|last| threads(THREADS, move || vec![last]));
    });
}

#[test]
fn threads_that_each_count_fewer_fields_than_the_ones_before() {
    is_at_most("threads_that_each_count_fewer_fields_than_the_ones_before", THREADS, || {
        lengths().rev().for_each(|last| threads(THREADS, move || vec![last]));
    });
}

#[test]
fn threads_that_count_more_and_more_fields_as_they_live() {
    is_at_most("threads_that_count_more_and_more_fields_as_they_live", THREADS, || {
        for _ in 0..3 {
            threads(THREADS, || lengths().collect());
        }
    });
}

#[test]
fn threads_one_after_another() {
    is_at_most("threads_one_after_another", 1, || {
        for _ in 0..3 {
            lengths().chain(lengths().rev()).for_each(|last| threads(1, move || vec![0, last]));
        }
    });
}

/// Two threads at one time count many fields, two new threads in each round.
#[test]
fn few_of_many_threads_count_many_fields_at_one_time() {
    is_at_most("few_of_many_threads_count_many_fields_at_one_time", 3, || {
        for _ in 0..20 {
            threads(THREADS, || vec![0]);
            threads(2, || lengths().collect());
        }
    });
}

/// Each round begins before the end of the round before.
#[test]
fn threads_that_overlap() {
    fn end_of((end, round): (Arc<Barrier>, Vec<thread::JoinHandle<()>>)) {
        end.wait();
        for thread in round {
            thread.join().unwrap();
        }
    }
    is_at_most("threads_that_overlap", 2 * THREADS, || {
        let mut last_round = None;
        for last in lengths().chain(lengths().rev()) {
            let end = Arc::new(Barrier::new(THREADS + 1));
            let counted = Arc::new(Barrier::new(THREADS + 1));
            let round: Vec<_> = (0..THREADS)
                .map(|_| {
                    let (end, counted) = (Arc::clone(&end), Arc::clone(&counted));
                    thread::spawn(move || {
                        update(last);
                        counted.wait();
                        end.wait();
                    })
                })
                .collect();
            counted.wait();
            if let Some(before) = last_round.replace((end, round)) {
                end_of(before);
            }
        }
        last_round.into_iter().for_each(end_of);
    });
}
