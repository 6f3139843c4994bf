//! Initialisers of `shadow_runtime::raw`: `attach_with` of an `Id` and of an `UpdateId`, `get_or_attach` of an
//! `UpdateId`; cycles of initialisers of every kind; and the numbers of an object. `raw_pointer.rs` has the
//! initialisers of a `PointerId`. `tests/it/rule/r03_once.rs` has the tests that a `get_or_attach` shares with declared
//! fields.
//!
//! Every test has numbers of its own, as in `raw.rs`.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use shadow_runtime::raw::{AttachError, Id, InitError, PointerId, UpdateId};

use super::raw::{Object, attach, detach, detach_newest, detach_object, get, get_or_attach, newest, update};
use super::raw_pointer::{attach_pointer_with, copy, pointer_or};
use support::{Census, Life, fewer, never_hangs, panic_of, without_backtraces};

fn attach_with<V: Send + Sync + 'static, E>(
    id: Id<V>,
    object: &Object,
    init: impl FnOnce() -> Result<V, E>,
) -> Result<&V, InitError<E>> {
    // SAFETY: an `Object` outlives its fields, and no thread detaches the field while the reference is in use.
    unsafe { id.attach_with(object.key(), init) }
}

fn newest_or<V: Clone + Send + Sync + 'static, E>(
    id: UpdateId<V>,
    object: &Object,
    init: impl FnOnce() -> Result<V, E>,
) -> Result<V, InitError<E>> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.get_or_attach(object.key(), init) }
}

fn attach_newest_with<V: Clone + Send + Sync + 'static, E>(
    id: UpdateId<V>,
    object: &Object,
    init: impl FnOnce() -> Result<V, E>,
) -> Result<V, InitError<E>> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.attach_with(object.key(), init) }
}

/// An initialiser that must not run.
fn never<V>() -> Result<V, Infallible> {
    panic!("the initialiser runs")
}

/// Checks a refusal, and its message.
fn is_refused<V, E>(result: Result<V, InitError<E>>, number: u64) {
    let Err(InitError::AlreadyAttached(refused)) = result else { panic!("it is not refused") };
    assert_eq!(refused.to_string(), format!("shadow field `{number}` is already attached to this `*const ()`"));
    assert_eq!((refused.field(), refused.host()), (number.to_string().as_str(), "*const ()"));
}

#[test]
fn a_value_is_attached_by_an_initialiser_once_and_refused_after_that() {
    const NAME: Id<String> = Id::new(140);
    let object = Object::new();
    let failed = attach_with(NAME, &object, || Err("no name")).unwrap_err();
    assert!(matches!(failed, InitError::Init("no name")));
    assert_eq!(failed.to_string(), "no name");
    assert_eq!(get(NAME, &object).unwrap(), None);
    let attached = attach_with(NAME, &object, || Ok::<_, ()>("first".to_owned())).unwrap();
    assert_eq!(attached, "first");
    assert!(std::ptr::eq(get(NAME, &object).unwrap().unwrap(), attached));
    is_refused(attach_with(NAME, &object, never), 140);
    assert_eq!(detach(NAME, &object).unwrap().as_deref(), Some("first"));
    assert_eq!(get_or_attach(NAME, &object, || Ok::<_, ()>("second".to_owned())).unwrap(), "second");
    is_refused(attach_with(NAME, &object, never), 140);
}

#[test]
fn a_newest_value_is_attached_by_an_initialiser_or_found() {
    const NAME: UpdateId<String> = UpdateId::new(141);
    let object = Object::new();
    let failed = newest_or(NAME, &object, || Err("no name")).unwrap_err();
    assert!(matches!(failed, InitError::Init("no name")));
    assert_eq!(newest(NAME, &object).unwrap(), None);
    assert_eq!(newest_or(NAME, &object, || Ok::<_, ()>("first".to_owned())).unwrap(), "first");
    assert_eq!(newest_or(NAME, &object, never).unwrap(), "first");
    assert_eq!(update(NAME, &object, "second".to_owned()).unwrap().as_deref(), Some("first"));
    assert_eq!(newest_or(NAME, &object, never).unwrap(), "second");
    is_refused(attach_newest_with(NAME, &object, never), 141);
    assert_eq!(detach_newest(NAME, &object).unwrap().as_deref(), Some("second"));
    let failed = attach_newest_with(NAME, &object, || Err("no name")).unwrap_err();
    assert!(matches!(failed, InitError::Init("no name")));
    assert_eq!(attach_newest_with(NAME, &object, || Ok::<_, ()>("third".to_owned())).unwrap(), "third");
    assert_eq!(newest(NAME, &object).unwrap().as_deref(), Some("third"));
}

#[test]
fn a_value_that_an_update_attaches_during_the_initialiser_wins() {
    const NUMBER: UpdateId<(u8, Option<Life>)> = UpdateId::new(142);
    let (object, census) = (Object::new(), Census::default());
    let init = || {
        update(NUMBER, &object, (1, None)).unwrap();
        Ok::<_, ()>((2, Some(census.life())))
    };
    assert_eq!(newest_or(NUMBER, &object, init).unwrap().0, 1);
    assert!(census.made() > 0 && census.made() == census.dropped(), "the result of the initialiser is dropped");
    assert_eq!(detach_newest(NUMBER, &object).unwrap().unwrap().0, 1);
    is_refused(attach_newest_with(NUMBER, &object, init), 142);
    assert_eq!(census.made(), census.dropped());
    assert_eq!(newest(NUMBER, &object).unwrap().unwrap().0, 1);
}

#[test]
fn a_value_that_comes_and_goes_during_the_initialiser_does_not_count() {
    const NUMBER: UpdateId<u8> = UpdateId::new(143);
    let object = Object::new();
    let init = || {
        update(NUMBER, &object, 1).unwrap();
        assert_eq!(detach_object(&object), 1);
        Ok::<_, ()>(2)
    };
    assert_eq!(newest_or(NUMBER, &object, init).unwrap(), 2);
    assert_eq!(detach_newest(NUMBER, &object).unwrap(), Some(2));
    assert_eq!(attach_newest_with(NUMBER, &object, init).unwrap(), 2);
    assert_eq!(newest(NUMBER, &object).unwrap(), Some(2));
}

#[test]
fn an_initialiser_whose_number_is_named_otherwise_meanwhile_attaches_nothing() {
    let (object, second, census) = (Object::new(), Object::new(), Census::default());
    for (number, is_unique) in [(144, false), (145, true)] {
        let (newest, other) = (UpdateId::<Life>::new(number), Id::<u8>::new(number));
        let init = || {
            attach(other, &second, 1).unwrap();
            Ok::<_, ()>(census.life())
        };
        let made = if is_unique { attach_newest_with(newest, &object, init) } else { newest_or(newest, &object, init) };
        assert!(matches!(made, Err(InitError::TypeMismatch(mismatch)) if mismatch.id() == number));
        let later = attach_newest_with(newest, &object, never);
        assert!(matches!(later, Err(InitError::TypeMismatch(_))));
        let later = newest_or(newest, &object, never);
        assert!(matches!(later, Err(InitError::TypeMismatch(_))));
    }
    let (made, other) = (Id::<Life>::new(146), Id::<u8>::new(146));
    let init = || {
        attach(other, &second, 1).unwrap();
        Ok::<_, ()>(census.life())
    };
    assert!(matches!(attach_with(made, &object, init), Err(InitError::TypeMismatch(_))));
    assert_eq!((census.made(), census.dropped()), (5, 5), "each result is dropped, and the clones of two");
}

#[test]
fn after_a_panic_of_the_initialiser_or_of_a_clone_the_field_is_empty_and_its_lock_is_free() {
    /// Panics on `clone`, if the flag is set.
    struct Brittle(bool, Life);
    impl Clone for Brittle {
        fn clone(&self) -> Self {
            assert!(!self.0, "the clone panics");
            Self(self.0, self.1.clone())
        }
    }
    type Init = fn(&Census) -> Result<Brittle, ()>;
    const NUMBER: Id<u8> = Id::new(147);
    const NEWEST: UpdateId<Brittle> = UpdateId::new(148);
    without_backtraces();
    never_hangs(|| {
        let (object, census) = (Object::new(), Census::default());
        assert_eq!(panic_of(|| attach_with(NUMBER, &object, || -> Result<_, ()> { panic!("boom") })), "boom");
        assert_eq!(attach_with(NUMBER, &object, || Ok::<_, ()>(1)).unwrap(), &1);
        let boom: Init = |_| panic!("boom");
        let [brittle, solid]: [Init; 2] =
            [|census| Ok(Brittle(true, census.life())), |census| Ok(Brittle(false, census.life()))];
        for is_unique in [false, true] {
            let run = |init: Init| {
                let init = || init(&census);
                if is_unique { attach_newest_with(NEWEST, &object, init) } else { newest_or(NEWEST, &object, init) }
            };
            assert_eq!(panic_of(|| run(boom)), "boom");
            assert_eq!(panic_of(|| run(brittle)), "the clone panics");
            assert!(newest(NEWEST, &object).unwrap().is_none() && get(NUMBER, &object).unwrap().is_some());
            assert!(run(solid).is_ok());
            assert!(detach_newest(NEWEST, &object).unwrap().is_some());
        }
        assert_eq!(census.made(), census.dropped());
    });
}

/// The destructor of the result requests the field, which is an error inside of the initialiser.
#[test]
fn a_result_that_comes_too_late_is_dropped_after_the_release_of_the_init_lock() {
    /// On drop, requests the field of the object at the address, if any.
    #[derive(Clone)]
    struct Asks(Option<(usize, Arc<AtomicUsize>)>);
    const NEWEST: UpdateId<Asks> = UpdateId::new(149);
    impl Drop for Asks {
        fn drop(&mut self) {
            if let Some((address, found)) = &self.0 {
                let key = std::ptr::without_provenance(*address);
                // SAFETY: the object outlives its fields, and ends after the values of this test.
                let newest = unsafe { NEWEST.get_or_attach(key, || Err(())) };
                if newest.is_ok() {
                    found.fetch_add(1, Ordering::SeqCst);
                }
            }
        }
    }
    never_hangs(|| {
        for is_unique in [false, true] {
            let (object, found) = (Object::new(), Arc::new(AtomicUsize::new(0)));
            let init = || {
                update(NEWEST, &object, Asks(None)).unwrap();
                Ok::<_, ()>(Asks(Some((object.key().addr(), found.clone()))))
            };
            if is_unique {
                assert!(attach_newest_with(NEWEST, &object, init).is_err());
            } else {
                assert!(newest_or(NEWEST, &object, init).unwrap().0.is_none());
            }
            assert_eq!(found.load(Ordering::SeqCst), 2, "the result and its clone find the value");
        }
    });
}

const CYCLE: [Id<u8>; 2] = [Id::new(150), Id::new(151)];
const NEWEST_CYCLE: [UpdateId<u8>; 2] = [UpdateId::new(152), UpdateId::new(153)];
const POINTER_CYCLE: [PointerId<Box<u8>>; 2] = [PointerId::new(246), PointerId::new(247)];

/// The methods with an initialiser, and `Id::attach`. `None`: the request was refused as a cycle. Requests the first or
/// the second field of a pair.
type Ask = fn(&Object, usize, &mut dyn FnMut() -> u8) -> Option<u8>;

const ASKS: [Ask; 6] = [
    |object, which, init| of_cycle(get_or_attach(CYCLE[which], object, || Ok(init())).copied()),
    |object, which, init| of_cycle(attach_with(CYCLE[which], object, || Ok(init())).copied()),
    |object, which, init| of_cycle(newest_or(NEWEST_CYCLE[which], object, || Ok(init()))),
    |object, which, init| of_cycle(attach_newest_with(NEWEST_CYCLE[which], object, || Ok(init()))),
    |object, which, init| {
        let init = || Ok(Box::new(init()));
        of_cycle(pointer_or(POINTER_CYCLE[which], object, init).map(|_| pointee(which, object)))
    },
    |object, which, init| {
        let init = || Ok(Box::new(init()));
        of_cycle(attach_pointer_with(POINTER_CYCLE[which], object, init).map(|_| pointee(which, object)))
    },
];

/// The pointee of the first or the second field of a pair, which is attached.
fn pointee(which: usize, object: &Object) -> u8 {
    copy(POINTER_CYCLE[which], object).unwrap().expect("it is attached")
}

fn of_cycle(result: Result<u8, InitError<Infallible>>) -> Option<u8> {
    match result {
        Ok(value) => Some(value),
        Err(InitError::Circle(circle)) => {
            assert!(circle.to_string().contains(" is asked for "), "{circle}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_field_in_its_own_initialiser_is_an_error_of_every_method() {
    never_hangs(|| {
        let [get, attach, get_newest, attach_newest, get_pointer, attach_pointer] = ASKS;
        let kinds = [[get, attach], [get_newest, attach_newest], [get_pointer, attach_pointer]];
        for (outer, inner) in kinds.into_iter().flat_map(|[a, b]| [(a, a), (a, b), (b, a), (b, b)]) {
            let object = Object::new();
            let own = outer(&object, 0, &mut || {
                assert_eq!(inner(&object, 0, &mut || panic!("it runs")), None);
                // A second attempt fails, too, also with a field between.
                let between = inner(&object, 1, &mut || {
                    assert_eq!(inner(&object, 0, &mut || panic!("it runs")), None);
                    2
                });
                between.unwrap() + 1
            });
            assert_eq!(own, Some(3));
        }
    });
}

#[test]
fn a_cycle_through_two_threads_is_an_error_of_one_in_every_method() {
    never_hangs(|| {
        for ask in ASKS {
            let (object, both_inside) = (&Object::new(), &Barrier::new(2));
            let run = move |own: usize| {
                let mut refused = false;
                let value = ask(object, own, &mut || {
                    both_inside.wait();
                    let other = catch_unwind(AssertUnwindSafe(|| ask(object, 1 - own, &mut || panic!("it runs"))));
                    // An `attach_with` of the other field is refused, since the other thread attaches.
                    match other {
                        Ok(Some(other)) => other + 1,
                        Ok(None) => {
                            refused = true;
                            1
                        }
                        Err(_) => 2,
                    }
                });
                (value.unwrap(), refused)
            };
            let mut ends = thread::scope(|scope| {
                [0, 1].map(|own| scope.spawn(move || run(own))).map(|thread| thread.join().unwrap())
            });
            ends.sort_unstable();
            assert_eq!(ends, [(1, true), (2, false)]);
        }
    });
}

#[test]
fn an_attach_in_the_initialiser_of_an_attach_with_returns_the_value() {
    const NUMBER: Id<u8> = Id::new(154);
    never_hangs(|| {
        let object = Object::new();
        let init = || match attach(NUMBER, &object, 1) {
            Err(AttachError::Circle(circle)) => Ok::<_, ()>(circle.into_value() + 1),
            other => panic!("{other:?}"),
        };
        assert_eq!(attach_with(NUMBER, &object, init).unwrap(), &2);
    });
}

/// Each attached value is returned once. Only the call that attaches a value reports the attach.
#[test]
fn a_call_that_attaches_knows_it() {
    const NUMBER: UpdateId<usize> = UpdateId::new(155);
    const ROUNDS: usize = fewer(2000, 6);
    let object = Object::new();
    let (came_in, came_out) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let (running, initialising) = (AtomicUsize::new(4), AtomicBool::new(false));
    let note = |list: &Mutex<Vec<usize>>, values: &[usize]| list.lock().unwrap().extend(values);
    let init = |value: usize| {
        assert!(!initialising.swap(true, Ordering::SeqCst), "two initialisers run at a time");
        thread::yield_now();
        initialising.store(false, Ordering::SeqCst);
        Ok::<_, Infallible>(value)
    };
    let step = |thread: usize, round: usize| {
        let own = thread * ROUNDS + round;
        match thread {
            0 => {
                // The call returns its value exactly if the call has attached the value.
                if newest_or(NUMBER, &object, || init(own)).unwrap() == own {
                    note(&came_in, &[own]);
                }
            }
            1 => match attach_newest_with(NUMBER, &object, || init(own)) {
                Ok(attached) => {
                    assert_eq!(attached, own);
                    note(&came_in, &[own]);
                }
                Err(error) => assert!(matches!(error, InitError::AlreadyAttached(_))),
            },
            2 => {
                note(&came_in, &[own]);
                note(&came_out, update(NUMBER, &object, own).unwrap().as_slice());
            }
            _ => note(&came_out, detach_newest(NUMBER, &object).unwrap().as_slice()),
        }
        thread::yield_now();
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            let (step, running) = (&step, &running);
            scope.spawn(move || {
                (0..ROUNDS).for_each(|round| step(thread, round));
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while running.load(Ordering::SeqCst) > 0 {
            // SAFETY: the object is alive, so the fields of this id are fields of the object.
            unsafe { NUMBER.detach_all(|_, value| note(&came_out, &[value])) }.unwrap();
            thread::yield_now();
        }
    });
    let (mut came_in, mut came_out) = (came_in.into_inner().unwrap(), came_out.into_inner().unwrap());
    came_out.extend(detach_newest(NUMBER, &object).unwrap());
    came_in.sort_unstable();
    came_out.sort_unstable();
    assert_eq!(came_in, came_out);
}

/// As above, with values that are dropped by the library, and with a detach of all fields.
#[test]
fn in_races_of_initialisers_every_value_is_dropped_once() {
    const NEWEST: UpdateId<Life> = UpdateId::new(156);
    const ROUNDS: usize = fewer(1000, 4);
    let (objects, census) = ([(); 2].map(|()| Object::new()), Census::default());
    let step = |thread: usize, round: usize| {
        let object = &objects[round % 2];
        let init = || if round % 7 == 3 { Err(()) } else { Ok(census.life()) };
        match thread {
            0 | 1 => drop(newest_or(NEWEST, object, init)),
            2 => drop(attach_newest_with(NEWEST, object, init)),
            3 => drop(update(NEWEST, object, census.life())),
            _ if round % 3 == 0 => drop(detach_newest(NEWEST, object)),
            _ if round % 3 == 1 => assert!(detach_object(object) <= 1),
            // SAFETY: the objects are alive, so the fields of this id are fields of the objects.
            _ => drop(unsafe { NEWEST.detach_all(|_, life| drop(life)) }),
        }
    };
    thread::scope(|scope| {
        for thread in 0..5 {
            let step = &step;
            scope.spawn(move || (0..ROUNDS).for_each(|round| step(thread, round)));
        }
    });
    drop(objects);
    assert!(census.made() >= ROUNDS);
    assert_eq!(census.made(), census.dropped());
}

#[test]
fn of_racing_attaches_by_an_initialiser_one_runs_and_wins() {
    const NUMBER: Id<usize> = Id::new(157);
    const NEWEST: UpdateId<usize> = UpdateId::new(158);
    const THREADS: usize = fewer(5, 3);
    for _ in 0..fewer(50, 1) {
        let (object, start, runs) = (Object::new(), Barrier::new(THREADS), AtomicUsize::new(0));
        let init = |number: usize| {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(number)
        };
        let race = |number: usize| {
            start.wait();
            let once = attach_with(NUMBER, &object, || init(number)).is_ok_and(|value| *value == number);
            (once, attach_newest_with(NEWEST, &object, || init(number)).is_ok_and(|value| value == number))
        };
        let race = &race;
        let won: Vec<(bool, bool)> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || race(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(runs.into_inner(), 2);
        let winners = [won.iter().position(|won| won.0), won.iter().position(|won| won.1)].map(Option::unwrap);
        assert_eq!((won.iter().filter(|won| won.0).count(), won.iter().filter(|won| won.1).count()), (1, 1));
        assert_eq!(get(NUMBER, &object).unwrap(), Some(&winners[0]));
        assert_eq!(newest(NEWEST, &object).unwrap(), Some(winners[1]));
    }
}
