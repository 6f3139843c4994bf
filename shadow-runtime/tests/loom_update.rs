//! Models of `cell/get_or_update.rs`, `cell/get_or_update/retired.rs` and `readers/`, by the accessors that users call:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_update
//! ```
//!
//! A value has a cell of loom's, which is written when the value is made, read when it is cloned, and written when it is
//! dropped: a reader that sees it before it is made, or still reads it when it is dropped, is an error. A model counts its
//! values: at its end, while the host lives, there is one for each field that is attached (E3), and then there is none.
#![cfg(loom)]

use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::{Shadow, ShadowFields};

/// How many values there are. Not loom's: nothing is concluded from it but at the end.
type Alive = std::sync::Arc<Plain>;

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

    fn read_other(&self) -> usize {
        number(self.host.other())
    }
}

/// 0 if there is none.
fn number(value: Option<Value>) -> usize {
    value.map_or(0, |value| value.number())
}

/// Runs a model, and then asserts that nothing is alive but the values of so many attached fields, while the host is, and
/// then nothing at all.
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

/// Outcomes: the reader sees the first value or the second, and the writer gets the first back.
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

/// Outcomes: the reader sees the first value of one field or the second, and then the value of another field, which has
/// the slot of the first read then.
#[test]
fn a_reader_of_two_fields_and_an_update_of_the_first() {
    model(3, 2, |model| {
        model.update(1);
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

/// Outcomes: the reader sees one of the three values, and each of the writer's is returned to it once.
#[test]
fn a_reader_and_two_updates() {
    model(2, 1, |model| {
        model.update(1);
        let reader = beside(model, |model| assert!((1..=3).contains(&model.read())));
        let writer = beside(model, |model| assert_eq!((model.update(2), model.update(3)), (1, 2)));
        reader.join().unwrap();
        writer.join().unwrap();
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

/// Outcomes: one of the readers makes the cell cold, before or after the update, so that the other announces what it has
/// found as for a hot cell, and what is there then as for a cold one.
#[test]
fn two_readers_and_an_update() {
    model(3, 1, |model| {
        model.update(1);
        let readers = [(); 2].map(|()| beside(model, |model| assert!([1, 2].contains(&model.read()))));
        assert_eq!(model.update(2), 1);
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// Outcomes: each update returns what it has replaced, and the last is there.
#[test]
fn two_updates() {
    model(3, 1, |model| {
        model.update(1);
        let other = beside(model, |model| model.update(2));
        let mine = model.update(3);
        let last = model.read();
        assert!([(1, 3, 2), (2, 1, 3)].contains(&(mine, other.join().unwrap(), last)) || last == 3);
    });
}
