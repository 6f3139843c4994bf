//! Loom models of `get_or_update` fields (`cell/get_or_update.rs`, `hazard/retired.rs` and `hazard/`), run through
//! the accessors that users call.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_update
//! ```
//!
//! In: threads that read, update and retire values. Out: an error for a data race, a wrong value or a leak. Neighbour:
//! `core/src/loom_tests/hazard.rs`, with the orderings of `hazard/`.
//!
//! A value contains a loom `UnsafeCell`. The constructor and the destructor write to the cell, and a clone reads the
//! cell. Loom reports a data race if a clone is not ordered after the constructor, or not ordered before the
//! destructor. Each model counts its live values. At the end, while the host lives, one value is alive for each
//! attached field (E3). After the drop of the host, no value is alive.
//!
//! The allocator of `memory.rs` reuses the memory of nodes as soon as possible, so addresses recur (ABA).
//!
//! Without the feature `membarrier`, the models run without the process-wide barrier, as on a system that has none:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --no-default-features --test loom_update
//! ```
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | `swap`, the exchange, `SeqCst` to `Acquire` | `a_reader_and_two_updates` |
//! | `vacate`, a load and a store instead of the exchange | `two_takes` |
//! | `protect`, the comparison with a vacated cell | `a_reader_and_a_take` |
//! | `exchange`, the exchange, `SeqCst` to `Acquire` | `two_updates_that_are_made_of_the_one_before` |
//! | the second look at a write-biased cell, `SeqCst` to `Relaxed` | `a_reader_and_two_updates` |
//! | the second look at a read-biased cell, `Acquire` to `Relaxed` | `two_first_updates_of_the_field_with_the_mark` |
//! | `push`, `SeqCst` to `Acquire` | `two_readers_and_an_update` |
//! | `take_all`, `SeqCst` to `Release` | `a_read_inside_of_a_read_of_the_same_field` |
//! | the `full_fence` of `order_scan`, of `clear`, of `push` | `a_reader_and_an_update` |
//! | the `light` of `clear`, the process-wide barrier of `push` | `a_reader_and_an_update` |
//! | the process-wide barrier of `order_scan`, the `light` of a hazard | the models of a read-biased cell |
//! | the cell of a slot, stored or loaded `Relaxed` | `a_reader_of_two_fields_and_an_update_of_the_first` |
//! | a second look when a node is retired; a look into the list by a reader that has moved on | `a_read_inside_of_a_read` |
//! | a look into the list by a writer that has moved on | `an_update_and_one_that_is_made_of_the_one_before` |
//!
//! Loom models a `SeqCst` operation as `AcqRel`, or as the half that a load or a store can have. The adjacent
//! `full_fence` supplies the rest: a fence under loom, and no instruction otherwise. The fence also hides a weakened
//! operation right before or after the fence. So no model fails for these operations:
//!
//! - The exchanges of `swap`, `exchange` and `vacate`, `SeqCst` to `Release`. Without `SeqCst`, a writer may miss the
//!   hazard of a reader of a write-biased cell while the reader misses the exchange (O5). `update` and `take` move the
//!   value out of the node, so they need the `Acquire` (O3), too. `exchange` has the `Acquire` from the second load of
//!   the pointer.
//! - `push`, `SeqCst` to `Release`; `take_all`, `SeqCst` to `Acquire`; `is_empty` and the last load of `is_current`,
//!   `SeqCst` to `Relaxed`. Without `SeqCst`, a thread that retires a node may still see the node protected, while the
//!   clearing reader sees neither the replacement nor the node in the list. Then no thread drops the node (E3).
#![cfg(loom)]

#[path = "../core/src/loom_tests/memory.rs"]
mod memory;

use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::{Shadow, ShadowFields};

/// The number of live values. An atomic of std, which loom does not see; a model reads the number only at the end.
type Alive = std::sync::Arc<Plain>;

#[repr(align(128))]
struct Value {
    number: UnsafeCell<usize>,
    alive: Alive,
}

// SAFETY: only `new` and `drop` write to `number`, and threads only read in between. The models check this claim: loom
// reports every data race on `number`.
unsafe impl Send for Value {}
// SAFETY: shared references only read `number`; loom reports a write that races with a read.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize, alive: &Alive) -> Self {
        alive.fetch_add(1, Relaxed);
        let value = Self { number: UnsafeCell::new(0), alive: Alive::clone(alive) };
        // SAFETY: `new` has not returned `value`, so no other thread can access `number`.
        value.number.with_mut(|place| unsafe { *place = number });
        value
    }

    fn number(&self) -> usize {
        // SAFETY: only `new` and `drop` write to `number`, and neither runs during the borrow of `self`.
        self.number.with(|number| unsafe { *number })
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::new(self.number(), &self.alive)
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: `&mut self` is exclusive.
        self.number.with_mut(|number| unsafe { *number = usize::MAX });
        self.alive.fetch_sub(1, Relaxed);
    }
}

/// The first field has the first-ready flag (N4); the other fields do not.
#[derive(Default, Shadow)]
#[shadow_field(get_or_update first: Value)]
#[shadow_field(get_or_update field: Value)]
#[shadow_field(get_or_update other: Value)]
struct Host {
    shadow: ShadowFields,
}

#[derive(Default)]
struct Model {
    host: Host,
    alive: Alive,
}

impl Model {
    fn value(&self, number: usize) -> Value {
        Value::new(number, &self.alive)
    }

    fn read(&self) -> usize {
        number(self.host.field())
    }

    fn update(&self, next: usize) -> usize {
        number(self.host.update_field(self.value(next)))
    }

    /// Adds 1 by an update with a closure.
    fn count(&self) -> usize {
        number(self.host.update_field_with(|last| self.value(last.map_or(0, Value::number) + 1)))
    }

    fn take(&self) -> usize {
        number(self.host.take_field())
    }

    fn read_other(&self) -> usize {
        number(self.host.other())
    }

    fn update_other(&self, next: usize) -> usize {
        number(self.host.update_other(self.value(next)))
    }
}

/// Returns 0 for `None`.
fn number(value: Option<Value>) -> usize {
    value.map_or(0, |value| value.number())
}

/// Runs a model with at most `preemptions` preemptions per execution. Asserts that `attached` values are alive while
/// the host lives, and no value after the drop of the host.
fn model(preemptions: usize, attached: usize, run: impl Fn(&Arc<Model>) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let model = Arc::new(Model::default());
        run(&model);
        assert_eq!(model.alive.load(Relaxed), attached, "what was replaced is still alive, or what is attached is not");
        let alive = Alive::clone(&model.alive);
        drop(model);
        assert_eq!(alive.load(Relaxed), 0, "alive without its host");
    });
}

fn beside<R: 'static>(model: &Arc<Model>, run: impl FnOnce(&Model) -> R + 'static) -> thread::JoinHandle<R> {
    let model = Arc::clone(model);
    thread::spawn(move || run(&model))
}

/// Outcomes: the reader sees the first or the second value, and the update returns the first value.
#[test]
fn a_reader_and_an_update() {
    model(3, 1, |model| {
        model.update(1);
        let reader = beside(model, |model| assert!([1, 2].contains(&model.read())));
        let writer = beside(model, |model| assert_eq!(model.update(2), 1));
        reader.join().unwrap();
        writer.join().unwrap();
        assert_eq!(model.read(), 2);
    });
}

/// Outcomes: the reader sees the first or the second value of one field, and then the value of another field. Both
/// reads use the same hazard slot. The cell is write-biased or read-biased.
#[test]
fn a_reader_of_two_fields_and_an_update_of_the_first() {
    for reads in [0, 1] {
        model(3, 2, move |model| {
            model.update(1);
            (0..reads).for_each(|_| assert_eq!(model.read(), 1));
            model.host.update_other(model.value(3));
            let reader = beside(model, |model| {
                assert!([1, 2].contains(&model.read()));
                assert_eq!(model.read_other(), 3);
            });
            let writer = beside(model, |model| assert_eq!(model.update(2), 1));
            reader.join().unwrap();
            writer.join().unwrap();
        });
    }
}

/// Outcomes: one field's new node may reuse the memory of the other field's old node, while a slow reader has that
/// address protected. The reader still sees a value of each field, in either order. A node is retired only for readers
/// of its own cell.
#[test]
fn a_reader_of_two_fields_of_which_one_gets_the_memory_of_the_other() {
    for is_other_first in [false, true] {
        model(3, 2, move |model| {
            model.update(1);
            model.update_other(3);
            let reader = beside(model, move |model| {
                let read = || assert!([1, 2].contains(&model.read()));
                let read_other = || assert!((3..=5).contains(&model.read_other()));
                if is_other_first {
                    read_other();
                    read();
                } else {
                    read();
                    read_other();
                }
            });
            let first = beside(model, |model| {
                assert_eq!(model.update(2), 1);
                model.update_other(4);
            });
            let second = beside(model, |model| {
                model.update_other(5);
            });
            for thread in [reader, first, second] {
                thread.join().unwrap();
            }
        });
    }
}

/// Outcomes: the reader sees one of the three values, and each update returns its predecessor once.
#[test]
fn a_reader_and_two_updates() {
    model(3, 1, |model| {
        model.update(1);
        let reader = beside(model, |model| assert!((1..=3).contains(&model.read())));
        let writer = beside(model, |model| assert_eq!((model.update(2), model.update(3)), (1, 2)));
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Outcomes: as for `a_reader_and_an_update`, with a read-biased cell.
#[test]
fn a_reader_and_an_update_of_a_read_biased_cell() {
    model(3, 1, |model| {
        model.update(1);
        model.read();
        let reader = beside(model, |model| assert!([1, 2].contains(&model.read())));
        let writer = beside(model, |model| assert_eq!(model.update(2), 1));
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Outcomes: one reader makes the cell read-biased, before or after the update. The other reader then protects its
/// first node as for a write-biased cell, and the next node as for a read-biased cell.
#[test]
fn two_readers_and_an_update() {
    model(3, 1, |model| {
        model.update(1);
        let readers = [(); 2].map(|()| beside(model, |model| assert!([1, 2].contains(&model.read()))));
        let writer = beside(model, |model| assert_eq!(model.update(2), 1));
        writer.join().unwrap();
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Outcomes: each of the three numbers is returned by an update, or is the number at the end.
#[test]
fn two_updates() {
    model(3, 1, |model| {
        model.update(1);
        let updates = [2, 3].map(|next| beside(model, move |model| model.update(next)));
        let previous = updates.map(|update| update.join().unwrap());
        assert!([([1, 2], 3), ([3, 1], 2)].contains(&(previous, model.read())));
    });
}

/// Outcomes: the reader sees the value or none, and the take returns the value. The cell is write-biased or
/// read-biased.
#[test]
fn a_reader_and_a_take() {
    for reads in [0, 1] {
        model(3, 0, move |model| {
            model.update(1);
            (0..reads).for_each(|_| assert_eq!(model.read(), 1));
            let reader = beside(model, |model| assert!(model.read() <= 1));
            let taker = beside(model, |model| assert_eq!((model.take(), model.read()), (1, 0)));
            reader.join().unwrap();
            taker.join().unwrap();
            assert_eq!((model.read(), model.take()), (0, 0));
        });
    }
}

/// Outcomes: as for `a_reader_and_a_take`, of the field whose readers do not compare the pointer with null; or the
/// reader sees the value after the take, which may have the memory of the first value.
#[test]
fn a_reader_and_a_take_and_an_update_of_the_field_with_the_mark() {
    for reads in [0, 1] {
        model(3, 1, move |model| {
            model.host.update_first(model.value(1));
            (0..reads).for_each(|_| assert_eq!(number(model.host.first()), 1));
            let reader = beside(model, |model| assert!(number(model.host.first()) <= 2));
            let taker = beside(model, |model| {
                assert_eq!(number(model.host.take_first()), 1);
                assert_eq!(number(model.host.update_first(model.value(2))), 0);
            });
            reader.join().unwrap();
            taker.join().unwrap();
            assert_eq!(number(model.host.first()), 2);
        });
    }
}

/// Outcomes: one of the takes returns the value.
#[test]
fn two_takes() {
    model(3, 0, |model| {
        model.update(1);
        let takes = [(); 2].map(|()| beside(model, Model::take));
        let values = takes.map(|take| take.join().unwrap());
        assert!([[0, 1], [1, 0]].contains(&values));
    });
}

/// Outcomes: the take returns the value before or after the update, and the next update returns what is left.
#[test]
fn a_take_and_an_update() {
    model(3, 0, |model| {
        model.update(1);
        let take = beside(model, Model::take);
        let update = beside(model, |model| model.update(2));
        let outcome = (take.join().unwrap(), update.join().unwrap(), model.take());
        assert!([(1, 0, 2), (2, 1, 0)].contains(&outcome));
    });
}

/// Outcomes: the closure computes from the value, and the take returns the value or the closure's value; or the closure
/// finds none.
#[test]
fn a_take_and_an_update_that_is_made_of_the_one_before() {
    model(3, 0, |model| {
        model.update(1);
        let take = beside(model, Model::take);
        let count = beside(model, Model::count);
        let outcome = (take.join().unwrap(), count.join().unwrap(), model.take());
        assert!([(1, 0, 1), (2, 1, 0)].contains(&outcome));
    });
}

/// Outcomes: one update attaches, and the other update replaces.
#[test]
fn two_first_updates_of_the_field_with_the_mark() {
    model(3, 1, |model| {
        let update = |next| {
            beside(model, move |model| {
                let previous = number(model.host.update_first(model.value(next)));
                assert!([1, 2].contains(&number(model.host.first())));
                previous
            })
        };
        let previous = [1, 2].map(update).map(|update| update.join().unwrap());
        assert!([([0, 1], 2), ([2, 0], 1)].contains(&(previous, number(model.host.first()))));
    });
}

/// Outcomes: the reader sees no value, the first value (with or without the first-ready mark), or the second value.
#[test]
fn a_reader_and_the_first_updates_of_the_field_with_the_mark() {
    model(3, 1, |model| {
        let reader = beside(model, |model| assert!(number(model.host.first()) <= 2));
        let writer = beside(model, |model| {
            model.host.update_first(model.value(1));
            model.host.update_first(model.value(2));
        });
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Outcomes: no increment is lost.
#[test]
fn two_updates_that_are_made_of_the_one_before() {
    model(3, 1, |model| {
        let updates = [(); 2].map(|()| beside(model, Model::count));
        let previous = updates.map(|update| update.join().unwrap());
        assert!([[0, 1], [1, 0]].contains(&previous));
        assert_eq!(model.read(), 2);
    });
}

/// Outcomes: the plain update comes first, or the closure gets the value from before the plain update. The cell is
/// write-biased or read-biased.
#[test]
fn an_update_and_one_that_is_made_of_the_one_before() {
    for reads in [0, 1] {
        model(3, 1, move |model| {
            model.update(1);
            (0..reads).for_each(|_| assert_eq!(model.read(), 1));
            let other = beside(model, |model| model.update(5));
            let one = beside(model, Model::count);
            let outcome = (one.join().unwrap(), other.join().unwrap(), model.read());
            assert!([(1, 2, 5), (5, 1, 6)].contains(&outcome));
        });
    }
}

/// Outcomes: the reader sees one of the two values. The cell is write-biased or read-biased.
#[test]
fn a_reader_and_an_update_that_is_made_of_the_one_before() {
    for reads in [0, 1] {
        model(3, 1, move |model| {
            model.update(1);
            (0..reads).for_each(|_| assert_eq!(model.read(), 1));
            let reader = beside(model, |model| assert!([1, 2].contains(&model.read())));
            let writer = beside(model, |model| assert_eq!(model.count(), 1));
            reader.join().unwrap();
            writer.join().unwrap();
        });
    }
}

/// Outcomes: a reader sees any of the values. Each update may retire the node that it replaced, and each reader and
/// writer may find this node in the list of retired nodes.
#[test]
fn two_readers_and_two_updates() {
    for reads in [0, 1] {
        model(2, 1, move |model| {
            model.update(1);
            (0..reads).for_each(|_| assert_eq!(model.read(), 1));
            let reader = beside(model, |model| assert!((1..=3).contains(&model.read())));
            let writer = beside(model, |model| assert!([1, 3].contains(&model.update(2))));
            let both = beside(model, |model| {
                assert!((1..=3).contains(&model.read()));
                assert!([1, 2].contains(&model.update(3)));
            });
            for thread in [reader, writer, both] {
                thread.join().unwrap();
            }
        });
    }
}

/// Outcomes: a reader of a cell that becomes read-biased sees one of the values. The hazard slot may have belonged to a
/// thread that has ended.
#[test]
fn a_reader_with_a_slot_of_a_thread_that_has_ended() {
    model(2, 2, |model| {
        model.update(1);
        model.host.update_other(model.value(3));
        let first = beside(model, |model| assert!([1, 2].contains(&model.read())));
        let second = beside(model, |model| assert_eq!(model.read_other(), 3));
        let writer = beside(model, |model| assert_eq!(model.update(2), 1));
        for thread in [first, second, writer] {
            thread.join().unwrap();
        }
    });
}

/// A value whose clone reads a field of another host.
struct Nested {
    value: Value,
    inner: std::sync::Arc<Host>,
}

impl Clone for Nested {
    fn clone(&self) -> Self {
        assert!([3, 4].contains(&number(self.inner.field())));
        Self { value: self.value.clone(), inner: std::sync::Arc::clone(&self.inner) }
    }
}

#[derive(Default, Shadow)]
#[shadow_field(get_or_update nested: Nested)]
struct Outer {
    shadow: ShadowFields,
}

/// Outcomes: the reader sees one of the outer values and one of the inner values; the inner read uses a second hazard
/// slot. The writer updates one of the two fields.
#[test]
fn a_read_inside_of_a_read() {
    for is_outer in [true, false] {
        model(3, 0, move |model| {
            let inner = std::sync::Arc::new(Host::default());
            inner.update_field(model.value(3));
            let outer = Arc::new(Outer::default());
            let nested = |number| Nested { value: model.value(number), inner: std::sync::Arc::clone(&inner) };
            outer.update_nested(nested(1));
            let reader = thread::spawn({
                let outer = Arc::clone(&outer);
                move || assert!([1, 2].contains(&outer.nested().unwrap().value.number()))
            });
            let next = if is_outer { nested(2) } else { Nested { value: model.value(4), ..nested(0) } };
            let writer = thread::spawn({
                let (outer, inner) = (Arc::clone(&outer), std::sync::Arc::clone(&inner));
                move || {
                    if is_outer {
                        assert_eq!(outer.update_nested(next).unwrap().value.number(), 1);
                    } else {
                        assert_eq!(number(inner.update_field(next.value)), 3);
                    }
                }
            });
            reader.join().unwrap();
            writer.join().unwrap();
            assert_eq!(model.alive.load(Relaxed), 2, "what was replaced is still alive");
        });
    }
}

/// A value whose first clone runs a closure.
struct Staged {
    value: Value,
    first: std::sync::Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Clone for Staged {
    fn clone(&self) -> Self {
        let first = self.first.lock().unwrap().take();
        if let Some(first) = first {
            first();
        }
        Self { value: self.value.clone(), first: std::sync::Mutex::new(None) }
    }
}

#[derive(Default, Shadow)]
#[shadow_field(get_or_update staged: Staged)]
struct Stage {
    shadow: ShadowFields,
}

/// Outcomes: the inner read takes the list with node 1, which the thread's update retired because of the outer read,
/// and puts node 1 back. The list may also hold node 2, which the writer has cloned and retired meanwhile.
#[test]
fn a_read_inside_of_a_read_of_the_same_field() {
    model(4, 0, |model| {
        let stage = Arc::new(Stage::default());
        let staged = |number, first: Box<dyn FnOnce() + Send>| Staged {
            value: model.value(number),
            first: std::sync::Mutex::new(Some(first)),
        };
        let writer = std::sync::Arc::new(std::sync::Mutex::new(None));
        let third = staged(3, Box::new(|| ()));
        let update = {
            let (stage, writer) = (Arc::clone(&stage), std::sync::Arc::clone(&writer));
            move || {
                let update = move || assert_eq!(stage.update_staged(third).unwrap().value.number(), 2);
                *writer.lock().unwrap() = Some(thread::spawn(update));
                thread::yield_now();
            }
        };
        let second = staged(2, Box::new(update));
        let update_and_read = {
            let stage = Arc::clone(&stage);
            move || {
                assert_eq!(stage.update_staged(second).unwrap().value.number(), 1);
                assert_eq!(stage.staged().unwrap().value.number(), 2);
            }
        };
        stage.update_staged(staged(1, Box::new(update_and_read)));
        assert_eq!(stage.staged().unwrap().value.number(), 1);
        let writer = writer.lock().unwrap().take().unwrap();
        writer.join().unwrap();
        assert_eq!(model.alive.load(Relaxed), 1, "what was replaced is still alive");
    });
}
