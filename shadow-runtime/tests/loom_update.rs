//! Models of `cell/get_or_update.rs`, `readers/retired.rs` and `readers/`, by the accessors that users call:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_update
//! ```
//!
//! A value has a cell of loom's, which is written when the value is made, read when it is cloned, and written when it
//! is dropped: a reader that sees it before it is made, or still reads it when it is dropped, is an error. A model
//! counts its values: at its end, while the host lives, there is one for each field that is attached (E3), and then
//! there is none.
//!
//! Nodes have memory of their own (`memory/mod.rs`), in which addresses come back as soon as can be. `loom_readers.rs`
//! has the orderings of `readers/mod.rs`.
//!
//! What fails, if one thing is weakened or left out:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | `update`, the exchange, `SeqCst` to `Acquire` | `a_reader_and_two_updates` |
//! | `exchange`, the same | `two_updates_that_are_made_of_the_one_before` |
//! | the second look at a hot cell, `SeqCst` to `Relaxed` | `a_reader_and_two_updates` |
//! | the second look at a cold cell, `Acquire` to `Relaxed` | `two_first_updates_of_the_field_with_the_mark` |
//! | `put`, `SeqCst` to `Acquire` | `two_readers_and_an_update` |
//! | `take`, `SeqCst` to `Release` | `a_read_inside_of_a_read_of_the_same_field` |
//! | the `full_fence` of `hand_over`, of `withdraw`, of `put` | `a_reader_and_an_update` |
//! | the `light` of `withdraw`, the fence for all of `put` | `a_reader_and_an_update` |
//! | the fence for all of `hand_over`, the `light` of an announcement | the models of a cold cell |
//! | the cell of a slot, stored or loaded `Relaxed` | that of a reader of two fields and an update |
//! | a second look when a node is retired; a look into the list by a reader who has moved on | `a_read_inside_of_a_read` |
//! | a look into the list by a writer who has moved on | `an_update_and_one_that_is_made_of_the_one_before` |
//!
//! Loom takes a `SeqCst` operation for `AcqRel` or its half, and the `full_fence` beside it is there for the rest, a
//! fence here and nothing otherwise. It hides what is weakened right before or after it, so no model fails for these:
//!
//! - the exchanges of `update` and `exchange`, `SeqCst` to `Release`. Without `SeqCst`, such a writer and a reader of a
//!   hot cell may miss one another (O5). `update` takes the node's value out, so it needs the `Acquire` (O3), too;
//!   `exchange` has it from the second look.
//! - `put`, `SeqCst` to `Release`; `take`, `SeqCst` to `Acquire`; `is_empty` and the last look of `Reading::drop`,
//!   `SeqCst` to `Relaxed`. Without it, who retires a node may still see it announced, while its reader, which
//!   withdraws, does not see that it was replaced, or not that it is in the list: then nobody drops it (E3).
#![cfg(loom)]

mod memory;

use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::__private::modelled_readers::forbid_barrier;
use shadow_runtime::{Shadow, ShadowFields};

/// How many values there are. Not loom's: nothing is concluded from it but at the end.
type Alive = std::sync::Arc<Plain>;

#[repr(align(128))]
struct Value {
    number: UnsafeCell<usize>,
    alive: Alive,
}

// SAFETY: `number` is written where the value is made, and where it is dropped, which is what the models check.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize, alive: &Alive) -> Self {
        alive.fetch_add(1, Relaxed);
        let value = Self { number: UnsafeCell::new(0), alive: Alive::clone(alive) };
        // SAFETY: nobody else has it yet.
        value.number.with_mut(|place| unsafe { *place = number });
        value
    }

    fn number(&self) -> usize {
        // SAFETY: nobody writes to it while it is borrowed.
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
        // SAFETY: it is borrowed exclusively.
        self.number.with_mut(|number| unsafe { *number = usize::MAX });
        self.alive.fetch_sub(1, Relaxed);
    }
}

/// The first field has the mark, the others have not.
#[derive(Default, Shadow)]
#[shadow_field(get_or_update marked: Value)]
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

    /// Adds 1 by a closure.
    fn count(&self) -> usize {
        number(self.host.update_field_with(|last| self.value(last.map_or(0, Value::number) + 1)))
    }

    fn read_other(&self) -> usize {
        number(self.host.other())
    }

    fn update_other(&self, next: usize) -> usize {
        number(self.host.update_other(self.value(next)))
    }
}

/// 0 if there is none.
fn number(value: Option<Value>) -> usize {
    value.map_or(0, |value| value.number())
}

/// Runs a model, and then asserts that nothing is alive but the values of so many attached fields, while the host is,
/// and then nothing at all.
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

/// Runs models as of a system that has a fence for all threads, and as of one that has none.
fn with_and_without_barrier(models: impl Fn()) {
    models();
    forbid_barrier();
    models();
}

fn beside<R: 'static>(model: &Arc<Model>, run: impl FnOnce(&Model) -> R + 'static) -> thread::JoinHandle<R> {
    let model = Arc::clone(model);
    thread::spawn(move || run(&model))
}

/// Outcomes: the reader sees the first value or the second, and the writer gets the first back.
#[test]
fn a_reader_and_an_update() {
    with_and_without_barrier(|| {
        model(3, 1, |model| {
            model.update(1);
            let reader = beside(model, |model| assert!([1, 2].contains(&model.read())));
            let writer = beside(model, |model| assert_eq!(model.update(2), 1));
            reader.join().unwrap();
            writer.join().unwrap();
            assert_eq!(model.read(), 2);
        });
    });
}

/// Outcomes: the reader sees the first value of one field or the second, and then the value of another field, which has
/// the slot of the first read then; hot or cold.
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

/// Outcomes: the node of one field may get the memory of the other's, whose slow reader has announced that; the reader
/// goes on to see a value of each, in either order, and what is replaced is kept for nobody who does not read it.
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

/// Outcomes: the reader sees one of the three values, and each of the writer's is returned to it once.
#[test]
fn a_reader_and_two_updates() {
    with_and_without_barrier(|| {
        model(3, 1, |model| {
            model.update(1);
            let reader = beside(model, |model| assert!((1..=3).contains(&model.read())));
            let writer = beside(model, |model| assert_eq!((model.update(2), model.update(3)), (1, 2)));
            reader.join().unwrap();
            writer.join().unwrap();
        });
    });
}

/// Outcomes: as of one reader, of a cell that is cold.
#[test]
fn a_reader_and_an_update_of_a_cold_cell() {
    model(3, 1, |model| {
        model.update(1);
        model.read();
        let reader = beside(model, |model| assert!([1, 2].contains(&model.read())));
        let writer = beside(model, |model| assert_eq!(model.update(2), 1));
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Outcomes: one of the readers makes the cell cold, before or after the update, so that the other announces what it
/// has found as for a hot cell, and what is there then as for a cold one.
#[test]
fn two_readers_and_an_update() {
    with_and_without_barrier(|| {
        model(3, 1, |model| {
            model.update(1);
            let readers = [(); 2].map(|()| beside(model, |model| assert!([1, 2].contains(&model.read()))));
            let writer = beside(model, |model| assert_eq!(model.update(2), 1));
            writer.join().unwrap();
            for reader in readers {
                reader.join().unwrap();
            }
        });
    });
}

/// Outcomes: each of the three numbers is returned by an update, or is there at the end.
#[test]
fn two_updates() {
    model(3, 1, |model| {
        model.update(1);
        let updates = [2, 3].map(|next| beside(model, move |model| model.update(next)));
        let previous = updates.map(|update| update.join().unwrap());
        assert!([([1, 2], 3), ([3, 1], 2)].contains(&(previous, model.read())));
    });
}

/// Outcomes: one attaches, the other replaces.
#[test]
fn two_first_updates_of_the_field_with_the_mark() {
    model(3, 1, |model| {
        let update = |next| {
            beside(model, move |model| {
                let previous = number(model.host.update_marked(model.value(next)));
                assert!([1, 2].contains(&number(model.host.marked())));
                previous
            })
        };
        let previous = [1, 2].map(update).map(|update| update.join().unwrap());
        assert!([([0, 1], 2), ([2, 0], 1)].contains(&(previous, number(model.host.marked()))));
    });
}

/// Outcomes: the reader sees nothing, or the first value, by the mark or without, or the second.
#[test]
fn a_reader_and_the_first_updates_of_the_field_with_the_mark() {
    model(3, 1, |model| {
        let reader = beside(model, |model| assert!(number(model.host.marked()) <= 2));
        let writer = beside(model, |model| {
            model.host.update_marked(model.value(1));
            model.host.update_marked(model.value(2));
        });
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

/// Outcomes: no update is lost that is made of the one before.
#[test]
fn two_updates_that_are_made_of_the_one_before() {
    model(3, 1, |model| {
        let updates = [(); 2].map(|()| beside(model, Model::count));
        let previous = updates.map(|update| update.join().unwrap());
        assert!([[0, 1], [1, 0]].contains(&previous));
        assert_eq!(model.read(), 2);
    });
}

/// Outcomes: the update comes first, or the other is made of the value before it; hot or cold.
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

/// Outcomes: the reader sees one of the two values; hot or cold.
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

/// Outcomes: a reader sees any of the values; each of the two updates may retire what it has replaced, and each of the
/// readers and of the writers may find it in the list.
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

/// Outcomes: a reader of a cell that becomes cold sees one of the values, in a slot that belonged to a thread that has
/// ended.
#[test]
fn a_reader_with_a_slot_of_a_thread_that_has_ended() {
    model(3, 2, |model| {
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

/// A value that reads a field of another host when it is cloned.
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

/// Outcomes: the reader sees one of the values of the outer field, and one of the inner, by a slot of its own; one of
/// the two is updated.
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

/// A value that runs something when it is first cloned.
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

/// Outcomes: the inner read of two takes what its thread has retired for the outer, and with it, or not, what the
/// writer retires meanwhile, which has cloned that before.
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
