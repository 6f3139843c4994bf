//! Loom models of the values of a `raw::UpdateId` (`raw/update_table.rs`), in all interleavings with at most three
//! preemptions.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime-core --lib update_table::loom_tests
//! ```
//!
//! In: threads that read, update and detach. Out: an error for a data race, a wrong value, or a value that stays
//! retired. Neighbours: `loom_ids.rs`, with the models of whole ids; `hazard.rs`, with the orderings of
//! `hazard/`.
//!
//! A value contains a loom `UnsafeCell`. The constructor and the destructor write to the cell. Loom reports a data race
//! if a clone is not ordered after the constructor, or not ordered before the destructor. An assertion fails if a
//! reader finds the value of another object. Each step of the table, left out or weakened, fails a model:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | the fence of `try_take`, also if `AcqRel` | `a_value_is_read_while_it_is_replaced` |
//! | the second lookup; a look into the list by a reader that has moved on | `a_value_is_read_while_it_is_replaced` |
//! | the comparison of the node's object | `a_value_is_read_while_another_object_gets_its_memory_and_its_place` |

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;

use super::{ObjectValue, UpdateTable};
use crate::hazard::barrier::forbid;
use crate::hazard::node::Node;
use crate::raw::ids::ErasedTable as _;
use crate::side_table::hash;

/// A value, with its object and its number. The alignment makes the allocator of `memory.rs` reuse the node's
/// memory first.
#[repr(align(128))]
struct Value {
    object: usize,
    number: UnsafeCell<usize>,
}

// SAFETY: only `of` and `drop` write to `number`, and threads only read in between. The models check this claim: loom
// reports every data race on `number`.
unsafe impl Sync for Value {}

impl Value {
    fn of(object: usize, number: usize) -> Self {
        let value = Self { object, number: UnsafeCell::new(0) };
        // SAFETY: `of` has not returned `value`, so no other thread can access `number`.
        value.number.with_mut(|place| unsafe { *place = number });
        value
    }

    fn number(&self) -> usize {
        // SAFETY: only `of` and `drop` write to `number`, and neither runs during the borrow of `self`.
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
        // SAFETY: `&mut self` is exclusive.
        self.number.with_mut(|place| unsafe { *place = usize::MAX });
    }
}

/// A table without a number, and without lists of numbers. One writer at a time changes the field of an object.
struct Objects(UpdateTable<Value>);

impl Objects {
    fn get(&self, object: usize) -> Option<Value> {
        self.0.get(object)
    }

    fn update(&self, object: usize, value: Value) -> Option<Value> {
        let node = Node::new_raw(ObjectValue { object, value });
        let Some(previous) = self.0.nodes.replace(object, node) else {
            self.0.nodes.insert(object, node);
            return None;
        };
        // SAFETY: `replace` has just taken the node out of the table, so by F1 this thread owns the node.
        Some(unsafe { self.0.take_or_clone(object, previous) })
    }

    fn detach(&self, object: usize) -> Option<Value> {
        let node = self.0.nodes.remove(object)?;
        // SAFETY: `remove` has just taken the node out of the table, so by F1 this thread owns the node.
        Some(unsafe { self.0.take_or_clone(object, node) })
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // SAFETY: `&mut self` excludes other users of the table, and a model removes every node before the drop.
        unsafe { self.0.nodes.free() };
    }
}

/// The first `count` objects whose keys have the first of two groups as home group.
fn objects_of_one_group(count: usize) -> Vec<usize> {
    (1..).map(|number| number * 16).filter(|object| hash(*object) >> 63 == 0).take(count).collect()
}

fn model(run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(run);
}

/// Makes a table with the given objects, whose values have the number 1.
fn with(objects: &[usize]) -> Arc<Objects> {
    let values = Objects(UpdateTable::none());
    for &object in objects {
        assert!(values.update(object, Value::of(object, 1)).is_none());
    }
    Arc::new(values)
}

/// Returns the number of the value that a lookup finds. Asserts that the value belongs to the object.
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

/// Detaches the remaining values. Asserts that no value is still retired: no reader is left.
fn end(values: &Objects, objects: &[usize]) {
    assert!(values.0.retired.is_empty());
    for &object in objects {
        drop(values.detach(object));
    }
}

/// Outcomes: the reader sees the old or the new value, and the update returns the old value once.
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
    // As on a system without a process-wide barrier.
    forbid();
    models();
}

/// Outcomes: the reader sees the value or no value.
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

/// Outcomes: the reader sees the first value of object 1, the second value, or no value. The slot of object 1 passes to
/// object 2 and back to object 1, so a lookup of object 1 may find the node of object 2.
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

/// Outcomes: the reader sees the value or no value. The reader may still have the replaced array, in which the value
/// stays for ever.
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

/// Outcomes: each reader sees the first value, the second value, or no value. After the end of both readers, all
/// retired values are dropped.
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

/// Outcomes: each reader sees its object's value, or no value. One list holds the retired nodes of both objects.
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

/// Outcomes: the reader sees the object's first value, the second value, or no value, and never the value of the other
/// object. The other object's node reuses the memory of the first value, and moves back to the slot of the second
/// value, while the reader repeats the lookup. The two writes run in two threads, so that two preemptions of the reader
/// suffice.
#[test]
fn a_value_is_read_while_another_object_gets_its_memory_and_its_place() {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(|| {
        // Four keys fill a group; the fifth key is in the next group.
        let objects = objects_of_one_group(5);
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

/// Outcomes: the reader sees a value of each of two ids, in either order. One id's new node may reuse the memory of the
/// other id's old node, while a slow reader has that address protected. A node is retired only for readers of its own
/// id.
#[test]
fn values_of_two_ids_are_read_while_one_gets_the_memory_of_the_other() {
    for is_other_first in [false, true] {
        let mut builder = Builder::new();
        builder.preemption_bound = Some(2);
        builder.check(move || {
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
