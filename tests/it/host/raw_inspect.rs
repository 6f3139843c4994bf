//! `UpdateId::inspect`: a look at the newest value, without a clone; and `UpdateId::try_get_or_update`.
//!
//! Every test has numbers of its own, as in `raw.rs`. `tests/process/allocator_that_fails.rs` has the errors without
//! memory, `tests/process/arc_table/sweep_where.rs` the sweeps that a look defers.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use shadow_runtime::raw::{Id, InitError, UpdateId};

use super::raw::{Object, attach, detach_newest, newest, update};
use support::{Census, Life, elsewhere, fewer, never_hangs, panic_of, without_backtraces};

fn inspect<V: Clone + Send + Sync + 'static, R>(
    id: UpdateId<V>,
    object: &Object,
    look: impl FnOnce(&V) -> R,
) -> Result<Option<R>, InitError<Infallible>> {
    // SAFETY: an `Object` outlives its fields, so the field at this address is a field of this object.
    unsafe { id.inspect(object.key(), look) }
}

fn try_update<V: Clone + Send + Sync + 'static>(
    id: UpdateId<V>,
    object: &Object,
    value: V,
) -> Result<Option<V>, InitError<Infallible>> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.try_get_or_update(object.key(), value) }
}

#[test]
fn a_look_gets_the_newest_value_and_clones_nothing() {
    const NUMBER: UpdateId<(u8, Life)> = UpdateId::new(4_100);
    let (object, census) = (Object::new(), Census::default());
    assert_eq!(inspect(NUMBER, &object, |_| panic!("there is no value")).unwrap(), None::<u8>);
    for (count, number) in [3, 5].into_iter().enumerate() {
        drop(update(NUMBER, &object, (number, census.life())).unwrap());
        assert_eq!(inspect(NUMBER, &object, |(number, _)| *number).unwrap(), Some(number));
        assert_eq!(inspect(NUMBER, &Object::new(), |(number, _)| *number).unwrap(), None);
        assert_eq!((census.made(), census.dropped()), (count + 1, count));
    }
    drop(detach_newest(NUMBER, &object).unwrap());
    assert_eq!(inspect(NUMBER, &object, |(number, _)| *number).unwrap(), None);
    assert_eq!((census.made(), census.dropped()), (2, 2));
}

#[test]
fn a_number_of_another_type_refuses_a_look_and_an_update() {
    const SIZE: Id<u8> = Id::new(4_101);
    const NAME: UpdateId<&str> = UpdateId::new(4_101);
    let (object, other) = (Object::new(), Object::new());
    attach(SIZE, &object, 1).unwrap();
    for object in [&object, &other] {
        let refused = inspect(NAME, object, |_| panic!("it is another type's")).unwrap_err();
        assert!(matches!(refused, InitError::TypeMismatch(_)), "{refused}");
        let refused = try_update(NAME, object, "first").unwrap_err();
        assert!(matches!(refused, InitError::TypeMismatch(_)), "{refused}");
    }
}

#[test]
fn a_fallible_update_attaches_or_replaces_and_returns_the_previous_value() {
    const NAME: UpdateId<&str> = UpdateId::new(4_102);
    let object = Object::new();
    for previous in [None, Some("first")] {
        assert_eq!(try_update(NAME, &object, "first").unwrap(), previous);
    }
    assert_eq!(detach_newest(NAME, &object).unwrap(), Some("first"));
    // As `get_or_update`, inside of a closure of the field.
    let own = |_: Option<&&'static str>| try_update(NAME, &object, "own").unwrap().unwrap_or("none");
    // SAFETY: an `Object` outlives its fields.
    let message = panic_of(|| drop(never_hangs(|| unsafe { NAME.update_with(object.key(), own) })));
    assert!(message.contains("is updated by its own closure"), "{message}");
}

/// A writer does not wait for the look, and gets a clone. The value stays until the end of the look.
#[test]
fn a_value_stays_during_a_look_whatever_a_writer_does() {
    const VALUE: UpdateId<Life> = UpdateId::new(4_103);
    type Write = fn(&Object, Life) -> Option<Life>;
    let writes: [Write; 3] = [
        |object, life| update(VALUE, object, life).ok().unwrap(),
        |object, life| try_update(VALUE, object, life).unwrap(),
        |object, _| detach_newest(VALUE, object).unwrap(),
    ];
    // A writer on this thread and on a second thread.
    for (write, is_elsewhere) in writes.into_iter().flat_map(|write| [(write, false), (write, true)]) {
        let (object, census) = (Object::new(), Census::default());
        update(VALUE, &object, census.life()).ok().unwrap();
        let looked = never_hangs(|| {
            inspect(VALUE, &object, |_| {
                let new = Census::default().life();
                let work = || drop(write(&object, new).expect("the look does not hide the value"));
                if is_elsewhere {
                    elsewhere(work);
                } else {
                    work();
                }
                assert_eq!((census.made(), census.dropped()), (2, 1), "the clone is dropped, the value is not");
                7
            })
        });
        assert_eq!(looked.unwrap(), Some(7));
        assert_eq!((census.made(), census.dropped()), (2, 2), "the end of the look drops the value");
        detach_newest(VALUE, &object).ok().unwrap();
    }
}

#[test]
fn a_look_may_look_and_read() {
    const NUMBER: UpdateId<u8> = UpdateId::new(4_104);
    let object = Object::new();
    update(NUMBER, &object, 4).unwrap();
    let looked = inspect(NUMBER, &object, |outer| {
        let inner = inspect(NUMBER, &object, |inner| *inner + newest(NUMBER, &object).unwrap().unwrap());
        (*outer, inner.unwrap().unwrap())
    });
    assert_eq!(looked.unwrap(), Some((4, 8)));
}

#[test]
fn after_a_panic_in_a_look_the_value_is_not_protected_any_more() {
    const VALUE: UpdateId<Life> = UpdateId::new(4_105);
    without_backtraces();
    let (object, census) = (Object::new(), Census::default());
    update(VALUE, &object, census.life()).ok().unwrap();
    let message = panic_of(|| inspect(VALUE, &object, |_| panic!("boom")));
    assert!(message.contains("boom"), "{message}");
    drop(detach_newest(VALUE, &object).ok().unwrap().expect("it is attached"));
    assert_eq!((census.made(), census.dropped()), (1, 1), "the value itself, and not a clone");
    // The value is replaced during the look that panics: unwinding drops the value.
    update(VALUE, &object, census.life()).ok().unwrap();
    panic_of(|| {
        inspect(VALUE, &object, |_| {
            drop(detach_newest(VALUE, &object).ok().unwrap());
            panic!("boom")
        })
    });
    assert_eq!((census.made(), census.dropped()), (3, 3));
}

/// A value that panics on drop, once.
#[derive(Clone, Default)]
struct Bomb(Arc<AtomicBool>);

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(!self.0.swap(false, Ordering::SeqCst), "boom of a Bomb");
    }
}

/// The result of a look is dropped if the destructor of a value that was replaced during the look panics.
#[test]
fn a_panic_at_the_end_of_a_look_drops_the_result() {
    const BOMB: UpdateId<Bomb> = UpdateId::new(4_106);
    without_backtraces();
    let (object, census, bomb) = (Object::new(), Census::default(), Bomb::default());
    update(BOMB, &object, bomb.clone()).ok().unwrap();
    let looked = catch_unwind(AssertUnwindSafe(|| {
        inspect(BOMB, &object, |_| {
            drop(update(BOMB, &object, Bomb::default()).ok().unwrap());
            bomb.0.store(true, Ordering::SeqCst);
            census.life()
        })
    }));
    assert_eq!(*looked.err().expect("the destructor panics").downcast::<&str>().unwrap(), "boom of a Bomb");
    assert_eq!((census.made(), census.dropped()), (1, 1));
    detach_newest(BOMB, &object).ok().unwrap();
}

/// In a race, a look gets a value whose two halves agree, and no value is lost.
#[test]
fn looks_beside_updates_and_detaches_get_whole_values() {
    const PAIR: UpdateId<(usize, Life, usize)> = UpdateId::new(4_107);
    const ROUNDS: usize = fewer(20_000, 20);
    let (object, census) = (Object::new(), Census::default());
    let (start, is_done) = (Barrier::new(3), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                start.wait();
                while !is_done.load(Ordering::Relaxed) {
                    inspect(PAIR, &object, |(first, _, second)| assert_eq!(first, second)).unwrap();
                }
            });
        }
        start.wait();
        for round in 0..ROUNDS {
            drop(try_update(PAIR, &object, (round, census.life(), round)).ok().unwrap());
            if round % 3 == 0 {
                drop(detach_newest(PAIR, &object).ok().unwrap());
            }
        }
        is_done.store(true, Ordering::Relaxed);
    });
    drop(detach_newest(PAIR, &object).ok().unwrap());
    assert_eq!(census.made(), census.dropped());
}
