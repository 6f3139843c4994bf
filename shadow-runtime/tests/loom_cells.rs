//! Loom models of write-once cells (`attach`, `get_or_attach`), of the first-ready flag (N4) and of init locks
//! (`init_lock/mod.rs`), run through the accessors that users call.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_cells
//! ```
//!
//! In: threads that attach, initialise and read fields. Out: an error for a data race, a wrong value, or a second run
//! of an initialiser. Neighbour: `loom_nodes.rs`, with the orderings of the first-ready flag and of field sets.
//!
//! A value contains a loom `UnsafeCell`, to which the constructor writes; a request for an init lock does, too. Loom
//! reports a data race if a read is not ordered after the constructor. Each ordering of the table, alone weakened to
//! `Relaxed` or to its other half, fails a model:
//!
//! | ordering | model that fails |
//! |---|---|
//! | `PlaceWord::is_attached`, `Acquire`; `PlaceWord::publish`, `Release` | `two_threads_attach_a_second_field` |
//! | `StateByte::is_attached`, `Acquire`; `StateByte::publish`, `Release` | `a_field_is_looked_at_while_it_is_initialised` |
//! | `InitGuard::acquire`, `AcqRel`, either half; the slow path's `Acquire` | `two_threads_initialise` |
//! | `InitGuard::drop`, `Release` | `two_threads_initialise` |
//! | `WaitGraph::register`, `Acquire` | `three_threads_initialise_two_fields` |
//! | `InitLocks::release`, `Release` | `three_threads_initialise_two_fields` |
//!
//! Registered and waiting requests are on stacks, in two linked lists. Each step of the next table, left
//! out, fails a model:
//!
//! | left out | model that fails |
//! |---|---|
//! | `WaitGraph::remove`, taking the request out of its list | `three_threads_initialise` |
//! | `WaitGraph::remove`, setting the pointers to the request to null | `an_initialiser_fails_and_another_panics_beside_one_that_succeeds` |
//! | `InitLocks::wait`, taking the request out of its list | `three_threads_initialise_two_fields` |
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use shadow_runtime::{Shadow, ShadowFields, shadow};

struct Value {
    number: UnsafeCell<usize>,
}

// SAFETY: only `new` writes to `number`, before any sharing; threads only read afterwards. The models check this claim:
// loom reports every data race on `number`.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize) -> Self {
        let value = Self { number: UnsafeCell::new(0) };
        // SAFETY: `new` has not returned `value`, so no other thread can access `number`.
        value.number.with_mut(|place| unsafe { *place = number });
        value
    }

    fn number(&self) -> usize {
        // SAFETY: only `new` writes to `number`, before any sharing.
        self.number.with(|number| unsafe { *number })
    }
}

/// The first field has the first-ready mark (N4); the second field does not.
#[derive(Default, Shadow)]
#[shadow_field(attach first: Value)]
#[shadow_field(attach second: Value)]
struct Attached {
    shadow: ShadowFields,
}

#[derive(Default, Shadow)]
#[shadow_field(get_or_attach first: Value = Value::new(1))]
#[shadow_field(get_or_attach second: Value = Value::new(2))]
struct Made {
    shadow: ShadowFields,
}

// A second field set of the same host.
shadow! {
    impl Made { attach more: Value; }
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(run);
}

fn beside<H: Send + Sync + 'static, R: 'static>(
    host: &Arc<H>,
    run: impl FnOnce(&H) -> R + 'static,
) -> thread::JoinHandle<R> {
    let host = Arc::clone(host);
    thread::spawn(move || run(&host))
}

/// Outcomes: one attach succeeds, and the other attach hands its value back. Both threads see the attached value.
#[test]
fn two_threads_attach() {
    model(|| {
        let host = Arc::new(Attached::default());
        let other = beside(&host, |host| host.attach_first(Value::new(2)).is_ok());
        let mine = host.attach_first(Value::new(1)).is_ok();
        assert_eq!(host.first().map(Value::number), Some(if mine { 1 } else { 2 }));
        assert_ne!(mine, other.join().unwrap());
    });
}

/// Outcomes: as for `two_threads_attach`, with a field without the first-ready flag.
#[test]
fn two_threads_attach_a_second_field() {
    model(|| {
        let host = Arc::new(Attached::default());
        let other = beside(&host, |host| host.attach_second(Value::new(2)).is_ok());
        let mine = host.attach_second(Value::new(1)).is_ok();
        assert_eq!(host.second().map(Value::number), Some(if mine { 1 } else { 2 }));
        assert_ne!(mine, other.join().unwrap());
    });
}

/// Outcomes: the reader sees no value, or a fully initialised value.
#[test]
fn a_field_is_read_while_it_is_attached() {
    model(|| {
        let host = Arc::new(Attached::default());
        let writer = beside(&host, |host| {
            assert!(host.attach_second(Value::new(2)).is_ok());
            assert!(host.attach_first(Value::new(1)).is_ok());
        });
        let reader = beside(&host, |host| {
            assert!(host.first().is_none_or(|value| value.number() == 1));
            assert!(host.second().is_none_or(|value| value.number() == 2));
        });
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(host.first().map(Value::number), Some(1));
    });
}

/// Outcomes: the reader sees no value, or a fully initialised value, with or without the first-ready mark.
#[test]
fn a_field_is_read_while_it_is_attached_first() {
    model(|| {
        let host = Arc::new(Attached::default());
        let writer = beside(&host, |host| assert!(host.attach_first(Value::new(1)).is_ok()));
        let reader = beside(&host, |host| assert!(host.first().is_none_or(|value| value.number() == 1)));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Outcomes: one initialiser runs, and both threads find its value.
#[test]
fn two_threads_initialise() {
    model(|| {
        let host = Arc::new(Made::default());
        let runs = Arc::new(AtomicUsize::new(0));
        let initialise = |host: &Made, runs: &AtomicUsize, number| {
            let value = host.get_or_attach_first(|| {
                runs.fetch_add(1, Ordering::Relaxed);
                Value::new(number)
            });
            value.number()
        };
        let other = beside(&host, {
            let runs = Arc::clone(&runs);
            move |host| initialise(host, &runs, 4)
        });
        let mine = initialise(&host, &runs, 3);
        assert_eq!(other.join().unwrap(), mine);
        assert_eq!(runs.load(Ordering::Relaxed), 1);
    });
}

/// Outcomes: the first initialiser fails or attaches. If the failing initialiser is first, the other initialiser still
/// attaches.
#[test]
fn an_initialiser_fails_beside_one_that_succeeds() {
    model(|| {
        let host = Arc::new(Made::default());
        let other = beside(&host, |host| host.get_or_try_attach_second(|| Err(())).map(Value::number));
        assert_eq!(host.second().number(), 2);
        assert!(other.join().unwrap().is_ok_and(|number| number == 2) || host.peek_second().is_some());
    });
}

/// Outcomes: the reader sees no value, or a fully initialised value. The field set was published before.
#[test]
fn a_field_is_looked_at_while_it_is_initialised() {
    model(|| {
        let host = Arc::new(Made::default());
        host.first();
        let reader = beside(&host, |host| assert!(host.peek_second().is_none_or(|value| value.number() == 2)));
        assert_eq!(host.second().number(), 2);
        reader.join().unwrap();
    });
}

/// Outcomes: two threads lock two fields of one host, and attach both values.
#[test]
fn two_threads_initialise_two_fields() {
    model(|| {
        let host = Arc::new(Made::default());
        let other = beside(&host, |host| host.first().number());
        assert_eq!(host.second().number(), 2);
        assert_eq!(other.join().unwrap(), 1);
    });
}

/// Outcomes: the second field set makes a list of the first node, with or without the first-ready mark; or the second
/// field set is inserted first, and the first node becomes part of a list. In both cases no value is lost, and a reader
/// sees each value fully initialised.
#[test]
fn a_field_is_attached_while_another_field_set_is_pushed() {
    for is_there in [false, true] {
        model(move || {
            let host = Arc::new(Made::default());
            if is_there {
                host.second();
            }
            let attacher = beside(&host, |host| host.first().number());
            let pusher = beside(&host, |host| {
                assert!(host.attach_more(Value::new(3)).is_ok());
                assert!(host.peek_first().is_none_or(|value| value.number() == 1));
            });
            assert_eq!(attacher.join().unwrap(), 1);
            pusher.join().unwrap();
            assert_eq!(host.peek_first().map(Value::number), Some(1));
            assert_eq!(host.more().map(Value::number), Some(3));
        });
    }
}

/// Outcomes: a failing, a panicking and a succeeding initialiser. Before the success, an initialiser attaches no value;
/// after the success, each thread gets the attached value. A thread that waited for a failed or panicking initialiser
/// runs its own initialiser.
#[test]
fn an_initialiser_fails_and_another_panics_beside_one_that_succeeds() {
    model(|| {
        let host = Arc::new(Made::default());
        let failing = beside(&host, |host| host.get_or_try_attach_second(|| Err(())).map(Value::number));
        let panicking = beside(&host, |host| {
            let get = || host.get_or_attach_second(|| std::panic::resume_unwind(Box::new(()))).number();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(get))
        });
        assert_eq!(host.second().number(), 2);
        assert!(failing.join().unwrap().is_ok_and(|number| number == 2) || host.peek_second().is_some());
        assert!(panicking.join().unwrap().is_ok_and(|number| number == 2) || host.peek_second().is_some());
    });
}

/// The number of runs of each field's initialiser. Atomics of std, which loom does not see, so they create no
/// happens-before edge.
#[derive(Default)]
struct Runs([std::sync::atomic::AtomicUsize; 2]);

impl Runs {
    fn first(&self, host: &Made) {
        let value = host.get_or_attach_first(|| {
            self.0[0].fetch_add(1, Ordering::Relaxed);
            Value::new(1)
        });
        assert_eq!(value.number(), 1);
    }

    fn second(&self, host: &Made) {
        let value = host.get_or_attach_second(|| {
            self.0[1].fetch_add(1, Ordering::Relaxed);
            Value::new(2)
        });
        assert_eq!(value.number(), 2);
    }
}

/// Runs each step in a thread of its own, and asserts the numbers of runs of the two initialisers.
fn three_threads(steps: [fn(&Runs, &Made); 3], expected: [usize; 2]) {
    model(move || {
        let host = Arc::new(Made::default());
        let runs = std::sync::Arc::new(Runs::default());
        let threads = steps.map(|step| {
            let runs = std::sync::Arc::clone(&runs);
            beside(&host, move |host| step(&runs, host))
        });
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!([0, 1].map(|field| runs.0[field].load(Ordering::Relaxed)), expected);
    });
}

/// Outcomes: one thread initialises. The other threads register the initialiser's request and wait, or come after the
/// release of the lock.
#[test]
fn three_threads_initialise() {
    three_threads([Runs::second, Runs::second, Runs::second], [0, 1]);
}

/// Outcomes: all keys hash to one slot, so a request for the second field is in the graph alone. A thread that takes
/// over the slot from the other field's lock still sees that its own field is attached.
#[test]
fn three_threads_initialise_two_fields() {
    three_threads([Runs::second, Runs::first, Runs::second], [1, 1]);
}
