//! Models of `host/arc.rs`: two threads give one `Arc` its first fields. The table, its lock and its pace are loom's; the
//! counts of an `Arc` are std's, which loom does not see, so no model has one that is let go of.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_arc
//! ```
#![cfg(loom)]

use std::sync::Arc;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::thread;
use shadow_runtime::shadow;

struct Thing;

struct Value {
    number: UnsafeCell<usize>,
}

// SAFETY: `number` is written where the value is made, and only read after that, which is what the models check.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize) -> Self {
        let value = Self { number: UnsafeCell::new(0) };
        // SAFETY: nobody else has it yet.
        value.number.with_mut(|place| unsafe { *place = number });
        value
    }

    fn number(&self) -> usize {
        // SAFETY: nobody writes to it any more.
        self.number.with(|number| unsafe { *number })
    }
}

shadow! {
    trait Fields for Arc<Thing> {
        get_or_attach first: Value = Value::new(1);
        get_or_attach second: Value = Value::new(2);
    }
}

shadow! {
    trait More for Arc<Thing> { attach third: Value; }
}

/// Runs these in threads of their own, for a host that has nothing yet. It is the same for all runs, since they have to be
/// the same, and its address is where it is in the table; what was attached to it goes with the table of the run.
fn model(steps: [fn(&Arc<Thing>); 2], look: fn(&Arc<Thing>)) {
    let host = Arc::new(Thing);
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(move || {
        let threads = steps.map(|step| {
            let host = Arc::clone(&host);
            thread::spawn(move || step(&host))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        look(&host);
    });
}

fn first(host: &Arc<Thing>) {
    assert_eq!(host.first().number(), 1);
}

fn second(host: &Arc<Thing>) {
    assert_eq!(host.second().number(), 2);
}

fn third(host: &Arc<Thing>) {
    assert!(host.attach_third(Value::new(3)).is_ok());
}

/// Outcomes: one initialises and starts the host with a set that has the value; the other waits, and finds it.
#[test]
fn two_threads_start_a_host() {
    model([first, first], first);
}

/// Outcomes: one starts the host, or the other enters its set first, into which the value goes then.
#[test]
fn a_host_is_started_while_it_is_entered() {
    model([first, second], |host| {
        assert!(host.peek_first().is_some_and(|value| value.number() == 1));
        assert!(host.peek_second().is_some_and(|value| value.number() == 2));
    });
}

/// Outcomes: two sets start the host, so that the later becomes part of a list, also if the first is marked meanwhile.
#[test]
fn a_host_is_started_by_two_field_sets() {
    model([first, third], |host| {
        assert!(host.peek_first().is_some_and(|value| value.number() == 1));
        assert!(host.third().is_some_and(|value| value.number() == 3));
    });
}

/// Outcomes: the reader sees nothing, or the value as it was made, by the mark or without.
#[test]
fn a_host_is_looked_at_while_it_is_started() {
    let look = |host: &Arc<Thing>| {
        assert!(host.peek_first().is_none_or(|value| value.number() == 1));
        assert!(host.third().is_none_or(|value| value.number() == 3));
    };
    model([first, look], first);
    let start = |host: &Arc<Thing>| {
        third(host);
        first(host);
    };
    model([start, look], first);
}
