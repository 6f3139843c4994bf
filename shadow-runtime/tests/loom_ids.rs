//! Loom models of `raw::Id` and `raw::UpdateId`, run through the methods that users call.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_ids
//! ```
//!
//! In: threads that attach, read, update and detach, by id and by object. Out: an error for a data race, a wrong value,
//! a leak, or a table and a list of numbers that disagree. Neighbour: `core/src/loom_tests/update_table.rs`, with the
//! models of one table of values that are replaced.
//!
//! A value contains a loom `UnsafeCell`. The constructor and the destructor write to the cell. Loom reports a data race
//! if a read is not ordered after the constructor, or not ordered before the destructor. Each model counts the live
//! values at the end. Each step of the table, left out, fails a model:
//!
//! | left out | model that fails |
//! |---|---|
//! | `Id::init_lock`, the second look | `two_threads_attach` |
//! | the fence of `try_take` of `raw/update_table.rs` | `an_object_is_detached_while_a_field_is_read` |
//! | `Object::take`, the object's lock around the table's | `all_are_detached_while_one_is_updated` |
//! | `Table::put`, the object's lock around the table's | `all_are_detached_while_one_is_attached` |
//! | `raw/objects.rs`, taking a number out of a list | `all_are_detached_while_another_id_is_attached` |
//! | `ids::register`, the look under the lock | `two_threads_name_a_number` |
#![cfg(loom)]

#[path = "../core/src/loom_tests/memory.rs"]
mod memory;

use std::convert::Infallible;
use std::ptr;
use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::thread;
use shadow_runtime::raw::{self, Id, UpdateId};

/// The number of live values, or of runs of initialisers. An atomic of std, which loom does not see; a model reads the
/// number only at the end.
type Count = std::sync::Arc<Plain>;

/// The alignment makes the allocator of `memory.rs` reuse the node's memory first.
#[repr(align(128))]
struct Value {
    number: UnsafeCell<usize>,
    alive: Count,
}

// SAFETY: only `new` and `drop` write to `number`, and threads only read in between. The models check this claim: loom
// reports every data race on `number`.
unsafe impl Send for Value {}
// SAFETY: shared references only read `number`; loom reports a write that races with a read.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize, alive: &Count) -> Self {
        alive.fetch_add(1, Relaxed);
        let value = Self { number: UnsafeCell::new(0), alive: Count::clone(alive) };
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

const ONCE: Id<Value> = Id::new(1);
const NEWEST: UpdateId<Value> = UpdateId::new(2);

/// The address of an object, which no code dereferences. The addresses are the same in all executions.
fn object(number: usize) -> *const () {
    ptr::without_provenance(number * 16)
}

/// Runs a model, and then detaches the fields of the objects.
fn model(run: impl Fn(&Count) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 5_000;
    builder.check(move || {
        let alive = Count::default();
        run(&alive);
        // SAFETY: all threads of the model have ended, so no thread holds a reference to a value.
        (1..=2).for_each(|number| _ = unsafe { raw::detach_object(object(number)) });
        assert_eq!(alive.load(Relaxed), 0, "alive without its object");
    });
}

fn beside<R: 'static>(alive: &Count, run: impl FnOnce(&Count) -> R + 'static) -> thread::JoinHandle<R> {
    let alive = Count::clone(alive);
    thread::spawn(move || run(&alive))
}

fn attach(id: Id<Value>, at: usize, number: usize, alive: &Count) -> bool {
    // SAFETY: the object is only an address, so the object outlives the field. No model detaches a field of `ONCE`
    // while a thread attaches or reads the same field of the same object.
    unsafe { id.attach(object(at), Value::new(number, alive)) }.is_ok()
}

/// Returns 0 if the object has no value.
fn get(id: Id<Value>, at: usize) -> usize {
    // SAFETY: no model detaches a field of `ONCE` while a thread attaches or reads the same field of the same object.
    unsafe { id.get(object(at)) }.unwrap().map_or(0, Value::number)
}

/// Returns the previous value's number, or 0 if the object had no value.
fn update(at: usize, number: usize, alive: &Count) -> usize {
    // SAFETY: the object is only an address, so the object outlives the field.
    let previous = unsafe { NEWEST.get_or_update(object(at), Value::new(number, alive)) };
    previous.ok().unwrap().map_or(0, |value| value.number())
}

/// Returns 0 if the object has no value.
fn newest(at: usize) -> usize {
    // SAFETY: the object is only an address, so all fields at the address are the object's.
    unsafe { NEWEST.get(object(at)) }.unwrap().map_or(0, |value| value.number())
}

/// Returns the numbers of all detached values.
fn detach_all_newest() -> Vec<usize> {
    let mut numbers = Vec::new();
    // SAFETY: `UpdateId` hands out clones, so no thread holds a reference to a value.
    let count = unsafe { NEWEST.detach_all(|_, value| numbers.push(value.number())) }.unwrap();
    assert_eq!(count, numbers.len());
    numbers
}

/// Outcomes: one thread attaches, and the other attach hands its value back. One of the two threads binds the number to
/// the type, and the other thread finds the binding.
#[test]
fn two_threads_attach() {
    model(|alive| {
        let threads = [1, 2].map(|number| beside(alive, move |alive| attach(ONCE, 1, number, alive)));
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert_ne!(one, other);
        assert_eq!(get(ONCE, 1), if one { 1 } else { 2 });
    });
}

/// Outcomes: one initialiser runs, and both threads find its value. A thread that acquires the lock after the other
/// thread's attach finds the value by the second lookup.
#[test]
fn two_threads_initialise() {
    model(|alive| {
        let runs = Count::default();
        let threads = [1, 2].map(|number| {
            let runs = Count::clone(&runs);
            beside(alive, move |alive| {
                let init = || {
                    runs.fetch_add(1, Relaxed);
                    Ok::<_, Infallible>(Value::new(number, alive))
                };
                // SAFETY: no thread detaches a field of `ONCE` during the call, or before the last use of the
                // reference.
                unsafe { ONCE.get_or_attach(object(1), init) }.unwrap().number()
            })
        });
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert_eq!((one, runs.load(Relaxed)), (other, 1));
        assert_eq!(get(ONCE, 1), one);
    });
}

/// Outcomes: one thread binds the number to the type. The other thread finds the binding, under the lock at the latest.
/// So both values are found.
#[test]
fn two_threads_name_a_number() {
    model(|alive| {
        let threads = [1, 2].map(|at| beside(alive, move |alive| assert_eq!(update(at, at, alive), 0)));
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!([1, 2].map(newest), [1, 2]);
    });
}

/// Outcomes: the reader finds no value, or a fully initialised value, whether or not the reader sees the binding of the
/// number.
#[test]
fn a_value_is_looked_for_while_it_is_attached() {
    model(|alive| {
        let writer = beside(alive, |alive| assert!(attach(ONCE, 1, 1, alive)));
        let reader = beside(alive, |_| assert!(get(ONCE, 1) <= 1));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Outcomes: `detach_all` detaches the concurrent attach's value together with the other values, or the value stays. No
/// value is detached twice or lost.
#[test]
fn all_are_detached_while_one_is_attached() {
    model(|alive| {
        update(1, 1, alive);
        let all = beside(alive, |_| detach_all_newest());
        let attacher = beside(alive, |alive| assert_eq!(update(2, 2, alive), 0));
        attacher.join().unwrap();
        let detached = all.join().unwrap();
        let left = newest(2);
        assert!([(vec![1], 2), (vec![1, 2], 0), (vec![2, 1], 0)].contains(&(detached, left)));
        assert_eq!(newest(1), 0);
    });
}

/// Outcomes: the update replaces the first value, and `detach_all` detaches the second; or `detach_all` detaches the
/// first value, and the update attaches the second, which stays. Each value is returned once.
#[test]
fn all_are_detached_while_one_is_updated() {
    model(|alive| {
        update(1, 1, alive);
        let detacher = beside(alive, |_| detach_all_newest());
        let updater = beside(alive, |alive| update(1, 2, alive));
        let outcome = (updater.join().unwrap(), detacher.join().unwrap(), newest(1));
        assert!([(1, vec![2], 0), (0, vec![1], 2)].contains(&outcome));
    });
}

/// Outcomes: the reader sees the value or no value. The reader or the detacher drops the value after the read.
#[test]
fn all_are_detached_while_one_is_read() {
    model(|alive| {
        update(1, 1, alive);
        let detacher = beside(alive, |_| assert_eq!(detach_all_newest(), [1]));
        let reader = beside(alive, |_| assert!(newest(1) <= 1));
        detacher.join().unwrap();
        reader.join().unwrap();
        assert_eq!(alive.load(Relaxed), 0, "kept for nobody");
    });
}

/// Outcomes: `detach_all` of one id detaches its field. A second id, attached to the same object meanwhile, stays
/// attached, and its value is found fully initialised.
#[test]
fn all_are_detached_while_another_id_is_attached() {
    model(|alive| {
        assert!(attach(ONCE, 1, 1, alive));
        // SAFETY: no thread holds a reference to a value of `ONCE`.
        let detacher = beside(alive, |_| assert_eq!(unsafe { ONCE.detach_all(|_, value| drop(value)) }.unwrap(), 1));
        let attacher = beside(alive, |alive| {
            assert_eq!(update(1, 2, alive), 0);
            assert_eq!(newest(1), 2);
        });
        detacher.join().unwrap();
        attacher.join().unwrap();
        assert_eq!((get(ONCE, 1), newest(1)), (0, 2));
    });
}

/// Outcomes: two threads call `detach_all`; exactly one of them gets each value.
#[test]
fn two_detach_all() {
    model(|alive| {
        update(1, 1, alive);
        update(2, 2, alive);
        let detachers = [(); 2].map(|()| beside(alive, |_| detach_all_newest()));
        let mut detached = detachers.map(|detacher| detacher.join().unwrap()).concat();
        detached.sort_unstable();
        assert_eq!(detached, [1, 2]);
    });
}

/// Outcomes: a reader sees the value or no value while a thread detaches all fields of the object. The reader or the
/// detacher drops the value after the read.
#[test]
fn an_object_is_detached_while_a_field_is_read() {
    model(|alive| {
        update(1, 1, alive);
        // SAFETY: `UpdateId` hands out clones, so no thread holds a reference to a value.
        let detacher = beside(alive, |_| assert_eq!(unsafe { raw::detach_object(object(1)) }, 1));
        let reader = beside(alive, |_| assert!(newest(1) <= 1));
        detacher.join().unwrap();
        reader.join().unwrap();
        assert_eq!(alive.load(Relaxed), 0, "kept for nobody");
    });
}

/// Outcomes: the update comes before the object's detach, and the new value is detached; or after the detach, and the
/// new value stays.
#[test]
fn an_object_is_detached_while_a_field_is_updated() {
    model(|alive| {
        update(1, 1, alive);
        // SAFETY: `UpdateId` hands out clones, so no thread holds a reference to a value.
        let detacher = beside(alive, |_| assert_eq!(unsafe { raw::detach_object(object(1)) }, 1));
        let updater = beside(alive, |alive| update(1, 2, alive));
        detacher.join().unwrap();
        assert!([(1, 0), (0, 2)].contains(&(updater.join().unwrap(), newest(1))));
    });
}

/// Outcomes: the attach of the second id comes before the object's detach, and both values are detached; or after the
/// detach, and the second value stays. In both cases the object's list of kinds agrees with the tables.
#[test]
fn an_object_is_detached_while_another_id_is_attached() {
    const OTHER: UpdateId<Value> = UpdateId::new(3);
    model(|alive| {
        update(1, 1, alive);
        // SAFETY: `UpdateId` hands out clones, so no thread holds a reference to a value.
        let all = beside(alive, |_| unsafe { raw::detach_object(object(1)) });
        let attacher = beside(alive, |alive| {
            // SAFETY: the object is only an address, so the object outlives the field.
            let previous = unsafe { OTHER.get_or_update(object(1), Value::new(2, alive)) };
            assert!(previous.ok().unwrap().is_none());
        });
        attacher.join().unwrap();
        let detached = all.join().unwrap();
        // SAFETY: the object is only an address, so all fields at the address are the object's.
        let left = unsafe { OTHER.get(object(1)) }.unwrap().is_some();
        assert_eq!(detached, if left { 1 } else { 2 });
        // SAFETY: `UpdateId` hands out clones, so no thread holds a reference to a value.
        assert_eq!(unsafe { raw::detach_object(object(1)) }, usize::from(left), "listed if it is there");
    });
}

/// Outcomes: two threads detach the two ids of one object, and the object's list of kinds is empty afterwards.
#[test]
fn two_ids_of_one_object_are_detached() {
    model(|alive| {
        assert!(attach(ONCE, 1, 1, alive));
        update(1, 2, alive);
        // SAFETY: no thread holds a reference to a value of `ONCE`.
        let once = beside(alive, |_| unsafe { ONCE.detach(object(1)) }.unwrap().map(|value| value.number()));
        // SAFETY: the object is only an address, so all fields at the address are the object's.
        let newest = beside(alive, |_| unsafe { NEWEST.detach(object(1)) }.unwrap().map(|value| value.number()));
        assert_eq!((once.join().unwrap(), newest.join().unwrap()), (Some(1), Some(2)));
        // SAFETY: both values were moved out and dropped, so no thread holds a reference to a value.
        assert_eq!(unsafe { raw::detach_object(object(1)) }, 0);
        assert_eq!(alive.load(Relaxed), 0);
    });
}

/// Outcomes: two threads attach while the table of objects and the table of the number, each of one shard, are full.
/// One of the threads replaces each array, with no other lock held, and the other thread finds the replaced array.
#[test]
fn two_threads_attach_where_the_tables_are_full() {
    model(|alive| {
        for number in 1..=6 {
            assert!(attach(ONCE, number, number, alive));
        }
        let threads = [7, 8].map(|number| beside(alive, move |alive| attach(ONCE, number, number, alive)));
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
        for number in 1..=8 {
            assert_eq!(get(ONCE, number), number);
            // SAFETY: no thread holds a reference to a value.
            assert_eq!(unsafe { raw::detach_object(object(number)) }, 1);
        }
    });
}
