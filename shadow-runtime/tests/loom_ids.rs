//! Models of `raw::Id` and `raw::UpdateId`, by the methods that users call: what their numbers name, which objects have
//! them, and the detaches of all of them. `loom_raw.rs` has those of one table alone.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_ids
//! ```
//!
//! A value has a cell of loom's, which is written when the value is made and when it is dropped: a reader that uses it
//! beside either is an error. Values are counted: at the end of a model all are dropped. Each of these, left out, fails
//! a model:
//!
//! | left out | model that fails |
//! |---|---|
//! | `Id::claim`, the second look | `two_threads_attach` |
//! | the fence of `reclaim` of `raw/newest.rs` | `an_object_is_detached_while_a_field_is_read` |
//! | `Table::take`, the object's lock around the table's | `all_are_detached_while_one_is_updated` |
//! | `Table::put`, the object's lock around the table's | `all_are_detached_while_one_is_attached` |
//! | `raw/objects.rs`, taking a kind out of a list | `all_are_detached_while_another_id_is_attached` |
//! | `kind::name`, the look under the lock | `two_threads_name_a_number` |
#![cfg(loom)]

mod memory;

use std::convert::Infallible;
use std::ptr;
use std::sync::atomic::AtomicUsize as Plain;
use std::sync::atomic::Ordering::Relaxed;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::thread;
use shadow_runtime::raw::{self, Id, UpdateId};

/// How many values there are, and how many initialisers have run. Not loom's: nothing is concluded from them but at the
/// end.
type Count = std::sync::Arc<Plain>;

/// Its alignment gives its node memory that is used again first (`memory/mod.rs`).
#[repr(align(128))]
struct Value {
    number: UnsafeCell<usize>,
    alive: Count,
}

// SAFETY: `number` is written where the value is made and dropped, and only read in between, which is what the models
// check.
unsafe impl Send for Value {}
// SAFETY: as above.
unsafe impl Sync for Value {}

impl Value {
    fn new(number: usize, alive: &Count) -> Self {
        alive.fetch_add(1, Relaxed);
        let value = Self { number: UnsafeCell::new(0), alive: Count::clone(alive) };
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

const ONCE: Id<Value> = Id::new(1);
const NEWEST: UpdateId<Value> = UpdateId::new(2);

/// The address of an object, which nobody looks behind. They are the same in all runs.
fn object(number: usize) -> *const () {
    ptr::without_provenance(number * 16)
}

/// Runs a model, and then detaches what the objects have.
fn model(run: impl Fn(&Count) + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.max_branches = 5_000;
    builder.check(move || {
        let alive = Count::default();
        run(&alive);
        // SAFETY: nobody has a reference to a value any more.
        (1..=2).for_each(|number| _ = unsafe { raw::detach_object(object(number)) });
        assert_eq!(alive.load(Relaxed), 0, "alive without its object");
    });
}

fn beside<R: 'static>(alive: &Count, run: impl FnOnce(&Count) -> R + 'static) -> thread::JoinHandle<R> {
    let alive = Count::clone(alive);
    thread::spawn(move || run(&alive))
}

fn attach(id: Id<Value>, at: usize, number: usize, alive: &Count) -> bool {
    // SAFETY: the object is an address alone, and models detach nothing that they attach meanwhile.
    unsafe { id.attach(object(at), Value::new(number, alive)) }.is_ok()
}

/// 0 if there is none.
fn get(id: Id<Value>, at: usize) -> usize {
    // SAFETY: as in `attach`.
    unsafe { id.get(object(at)) }.unwrap().map_or(0, Value::number)
}

/// The previous, or 0 if there is none.
fn update(at: usize, number: usize, alive: &Count) -> usize {
    // SAFETY: the object is an address alone.
    let previous = unsafe { NEWEST.get_or_update(object(at), Value::new(number, alive)) };
    previous.ok().unwrap().map_or(0, |value| value.number())
}

/// 0 if there is none.
fn newest(at: usize) -> usize {
    // SAFETY: as in `update`.
    unsafe { NEWEST.get(object(at)) }.unwrap().map_or(0, |value| value.number())
}

/// The numbers of all values that were detached.
fn detach_all_newest() -> Vec<usize> {
    let mut numbers = Vec::new();
    // SAFETY: nobody has a reference to a value of an `UpdateId`.
    let count = unsafe { NEWEST.detach_all(|_, value| numbers.push(value.number())) }.unwrap();
    assert_eq!(count, numbers.len());
    numbers
}

/// Outcomes: one attaches, the other gets its value back; one of the two has its number named, the other finds that.
#[test]
fn two_threads_attach() {
    model(|alive| {
        let threads = [1, 2].map(|number| beside(alive, move |alive| attach(ONCE, 1, number, alive)));
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert_ne!(one, other);
        assert_eq!(get(ONCE, 1), if one { 1 } else { 2 });
    });
}

/// Outcomes: one of the initialisers has run, the other has not; both find its value. Who claims the place after the
/// other was done finds the value at its second look.
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
                // SAFETY: as in `attach`.
                unsafe { ONCE.get_or_attach(object(1), init) }.unwrap().number()
            })
        });
        let [one, other] = threads.map(|thread| thread.join().unwrap());
        assert_eq!((one, runs.load(Relaxed)), (other, 1));
        assert_eq!(get(ONCE, 1), one);
    });
}

/// Outcomes: one has the number named, and the other finds it named, at the latest under the lock; so both values are
/// found.
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

/// Outcomes: the reader finds nothing, or the value as it was made, whatever it has seen of what the number names.
#[test]
fn a_value_is_looked_for_while_it_is_attached() {
    model(|alive| {
        let writer = beside(alive, |alive| assert!(attach(ONCE, 1, 1, alive)));
        let reader = beside(alive, |_| assert!(get(ONCE, 1) <= 1));
        writer.join().unwrap();
        reader.join().unwrap();
    });
}

/// Outcomes: what is attached meanwhile is detached with the others, or stays; nothing is detached twice, or lost.
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

/// Outcomes: the first value is replaced and the second detached, or the first is detached and the second attached
/// after it, to be detached as well, by who looks for it again, or to stay. Each value comes out once.
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

/// Outcomes: a reader sees the value or none, and it is dropped after that, by the reader or by who detaches it.
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

/// Outcomes: all of one id are detached; another id is attached to the same object, and stays, and is seen as it was
/// made.
#[test]
fn all_are_detached_while_another_id_is_attached() {
    model(|alive| {
        assert!(attach(ONCE, 1, 1, alive));
        // SAFETY: nobody has a reference to a value.
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

/// Outcomes: two detach all; each value comes out for one of them.
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

/// Outcomes: a reader of a field of an object whose fields are all detached sees the value or none, and it is dropped
/// after that, by the reader or by who detaches it.
#[test]
fn an_object_is_detached_while_a_field_is_read() {
    model(|alive| {
        update(1, 1, alive);
        // SAFETY: nobody has a reference to a value of an `UpdateId`.
        let detacher = beside(alive, |_| assert_eq!(unsafe { raw::detach_object(object(1)) }, 1));
        let reader = beside(alive, |_| assert!(newest(1) <= 1));
        detacher.join().unwrap();
        reader.join().unwrap();
        assert_eq!(alive.load(Relaxed), 0, "kept for nobody");
    });
}

/// Outcomes: an update comes before the detach of its object, and its value is detached; or after it, and stays.
#[test]
fn an_object_is_detached_while_a_field_is_updated() {
    model(|alive| {
        update(1, 1, alive);
        // SAFETY: nobody has a reference to a value of an `UpdateId`.
        let detacher = beside(alive, |_| assert_eq!(unsafe { raw::detach_object(object(1)) }, 1));
        let updater = beside(alive, |alive| update(1, 2, alive));
        detacher.join().unwrap();
        assert!([(1, 0), (0, 2)].contains(&(updater.join().unwrap(), newest(1))));
    });
}

/// Outcomes: an attach of one id comes before the detach of its object, and its value is detached with the other; or
/// after it, and stays. What the object has and what the tables have agree either way.
#[test]
fn an_object_is_detached_while_another_id_is_attached() {
    const OTHER: UpdateId<Value> = UpdateId::new(3);
    model(|alive| {
        update(1, 1, alive);
        // SAFETY: nobody has a reference to a value of an `UpdateId`.
        let all = beside(alive, |_| unsafe { raw::detach_object(object(1)) });
        let attacher = beside(alive, |alive| {
            // SAFETY: the object is an address alone.
            let previous = unsafe { OTHER.get_or_update(object(1), Value::new(2, alive)) };
            assert!(previous.ok().unwrap().is_none());
        });
        attacher.join().unwrap();
        let detached = all.join().unwrap();
        // SAFETY: as above.
        let left = unsafe { OTHER.get(object(1)) }.unwrap().is_some();
        assert_eq!(detached, if left { 1 } else { 2 });
        // SAFETY: as above.
        assert_eq!(unsafe { raw::detach_object(object(1)) }, usize::from(left), "listed if it is there");
    });
}

/// Outcomes: two ids of one object are detached, by two threads, from a list of the two; nothing is left of it.
#[test]
fn two_ids_of_one_object_are_detached() {
    model(|alive| {
        assert!(attach(ONCE, 1, 1, alive));
        update(1, 2, alive);
        // SAFETY: nobody has a reference to a value.
        let once = beside(alive, |_| unsafe { ONCE.detach(object(1)) }.unwrap().map(|value| value.number()));
        // SAFETY: as above.
        let newest = beside(alive, |_| unsafe { NEWEST.detach(object(1)) }.unwrap().map(|value| value.number()));
        assert_eq!((once.join().unwrap(), newest.join().unwrap()), (Some(1), Some(2)));
        // SAFETY: as above.
        assert_eq!(unsafe { raw::detach_object(object(1)) }, 0);
        assert_eq!(alive.load(Relaxed), 0);
    });
}

/// Outcomes: two threads attach where the tables, of one shard each, are full: of objects, and of the number. One of
/// them replaces each array, with nothing else locked, and the other finds it replaced.
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
            // SAFETY: nobody has a reference to a value.
            assert_eq!(unsafe { raw::detach_object(object(number)) }, 1);
        }
    });
}
