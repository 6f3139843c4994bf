//! Models of `raw/newest.rs`, whose every interleaving loom runs, up to three preemptions:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_raw
//! ```
//!
//! A value has a cell of loom's, which is written when the value is made and when it is dropped: a reader that clones it
//! beside either is an error. A reader that finds the value of another object fails an assertion.
#![cfg(loom)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ptr;
use std::sync::Mutex;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::thread;
use shadow_runtime::__private::modelled_raw::Values;

/// Keeps what is freed for longer than a run of a model takes, so that no two nodes of a run have one address. If some had,
/// now and then, runs would not be repeatable, as loom needs them to be.
struct Late;

#[global_allocator]
static ALLOCATOR: Late = Late;

/// What is to be freed, in a ring, and where the next goes.
static FREED: Mutex<([(usize, Layout); 1 << 14], usize)> = Mutex::new(([(0, Layout::new::<u8>()); 1 << 14], 0));

// SAFETY: everything is handed on to the system's allocator, if later than asked for.
unsafe impl GlobalAlloc for Late {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let (pointer, layout) = if layout.size() <= 256 {
            let mut freed = FREED.lock().unwrap();
            let (ring, next) = &mut *freed;
            *next = (*next + 1) % ring.len();
            let (address, layout) = std::mem::replace(&mut ring[*next], (pointer.expose_provenance(), layout));
            (ptr::with_exposed_provenance_mut(address), layout)
        } else {
            (pointer, layout)
        };
        if !pointer.is_null() {
            // SAFETY: the caller keeps to the same contract, or did so when this was freed.
            unsafe { System.dealloc(pointer, layout) };
        }
    }
}

/// A value of an object, and which one it is.
struct Value {
    object: usize,
    number: UnsafeCell<usize>,
}

// SAFETY: `number` is written where the value is made and dropped, and only read in between, which is what the models check.
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
    objects.iter().for_each(|&object| assert!(values.update(object, Value::of(object, 1)).is_none()));
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
    objects.iter().for_each(|&object| drop(values.detach(object)));
}

/// Outcomes: the old or the new, and the old comes out once.
#[test]
fn a_value_is_read_while_it_is_replaced() {
    model(|| {
        let values = with(&[1]);
        let reader = beside(&values, |values| assert!(matches!(get(values, 1), Some(1 | 2))));
        assert_eq!(values.update(1, Value::of(1, 2)).unwrap().number(), 1);
        reader.join().unwrap();
        end(&values, &[1]);
    });
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

/// The slot of the one gets the other, and then the one again: a look-up for the one may find the value of the other.
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

/// A reader may have the array that was replaced, in which the value stays for ever.
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

/// Whatever is left to one of the readers is dropped when both are done, and by that time nothing is left.
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
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        end(&values, &[]);
    });
}

/// As above, of two objects: the list is common to both.
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
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        end(&values, &[]);
    });
}
