//! Models of the cells that are written once, of the mark, and of claims, by the accessors that users call:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_cells
//! ```
//!
//! A value has a cell of loom's, which is written when the value is made: a reader that sees it before is an error. The
//! record of a claim has one, too. Each of these orderings, weakened to `Relaxed` alone, or to the other half, fails a
//! model; those of the mark, and of field sets, are in `loom_nodes.rs`:
//!
//! | ordering | model that fails |
//! |---|---|
//! | `Attach::get`, `Acquire`; `Attach::attach`, `Release` | `two_threads_attach_an_unmarked_field` |
//! | `GetOrAttach::get`, `Acquire`; `GetOrAttach::attach`, `Release` | `a_field_is_looked_at_while_it_is_initialised` |
//! | `Claim::take`, `AcqRel`, either half; the cold way's `Acquire` | `two_threads_initialise` |
//! | `Claim::drop`, `Release` | `two_threads_initialise` |
//! | `Claims::take`, where a claim is listed, `Acquire` | `three_threads_initialise_two_fields` |
//! | `Claims::let_go`, `Release` | `three_threads_initialise_two_fields` |
//!
//! A claim that is listed, and a thread that waits, are in lists of records on stacks. Each of these, left out, fails a
//! model:
//!
//! | left out | model that fails |
//! |---|---|
//! | `Claims::let_go`, taking the record out of its list | `three_threads_initialise` |
//! | `Claims::let_go`, setting the pointers to the claim to null | `an_initialiser_fails_and_another_panics_beside_one_that_succeeds` |
//! | `Claims::wait`, taking the record out of its list | `three_threads_initialise_two_fields` |
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

// SAFETY: `number` is written where the value is made, and only read after that, which is what the models check.
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

/// The first field has the mark, the second has not.
#[derive(Default, Shadow)]
#[shadow_field(attach marked: Value)]
#[shadow_field(attach unmarked: Value)]
struct Attached {
    shadow: ShadowFields,
}

#[derive(Default, Shadow)]
#[shadow_field(get_or_attach marked: Value = Value::new(1))]
#[shadow_field(get_or_attach unmarked: Value = Value::new(2))]
struct Made {
    shadow: ShadowFields,
}

// Another field set of the same host.
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

/// Outcomes: one attaches, the other gets its value back; both see the value of the first.
#[test]
fn two_threads_attach() {
    model(|| {
        let host = Arc::new(Attached::default());
        let other = beside(&host, |host| host.attach_marked(Value::new(2)).is_ok());
        let mine = host.attach_marked(Value::new(1)).is_ok();
        assert_eq!(host.marked().map(Value::number), Some(if mine { 1 } else { 2 }));
        assert_ne!(mine, other.join().unwrap());
    });
}

/// Outcomes: as above, for a field that has no mark.
#[test]
fn two_threads_attach_an_unmarked_field() {
    model(|| {
        let host = Arc::new(Attached::default());
        let other = beside(&host, |host| host.attach_unmarked(Value::new(2)).is_ok());
        let mine = host.attach_unmarked(Value::new(1)).is_ok();
        assert_eq!(host.unmarked().map(Value::number), Some(if mine { 1 } else { 2 }));
        assert_ne!(mine, other.join().unwrap());
    });
}

/// Outcomes: the reader sees nothing, or the value as it was made.
#[test]
fn a_field_is_read_while_it_is_attached() {
    model(|| {
        let host = Arc::new(Attached::default());
        let writer = beside(&host, |host| {
            assert!(host.attach_unmarked(Value::new(2)).is_ok());
            assert!(host.attach_marked(Value::new(1)).is_ok());
        });
        let reader = beside(&host, |host| {
            assert!(host.marked().is_none_or(|value| value.number() == 1));
            assert!(host.unmarked().is_none_or(|value| value.number() == 2));
        });
        writer.join().unwrap();
        reader.join().unwrap();
        assert_eq!(host.marked().map(Value::number), Some(1));
    });
}

/// Outcomes: the reader sees nothing, or the value as it was made, by the mark or without.
#[test]
fn a_field_is_read_while_it_is_attached_first() {
    model(|| {
        let host = Arc::new(Attached::default());
        let writer = beside(&host, |host| assert!(host.attach_marked(Value::new(1)).is_ok()));
        let reader = beside(&host, |host| assert!(host.marked().is_none_or(|value| value.number() == 1)));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Outcomes: one of the initialisers has run, the other has not; both find its value.
#[test]
fn two_threads_initialise() {
    model(|| {
        let host = Arc::new(Made::default());
        let runs = Arc::new(AtomicUsize::new(0));
        let initialise = |host: &Made, runs: &AtomicUsize, number| {
            let value = host.get_or_attach_marked(|| {
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

/// Outcomes: whoever is first fails or attaches; if the failing one is first, the other attaches all the same.
#[test]
fn an_initialiser_fails_beside_one_that_succeeds() {
    model(|| {
        let host = Arc::new(Made::default());
        let other = beside(&host, |host| host.get_or_try_attach_unmarked(|| Err(())).map(Value::number));
        assert_eq!(host.unmarked().number(), 2);
        assert!(other.join().unwrap().is_ok_and(|number| number == 2) || host.peek_unmarked().is_some());
    });
}

/// Outcomes: the reader sees nothing, or the value as it was made, in a field set that was there before.
#[test]
fn a_field_is_looked_at_while_it_is_initialised() {
    model(|| {
        let host = Arc::new(Made::default());
        host.marked();
        let reader = beside(&host, |host| assert!(host.peek_unmarked().is_none_or(|value| value.number() == 2)));
        assert_eq!(host.unmarked().number(), 2);
        reader.join().unwrap();
    });
}

/// Outcomes: two fields of one host are claimed by two threads; both are there.
#[test]
fn two_threads_initialise_two_fields() {
    model(|| {
        let host = Arc::new(Made::default());
        let other = beside(&host, |host| host.marked().number());
        assert_eq!(host.unmarked().number(), 2);
        assert_eq!(other.join().unwrap(), 1);
    });
}

/// Outcomes: another field set makes a list of the node, with the mark or without; or that set is first, and it is the
/// other that becomes part of a list. Either way nothing is lost, and a reader sees each value as it was made.
#[test]
fn a_field_is_attached_while_another_field_set_is_pushed() {
    for is_there in [false, true] {
        model(move || {
            let host = Arc::new(Made::default());
            if is_there {
                host.unmarked();
            }
            let attacher = beside(&host, |host| host.marked().number());
            let pusher = beside(&host, |host| {
                assert!(host.attach_more(Value::new(3)).is_ok());
                assert!(host.peek_marked().is_none_or(|value| value.number() == 1));
            });
            assert_eq!(attacher.join().unwrap(), 1);
            pusher.join().unwrap();
            assert_eq!(host.peek_marked().map(Value::number), Some(1));
            assert_eq!(host.more().map(Value::number), Some(3));
        });
    }
}

/// Outcomes: a failing, a panicking and a winning initialiser: those that come before the winner attach nothing, those
/// that come after have its value; whoever is made to wait by one that ends without a value runs its own.
#[test]
fn an_initialiser_fails_and_another_panics_beside_one_that_succeeds() {
    model(|| {
        let host = Arc::new(Made::default());
        let failing = beside(&host, |host| host.get_or_try_attach_unmarked(|| Err(())).map(Value::number));
        let panicking = beside(&host, |host| {
            let get = || host.get_or_attach_unmarked(|| std::panic::resume_unwind(Box::new(()))).number();
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(get))
        });
        assert_eq!(host.unmarked().number(), 2);
        assert!(failing.join().unwrap().is_ok_and(|number| number == 2) || host.peek_unmarked().is_some());
        assert!(panicking.join().unwrap().is_ok_and(|number| number == 2) || host.peek_unmarked().is_some());
    });
}

/// How often the initialisers of the two fields have run. Not loom's: it orders nothing.
#[derive(Default)]
struct Runs([std::sync::atomic::AtomicUsize; 2]);

impl Runs {
    fn marked(&self, host: &Made) {
        let value = host.get_or_attach_marked(|| {
            self.0[0].fetch_add(1, Ordering::Relaxed);
            Value::new(1)
        });
        assert_eq!(value.number(), 1);
    }

    fn unmarked(&self, host: &Made) {
        let value = host.get_or_attach_unmarked(|| {
            self.0[1].fetch_add(1, Ordering::Relaxed);
            Value::new(2)
        });
        assert_eq!(value.number(), 2);
    }
}

/// Runs each of these in a thread of its own, and asserts that each initialiser has run so often.
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

/// Outcomes: one initialises, those that find it at that list its claim and wait, or come when that is let go of.
#[test]
fn three_threads_initialise() {
    three_threads([Runs::unmarked, Runs::unmarked, Runs::unmarked], [0, 1]);
}

/// Outcomes: all claims share a slot, so that one of another field is in the table alone, and the field that was done
/// by one thread is found to be done by another that finds the slot of the third.
#[test]
fn three_threads_initialise_two_fields() {
    three_threads([Runs::unmarked, Runs::marked, Runs::unmarked], [1, 1]);
}
