//! Models of `raw/newest.rs`, whose every interleaving loom runs, up to three preemptions:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_raw
//! ```
//!
//! A value has a cell of loom's, which is written when the value is made and when it is dropped: a reader that clones
//! it beside either is an error. A reader that finds the value of another object fails an assertion. Each of these,
//! left out, fails a model; `loom_readers.rs` has those of `readers/mod.rs`:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | the fence of `reclaim`, also if `AcqRel` | `a_value_is_read_while_it_is_replaced` |
//! | the second look-up; a look into the list by who has moved on | `a_value_is_read_while_it_is_replaced` |
//! | whose the node is | `a_value_is_read_while_another_object_gets_its_memory_and_its_place` |
#![cfg(loom)]

mod memory;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::__private::modelled::Table;
use shadow_runtime::__private::modelled_raw::Values;
use shadow_runtime::__private::modelled_readers::forbid_barrier;

/// A value of an object, and which one it is. Its alignment gives its node memory that is used again first
/// (`memory/mod.rs`).
#[repr(align(128))]
struct Value {
    object: usize,
    number: UnsafeCell<usize>,
}

// SAFETY: `number` is written where the value is made and dropped, and only read in between, which is what the models
// check.
unsafe impl Sync for Value {}

impl Value {
    fn of(object: usize, number: usize) -> Self {
        let value = Self { object, number: UnsafeCell::new(0) };
        // SAFETY: nobody else has it yet.
        value.number.with_mut(|place| unsafe { *place = number });
        value
    }

    fn number(&self) -> usize {
        // SAFETY: nobody writes to it before it is dropped.
        self.number.with(|number| unsafe { *number })
    }
}

impl Clone for Value {
    fn clone(&self) -> Self {
        Self::of(self.object, self.number())
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: nobody else has it any more.
        self.number.with_mut(|place| unsafe { *place = usize::MAX });
    }
}

type Objects = Values<Value>;

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// These objects, whose values have the number 1.
fn with(objects: &[usize]) -> Arc<Objects> {
    let values = Objects::default();
    for &object in objects {
        assert!(values.update(object, Value::of(object, 1)).is_none());
    }
    Arc::new(values)
}

/// The number of the value that is found, which is the object's own.
fn get(values: &Objects, object: usize) -> Option<usize> {
    values.get(object).map(|value| {
        assert_eq!(value.object, object);
        value.number()
    })
}

fn beside(values: &Arc<Objects>, run: impl FnOnce(&Objects) + 'static) -> thread::JoinHandle<()> {
    let values = Arc::clone(values);
    thread::spawn(move || run(&values))
}

/// Takes out what is left. Nothing is kept for a reader, since there is none any more.
fn end(values: &Objects, objects: &[usize]) {
    assert!(!values.is_anything_retired());
    for &object in objects {
        drop(values.detach(object));
    }
}

/// Outcomes: the old or the new, and the old comes out once.
#[test]
fn a_value_is_read_while_it_is_replaced() {
    let models = || {
        model(|| {
            let values = with(&[1]);
            let reader = beside(&values, |values| assert!(matches!(get(values, 1), Some(1 | 2))));
            assert_eq!(values.update(1, Value::of(1, 2)).unwrap().number(), 1);
            reader.join().unwrap();
            end(&values, &[1]);
        });
    };
    models();
    // As of a system that has no fence for all threads.
    forbid_barrier();
    models();
}

/// Outcomes: the value or none.
#[test]
fn a_value_is_read_while_it_is_detached() {
    model(|| {
        let values = with(&[1, 2]);
        let reader = beside(&values, |values| {
            assert!(matches!(get(values, 1), None | Some(1)));
            assert_eq!(get(values, 2), Some(1));
        });
        assert_eq!(values.detach(1).unwrap().number(), 1);
        reader.join().unwrap();
        end(&values, &[2]);
    });
}

/// Outcomes: the first value of the one, its second, or none. The slot of the one gets the other, and then the one
/// again: a look-up for the one may find the node of the other.
#[test]
fn a_value_is_read_while_its_place_is_another_objects_for_a_while() {
    model(|| {
        let values = with(&[1]);
        let reader = beside(&values, |values| assert!(matches!(get(values, 1), None | Some(1 | 2))));
        drop(values.detach(1));
        values.update(2, Value::of(2, 1));
        drop(values.detach(2));
        values.update(1, Value::of(1, 2));
        reader.join().unwrap();
        end(&values, &[1]);
    });
}

/// Outcomes: the value or none. A reader may have the array that was replaced, in which the value stays for ever.
#[test]
fn a_value_is_read_while_the_array_is_replaced_and_it_is_detached() {
    model(|| {
        let values = with(&[1, 2, 3, 4, 5, 6]);
        let reader = beside(&values, |values| assert!(matches!(get(values, 1), None | Some(1))));
        values.update(7, Value::of(7, 1));
        drop(values.detach(1));
        reader.join().unwrap();
        end(&values, &[2, 3, 4, 5, 6, 7]);
    });
}

/// Outcomes: each reader sees the first value, the second, or none. Whatever is left to one of the readers is dropped
/// when both are done, and by that time nothing is left.
#[test]
fn two_read_while_one_replaces_and_detaches() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let values = with(&[1]);
        let readers = [(); 2].map(|()| {
            beside(&values, |values| {
                assert!(matches!(get(values, 1), None | Some(1 | 2)));
            })
        });
        drop(values.update(1, Value::of(1, 2)));
        drop(values.detach(1));
        for reader in readers {
            reader.join().unwrap();
        }
        end(&values, &[]);
    });
}

/// Outcomes: each reader sees the value of its object, or none. What is left to them is in one list for both.
#[test]
fn two_objects_are_read_while_both_are_detached() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        let values = with(&[1, 2]);
        let readers = [1, 2]
            .map(|object| beside(&values, move |values| assert!(get(values, object).is_none_or(|number| number == 1))));
        drop(values.detach(1));
        drop(values.detach(2));
        for reader in readers {
            reader.join().unwrap();
        }
        end(&values, &[]);
    });
}

/// Outcomes: the first value of the object, the second, or none; never that of the other object, whose node has the
/// memory of the first value, and moves back to the slot in which the second was, while the reader looks there again.
/// The writers are two threads, so that the reader need not be switched from more than twice.
#[test]
fn a_value_is_read_while_another_object_gets_its_memory_and_its_place() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        // Four fill a group, and the fifth is in the next.
        let objects = Table::<Value>::keys(5, false);
        let values = with(&objects[..4]);
        let (one, other) = (objects[0], objects[4]);
        let reader = beside(&values, move |values| assert!(matches!(get(values, one), None | Some(1 | 2))));
        let writer = beside(&values, move |values| {
            drop(values.update(one, Value::of(one, 2)));
            assert!(values.update(other, Value::of(other, 1)).is_none());
        });
        let detacher = beside(&values, move |values| assert!(values.detach(one).is_some()));
        for thread in [reader, writer, detacher] {
            thread.join().unwrap();
        }
        end(&values, &objects);
    });
}

/// Outcomes: the reader sees a value of each of two ids, in either order. The node of one may get the memory of the
/// other's, whose slow reader has announced that; what is replaced is kept for nobody who does not read it.
#[test]
fn values_of_two_ids_are_read_while_one_gets_the_memory_of_the_other() {
    for is_other_first in [false, true] {
        model(move || {
            let (one, other) = (with(&[1]), with(&[1]));
            let reader = thread::spawn({
                let (one, other) = (Arc::clone(&one), Arc::clone(&other));
                move || {
                    let read = || assert!(matches!(get(&one, 1), None | Some(1)));
                    let read_other = || assert!(matches!(get(&other, 1), Some(1..=3)));
                    if is_other_first {
                        read_other();
                        read();
                    } else {
                        read();
                        read_other();
                    }
                }
            });
            let first = thread::spawn({
                let (one, other) = (Arc::clone(&one), Arc::clone(&other));
                move || {
                    drop(one.detach(1));
                    drop(other.update(1, Value::of(1, 2)));
                }
            });
            let second = beside(&other, |other| drop(other.update(1, Value::of(1, 3))));
            for thread in [reader, first, second] {
                thread.join().unwrap();
            }
            end(&one, &[]);
            end(&other, &[1]);
        });
    }
}
