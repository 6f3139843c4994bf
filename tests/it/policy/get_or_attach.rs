//! The policy `get_or_attach`: the first caller attaches, and every caller finds the same value.

use std::cell::Cell;
use std::num::ParseIntError;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Barrier, Mutex};
use std::{ptr, thread};

use shadow_runtime::{Shadow, ShadowFields};

use support::fewer;

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach hits: AtomicU32)]
#[shadow_field(get_or_attach label: String = format!("task {}", self.pid))]
#[shadow_field(get_or_attach lock: Mutex<u32>)]
#[shadow_field(get_or_attach banner: String = format!("** {} **", self.label()))]
#[shadow_field(get_or_attach window: Vec<u8> = { let length = 3; vec![0; length] })]
struct Task {
    pid: u32,
    shadow: ShadowFields,
}

fn task(pid: u32) -> Task {
    Task { pid, shadow: ShadowFields::new() }
}

#[test]
fn reading_attaches_the_default_value() {
    let task = task(1);
    assert_eq!(task.hits().load(Ordering::Relaxed), 0);
    task.hits().fetch_add(1, Ordering::Relaxed);
    assert_eq!(task.hits().load(Ordering::Relaxed), 1, "the second read finds the value of the first");
}

#[test]
fn reading_attaches_what_the_initialiser_makes_of_the_host() {
    assert_eq!(task(7).label(), "task 7");
    assert_eq!(task(8).label(), "task 8");
    assert_eq!(task(8).window().len(), 3);
}

#[test]
fn an_initialiser_may_read_other_fields_of_its_host() {
    let task = task(7);
    assert_eq!(task.banner(), "** task 7 **");
    assert_eq!(task.peek_label().unwrap(), "task 7", "reading it attached it");
}

#[test]
fn peeking_never_attaches() {
    let task = task(1);
    assert!(task.peek_hits().is_none());
    assert!(task.peek_hits().is_none(), "peeking did not attach it");
    let attached = task.hits();
    assert!(ptr::eq(task.peek_hits().unwrap(), attached));
}

#[test]
fn an_initialiser_given_by_the_caller_comes_before_the_declared_one() {
    let task = task(1);
    assert_eq!(task.get_or_attach_label(|| "mine".to_owned()), "mine");
    assert_eq!(task.label(), "mine");
}

#[test]
fn an_initialiser_does_not_run_for_a_field_that_is_attached() {
    let task = task(1);
    let first = task.label();
    let ran = Cell::new(false);
    let found = task.get_or_attach_label(|| {
        ran.set(true);
        String::new()
    });
    assert!(ptr::eq(first, found));
    let found = task.get_or_try_attach_label(|| {
        ran.set(true);
        Err(())
    });
    assert!(ptr::eq(first, found.unwrap()));
    assert!(!ran.get());
}

#[test]
fn an_initialiser_that_fails_attaches_nothing() {
    let task = task(1);
    let parse = |text: &'static str| move || text.parse::<u32>().map(AtomicU32::new);
    let failed: Result<&AtomicU32, ParseIntError> = task.get_or_try_attach_hits(parse("x"));
    assert_eq!(failed.unwrap_err().to_string(), "invalid digit found in string");
    assert!(task.peek_hits().is_none());
    let attached = task.get_or_try_attach_hits(parse("8")).unwrap();
    assert_eq!(attached.load(Ordering::Relaxed), 8);
    assert!(ptr::eq(attached, task.hits()));
}

#[test]
fn exclusive_access_attaches_first_and_then_changes() {
    let mut task = task(3);
    task.label_mut().push('!');
    assert_eq!(task.label(), "task 3!");
    task.label_mut().push('!');
    assert_eq!(task.label(), "task 3!!", "the second time it finds what is there");
}

#[test]
fn a_detached_field_gives_its_value_back_and_starts_anew() {
    let mut task = task(3);
    assert_eq!(task.detach_label(), None);
    task.label_mut().push('!');
    assert_eq!(task.detach_label().as_deref(), Some("task 3!"));
    assert!(task.peek_label().is_none());
    assert_eq!(task.label(), "task 3");
}

#[test]
fn everybody_finds_one_and_the_same_lock() {
    const THREADS: usize = 4;
    const ROUNDS: u32 = fewer(250, 4);
    let task = task(1);
    let start = Barrier::new(THREADS);
    let count = || {
        start.wait();
        for _ in 0..ROUNDS {
            let mut count = task.lock().lock().unwrap();
            let seen = *count;
            thread::yield_now();
            *count = seen + 1;
        }
        ptr::from_ref(task.lock()).addr()
    };
    let addresses: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(*task.lock().lock().unwrap(), 4 * ROUNDS);
    assert!(addresses.iter().all(|&address| address == ptr::from_ref(task.lock()).addr()));
}
