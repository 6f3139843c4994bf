//! Rule R3: for each attached value one initialiser succeeds, however many threads race, and the losers wait. A failure
//! attaches no value, and the next caller runs its own initialiser. A recursive request, direct or through a cycle of
//! waiting threads, is a panic or, for `raw`, an error, with a message that names the field, and never a deadlock.

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, mpsc};
use std::time::{Duration, Instant};
use std::{ptr, thread};

use shadow_runtime::raw::{self, AttachError, InitError};
use shadow_runtime::{Shadow, ShadowFields, shadow};

use support::{AtEnd, Random, fewer, forever, never_hangs, panic_of};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach a: u32)]
#[shadow_field(get_or_attach b: u32)]
#[shadow_field(attach c: u32)]
#[shadow_field(get_or_update d: u32)]
#[shadow_field(get_or_attach snake: u32 = self.snake() + 1)]
#[shadow_field(get_or_attach hen: u32 = *self.egg())]
#[shadow_field(get_or_attach egg: u32 = *self.hen())]
struct Task {
    shadow: ShadowFields,
}

struct Shared(#[expect(dead_code, reason = "a leak sanitizer does not find what lies behind its memory")] u8);

shadow! {
    trait SharedFields for Arc<Shared> {
        get_or_attach shared: u32;
        get_or_update version: u32;
    }
}

struct Config(#[expect(dead_code, reason = "a static that is a host is not zero-sized")] u8);

shadow! {
    trait ConfigFields for &'static Config {
        get_or_attach fixed: u32;
        get_or_update changed: u32;
    }
}

const RAW: raw::Id<u32> = raw::Id::new(300);
const OTHER_RAW: raw::Id<u32> = raw::Id::new(301);
const NEWEST_RAW: raw::UpdateId<u32> = raw::UpdateId::new(310);
const OWNED_RAW: raw::PointerId<Box<u32>> = raw::PointerId::new(311);

/// The number of fields of a `World` that have initialisers.
const FIELDS: usize = 8;

/// One host of every kind, with `get_or_attach` fields.
struct World {
    task: Task,
    shared: Arc<Shared>,
    config: &'static Config,
    object: Box<u8>,
}

/// Requests one field, with an initialiser.
type Ask<'a> = dyn Fn(&mut dyn FnMut() -> u32) -> u32 + Sync + 'a;

impl World {
    fn new() -> Self {
        Self { task: Task::default(), shared: Arc::new(Shared(0)), config: forever(Config(0)), object: Box::new(0) }
    }

    fn key(&self) -> *const () {
        ptr::from_ref(&*self.object).cast()
    }

    /// The fields: the name in messages, and a function that requests the field.
    fn fields(&self) -> [(&'static str, Box<Ask<'_>>); FIELDS] {
        [
            ("`a` of `Task`", Box::new(|init| *self.task.get_or_attach_a(init))),
            ("`shared` of `Arc<Shared>`", Box::new(|init| *self.shared.get_or_attach_shared(init))),
            ("raw id 300", Box::new(|init| raw(RAW, self.key(), init))),
            ("`b` of `Task`", Box::new(|init| *self.task.get_or_attach_b(init))),
            ("`fixed` of `&'static Config`", Box::new(|init| *self.config.get_or_attach_fixed(init))),
            ("raw id 301", Box::new(|init| raw(OTHER_RAW, self.key(), init))),
            ("raw id 310", Box::new(|init| newest_raw(self.key(), init))),
            ("raw id 311", Box::new(|init| owned_raw(self.key(), init))),
        ]
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // SAFETY: the object is alive, and no thread holds a reference to a value: `raw` copies the values.
        unsafe { raw::detach_object(self.key()) };
    }
}

fn raw(id: raw::Id<u32>, object: *const (), init: &mut dyn FnMut() -> u32) -> u32 {
    // SAFETY: the objects of this file outlive their fields, and the value is copied at once.
    *unsafe { id.get_or_attach(object, || Ok::<_, Infallible>(init())) }.unwrap_or_else(|error| panic!("{error}"))
}

fn newest_raw(object: *const (), init: &mut dyn FnMut() -> u32) -> u32 {
    // SAFETY: the objects of this file outlive their fields.
    unsafe { NEWEST_RAW.get_or_attach(object, || Ok::<_, Infallible>(init())) }
        .unwrap_or_else(|error| panic!("{error}"))
}

fn owned_raw(object: *const (), init: &mut dyn FnMut() -> u32) -> u32 {
    // SAFETY: the objects of this file outlive their fields.
    let pointer = unsafe { OWNED_RAW.get_or_attach(object, || Ok::<_, Infallible>(Box::new(init()))) };
    // SAFETY: no thread detaches a field of an object before the end of the object, and no thread writes to a pointee.
    *unsafe { pointer.unwrap_or_else(|error| panic!("{error}")).as_ref() }
}

#[test]
fn of_many_initialisers_that_race_one_runs() {
    const THREADS: usize = fewer(6, 3);
    never_hangs(|| {
        for _ in 0..fewer(50, 1) {
            let world = World::new();
            for (name, ask) in world.fields() {
                let (start, runs) = (Barrier::new(THREADS), AtomicUsize::new(0));
                let race = |number: usize| {
                    start.wait();
                    ask(&mut || {
                        runs.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        u32::try_from(number).unwrap()
                    })
                };
                let found: Vec<u32> = thread::scope(|scope| {
                    let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || race(number))).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                assert_eq!(runs.into_inner(), 1, "{name}");
                assert!(found.iter().all(|&value| value == found[0]), "{name}: {found:?}");
            }
        }
    });
}

/// Two threads keep the init locks of the library busy. The second request of a field may come at any moment: before,
/// during or after the first initialiser.
#[test]
fn however_close_the_second_follows_the_first_one_initialiser_runs() {
    never_hangs(|| {
        let busy = AtomicBool::new(true);
        thread::scope(|scope| {
            let _end = AtEnd(|| busy.store(false, Ordering::Relaxed));
            for _ in 0..2 {
                scope.spawn(|| {
                    while busy.load(Ordering::Relaxed) {
                        Task::default().a();
                    }
                });
            }
            let begin = Instant::now();
            for _ in 0..fewer(3000, 1) {
                // On a busy machine fewer rounds must suffice.
                if begin.elapsed() > Duration::from_secs(2) {
                    break;
                }
                let world = World::new();
                let fields = world.fields();
                let (start, runs) = (Barrier::new(2), [const { AtomicUsize::new(0) }; FIELDS]);
                let race = || {
                    start.wait();
                    for ((_, ask), runs) in fields.iter().zip(&runs) {
                        ask(&mut || {
                            runs.fetch_add(1, Ordering::SeqCst);
                            1
                        });
                    }
                };
                thread::scope(|scope| {
                    scope.spawn(race);
                    race();
                });
                assert_eq!(runs.map(AtomicUsize::into_inner), [1; FIELDS]);
            }
        });
    });
}

#[test]
fn who_comes_second_waits_for_the_value_of_the_first() {
    never_hangs(|| {
        let world = World::new();
        for (name, ask) in world.fields() {
            let (begun, wait_for_second) = mpsc::channel();
            let first_is_done = AtomicBool::new(false);
            thread::scope(|scope| {
                let first = ask(&mut || {
                    let (ask, begun, done) = (&ask, begun.clone(), &first_is_done);
                    scope.spawn(move || {
                        begun.send(()).unwrap();
                        let found = ask(&mut || panic!("{name}: its initialiser runs as well"));
                        assert_eq!(found, 1, "{name}");
                        assert!(done.load(Ordering::SeqCst), "{name}: it did not wait");
                    });
                    wait_for_second.recv().unwrap();
                    for _ in 0..fewer(100, 10) {
                        thread::yield_now();
                    }
                    first_is_done.store(true, Ordering::SeqCst);
                    1
                });
                assert_eq!(first, 1);
            });
        }
    });
}

#[test]
fn callers_whose_initialisers_fail_each_run_their_own() {
    const THREADS: usize = fewer(6, 3);
    never_hangs(|| {
        let task = Task::default();
        let (start, runs) = (Barrier::new(THREADS), AtomicUsize::new(0));
        let fail = |number: usize| {
            start.wait();
            task.get_or_try_attach_a(|| {
                runs.fetch_add(1, Ordering::SeqCst);
                for _ in 0..fewer(100, 10) {
                    thread::yield_now();
                }
                Err(number)
            })
            .copied()
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || fail(number))).collect();
            for (number, thread) in threads.into_iter().enumerate() {
                assert_eq!(thread.join().unwrap(), Err(number), "each gets its own error");
            }
        });
        assert_eq!(runs.into_inner(), THREADS);
        assert_eq!(task.peek_a(), None);
        assert_eq!(task.get_or_attach_a(|| 7), &7);
    });
}

#[test]
fn after_a_panic_the_waiting_caller_runs_its_own_initialiser() {
    never_hangs(|| {
        let world = World::new();
        for (name, ask) in world.fields() {
            let (begun, wait_for_second) = mpsc::channel();
            thread::scope(|scope| {
                let message = panic_of(|| {
                    ask(&mut || {
                        let (ask, begun) = (&ask, begun.clone());
                        scope.spawn(move || {
                            begun.send(()).unwrap();
                            assert_eq!(ask(&mut || 2), 2, "{name}");
                        });
                        wait_for_second.recv().unwrap();
                        for _ in 0..fewer(100, 10) {
                            thread::yield_now();
                        }
                        panic!("the first one fails")
                    })
                });
                assert_eq!(message, "the first one fails", "{name}");
            });
            assert_eq!(ask(&mut || 3), 2, "{name}");
        }
    });
}

#[test]
fn after_a_panic_a_new_caller_runs_its_own_initialiser() {
    never_hangs(|| {
        let world = World::new();
        for (name, ask) in world.fields() {
            assert_eq!(panic_of(|| ask(&mut || panic!("not today"))), "not today");
            assert_eq!(ask(&mut || 2), 2, "{name}");
        }
    });
}

#[test]
fn after_a_detach_the_next_value_is_initialised_once_as_well() {
    let mut task = Task::default();
    let runs = AtomicUsize::new(0);
    let init = || {
        runs.fetch_add(1, Ordering::SeqCst);
        5
    };
    task.get_or_attach_a(init);
    task.get_or_attach_a(init);
    task.detach_a().unwrap();
    task.get_or_attach_a(init);
    task.get_or_attach_a(init);
    assert_eq!(runs.into_inner(), 2);
}

#[test]
fn an_initialiser_that_asks_for_its_own_field_panics_and_names_it() {
    never_hangs(|| {
        let world = World::new();
        for (name, ask) in world.fields() {
            let message = panic_of(|| ask(&mut || ask(&mut || 1)));
            assert!(message.contains(name) && message.contains("by its own initialiser"), "{name}: {message}");
            assert_eq!(ask(&mut || 2), 2, "{name} can be attached afterwards");
        }
    });
}

#[test]
fn a_declared_initialiser_that_asks_for_its_own_field_panics_and_names_it() {
    never_hangs(|| {
        let mut task = Task::default();
        let message = panic_of(|| *task.snake());
        assert!(message.contains("`snake` of `Task`"), "{message}");
        assert_eq!(task.peek_snake(), None);
        let message = panic_of(|| *task.snake_mut());
        assert!(message.contains("`snake` of `Task`"), "{message}");
        let message = panic_of(|| *task.hen());
        assert!(message.contains("`hen` of `Task`"), "{message}");
        assert_eq!((task.peek_hen(), task.peek_egg()), (None, None));
    });
}

#[test]
fn an_initialiser_that_asks_for_its_own_field_by_way_of_others_panics_and_names_it() {
    never_hangs(|| {
        let world = World::new();
        let fields = world.fields();
        for (start, (name, ask)) in fields.iter().enumerate() {
            let (second_name, second) = &fields[(start + 1) % fields.len()];
            let (third_name, third) = &fields[(start + 2) % fields.len()];
            let message = panic_of(|| ask(&mut || second(&mut || third(&mut || ask(&mut || 1)))));
            assert_names_cycle(&message, "by its own initialiser", &[name, second_name, third_name]);
        }
        for (name, ask) in &fields {
            assert_eq!(ask(&mut || 2), 2, "{name} can be attached afterwards");
        }
    });
}

/// Runs one thread for every field. A thread initialises one field and, when all threads are inside of initialisers,
/// requests the field of the next thread. Exactly one thread must panic, with the name of the requested field.
fn run_in_a_circle(fields: &[&(&'static str, Box<Ask<'_>>)]) {
    let all_inside = &Barrier::new(fields.len());
    let run = |number: usize| {
        let (_, mine) = fields[number];
        let (_, next) = fields[(number + 1) % fields.len()];
        mine(&mut || {
            all_inside.wait();
            next(&mut || 10) + 1
        })
    };
    let run = &run;
    let ends: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..fields.len()).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let (mut panics, mut values) = (Vec::new(), 0);
    for (number, end) in ends.into_iter().enumerate() {
        match end {
            Ok(_) => values += 1,
            Err(payload) => panics.push((number, payload)),
        }
    }
    assert_eq!((panics.len(), values), (1, fields.len() - 1));
    let (number, payload) = panics.pop().unwrap();
    let message = payload.downcast::<String>().unwrap();
    let cycle: Vec<_> = (1..=fields.len()).map(|step| fields[(number + step) % fields.len()].0).collect();
    assert_names_cycle(&message, "in a cycle of initialisers", &cycle);
}

/// The message names the requested field, and then every field of the cycle, from the requested field to itself.
fn assert_names_cycle(message: &str, how: &str, cycle: &[&str]) {
    let (requested, named) = message.split_once(&format!("is asked for {how}: ")).expect(message);
    let (named, _advice) = named.split_once("; ").expect(message);
    assert!(requested.contains(cycle[0]), "{cycle:?}: {message}");
    let named: Vec<_> = named.split(" → ").collect();
    assert_eq!(named.len(), cycle.len() + 1, "{cycle:?}: {message}");
    for (name, expected) in named.iter().zip(cycle.iter().chain(&cycle[..1])) {
        assert!(name.contains(expected), "{cycle:?}: {message}");
    }
}

#[test]
fn two_threads_that_ask_for_each_others_fields_do_not_deadlock() {
    never_hangs(|| {
        for _ in 0..fewer(3, 1) {
            let world = World::new();
            let fields = world.fields();
            run_in_a_circle(&[&fields[0], &fields[3]]);
        }
    });
}

#[test]
fn two_threads_that_ask_for_each_others_raw_fields_do_not_deadlock() {
    never_hangs(|| {
        for _ in 0..fewer(3, 1) {
            let world = World::new();
            let fields = world.fields();
            run_in_a_circle(&[&fields[2], &fields[5]]);
        }
    });
}

#[test]
fn two_threads_that_ask_across_kinds_of_hosts_do_not_deadlock() {
    never_hangs(|| {
        for (one, other) in [(0, 1), (2, 4), (1, 2), (4, 3), (3, 5)].into_iter().take(fewer(5, 2)) {
            let world = World::new();
            let fields = world.fields();
            run_in_a_circle(&[&fields[one], &fields[other]]);
        }
    });
}

#[test]
fn many_threads_in_one_circle_do_not_deadlock() {
    never_hangs(|| {
        for _ in 0..fewer(3, 1) {
            let world = World::new();
            let fields = world.fields();
            run_in_a_circle(&[&fields[0], &fields[1], &fields[2]]);
        }
        let world = World::new();
        run_in_a_circle(&world.fields().each_ref());
    });
}

#[test]
fn the_same_field_of_two_hosts_makes_no_circle() {
    never_hangs(|| {
        let (one, other) = (World::new(), World::new());
        for ((name, of_one), (_, of_other)) in one.fields().iter().zip(&other.fields()) {
            assert_eq!(of_one(&mut || of_other(&mut || 1) + 1), 2, "{name}");
        }
    });
}

#[test]
fn one_declaration_for_objects_of_many_types_makes_no_circle_of_two_at_one_address() {
    shadow! { trait Counted<T: Sync> for &'static T { get_or_attach count: u32; } }
    static WHOLE: [[u8; 2]; 2] = [[1, 2], [3, 4]];
    never_hangs(|| {
        let (whole, row, byte) = (&WHOLE, &WHOLE[0], &WHOLE[0][0]);
        assert!(ptr::addr_eq(whole, row) && ptr::addr_eq(row, byte), "otherwise this test says nothing");
        let init = || row.get_or_attach_count(|| byte.get_or_attach_count(|| 1) + 1) + 1;
        assert_eq!((whole.get_or_attach_count(init), row.count(), byte.count()), (&3, &2, &1));
    });
}

#[test]
fn waiting_for_a_thread_that_waits_for_nobody_is_no_circle() {
    never_hangs(|| {
        let world = World::new();
        let fields = world.fields();
        let (_, a) = &fields[0];
        let (_, b) = &fields[1];
        let (_, c) = &fields[2];
        let both_inside = Barrier::new(3);
        thread::scope(|scope| {
            let last = scope.spawn(|| {
                a(&mut || {
                    both_inside.wait();
                    for _ in 0..fewer(100, 10) {
                        thread::yield_now();
                    }
                    1
                })
            });
            let middle = scope.spawn(|| {
                b(&mut || {
                    both_inside.wait();
                    a(&mut || 100) + 1
                })
            });
            let first = scope.spawn(|| {
                c(&mut || {
                    both_inside.wait();
                    b(&mut || 100) + 1
                })
            });
            assert_eq!(last.join().unwrap(), 1);
            assert_eq!(middle.join().unwrap(), 2);
            assert_eq!(first.join().unwrap(), 3);
        });
    });
}

#[test]
fn an_initialiser_may_use_and_attach_every_other_field_of_any_host() {
    never_hangs(|| {
        let (world, stranger) = (World::new(), World::new());
        for (name, ask) in world.fields() {
            let others = world.fields();
            let of_strangers = stranger.fields();
            let made = ask(&mut || {
                for (other_name, other) in &others {
                    if *other_name != name {
                        other(&mut || 1);
                    }
                }
                for (_, other) in &of_strangers {
                    other(&mut || 1);
                }
                // From the second field on, the operations are refusals and replacements, which an initialiser may
                // make, too.
                let _ = world.task.attach_c(1);
                world.task.update_d(2);
                world.shared.update_version_with(|before| before.map_or(1, |before| before + 1));
                world.config.update_changed(3);
                4
            });
            assert!(made == 4 || made == 1, "{name}");
        }
        assert_eq!((world.task.c(), world.task.d()), (Some(&1), Some(2)));
        assert_eq!((world.shared.version(), world.config.changed()), (Some(1), Some(3)));
    });
}

#[test]
fn a_raw_attach_waits_for_an_initialiser_and_is_refused_when_it_succeeds() {
    never_hangs(|| attach_while_an_initialiser_runs(true));
}

#[test]
fn a_raw_attach_waits_for_an_initialiser_and_goes_through_when_it_fails() {
    never_hangs(|| attach_while_an_initialiser_runs(false));
}

fn attach_while_an_initialiser_runs(succeeds: bool) {
    let world = World::new();
    let (begun, wait_for_attacher) = mpsc::channel();
    let initialiser_is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let init = || {
            let (world, done) = (&world, &initialiser_is_done);
            scope.spawn(move || {
                begun.send(()).unwrap();
                // SAFETY: the object outlives its fields, and no reference to the value is kept.
                let attached = unsafe { RAW.attach(world.key(), 2) };
                assert!(done.load(Ordering::SeqCst), "it did not wait");
                match attached {
                    Ok(&value) => assert_eq!((succeeds, value), (false, 2)),
                    Err(AttachError::AlreadyAttached(refused)) => {
                        assert_eq!((succeeds, refused.into_value()), (true, 2));
                    }
                    Err(other) => panic!("{other}"),
                }
            });
            wait_for_attacher.recv().unwrap();
            for _ in 0..fewer(100, 10) {
                thread::yield_now();
            }
            initialiser_is_done.store(true, Ordering::SeqCst);
            if succeeds { Ok(1) } else { Err("not today") }
        };
        // SAFETY: the object outlives its fields, and no reference to the value is kept.
        let made = unsafe { RAW.get_or_attach(world.key(), init) };
        assert_eq!(made.is_ok(), succeeds);
    });
    // SAFETY: no thread detaches the field while `found` is in use.
    let found = unsafe { RAW.get(world.key()) }.unwrap();
    assert_eq!(found, Some(if succeeds { &1 } else { &2 }));
}

#[test]
fn a_raw_attach_in_the_initialiser_of_its_own_field_is_an_error_with_the_value() {
    never_hangs(|| {
        let world = World::new();
        let init = || {
            // SAFETY: the object outlives its fields, and no reference to the value is kept.
            let refused = unsafe { RAW.attach(world.key(), 1) }.unwrap_err();
            let AttachError::Circle(circle) = &refused else { panic!("{refused}") };
            assert_eq!(circle.to_string(), format!("raw id 300 {OWN}"));
            assert_eq!(refused.to_string(), circle.to_string());
            Ok::<_, ()>(refused.into_value() + 1)
        };
        // SAFETY: the object outlives its fields, and no reference to the value is kept.
        assert_eq!(unsafe { RAW.get_or_attach(world.key(), init) }.unwrap(), &2, "the initialiser goes on");
    });
}

/// The end of the message of a field that its initialiser requests.
const OWN: &str = "is asked for by its own initialiser, which has to compute the value without the field";

#[test]
fn a_raw_field_in_its_own_initialiser_is_an_error() {
    never_hangs(|| {
        let world = World::new();
        // SAFETY: the object outlives its fields, and no reference to the value is kept.
        let get = || unsafe { RAW.get_or_attach(world.key(), || Ok::<_, ()>(1)) }.copied();
        // SAFETY: as above.
        let failed = unsafe { RAW.get_or_attach(world.key(), get) }.unwrap_err();
        let InitError::Init(InitError::Circle(circle)) = &failed else { panic!("{failed:?}") };
        assert_eq!(circle.to_string(), format!("raw id 300 {OWN}"));
        assert_eq!(get().unwrap(), 1, "the lock is released");
    });
}

/// Each initialiser requests the field of the next thread. One thread gets the error, and its initialiser makes the
/// value without the next field. Then the other threads find values.
#[test]
fn a_cycle_of_raw_fields_in_several_threads_is_an_error_for_one_thread() {
    never_hangs(|| {
        for threads in [2, 3, 5] {
            let world = World::new();
            let all_inside = Barrier::new(threads);
            let id = |number: usize| raw::Id::<usize>::new(302 + (number % threads) as u64);
            let key = world.key().addr();
            let init = |number: usize| {
                all_inside.wait();
                let never = || -> Result<usize, Infallible> { panic!("each thread makes its own") };
                // SAFETY: the object outlives its fields, and no reference to the value is kept.
                unsafe { id(number + 1).get_or_attach(ptr::without_provenance(key), never) }.copied()
            };
            let (init, id) = (&init, &id);
            let run = move |number: usize| {
                let mut circle = None;
                let own = || match init(number) {
                    Ok(next) => Ok::<_, Infallible>(next + 1),
                    Err(InitError::Circle(error)) => {
                        circle = Some(error.to_string());
                        Ok(100)
                    }
                    Err(error) => panic!("{error}"),
                };
                // SAFETY: the object outlives its fields, and no reference to the value is kept.
                let value = *unsafe { id(number).get_or_attach(ptr::without_provenance(key), own) }.unwrap();
                (number, value, circle)
            };
            let mut ends: Vec<_> = thread::scope(|scope| {
                let threads: Vec<_> = (0..threads).map(|number| scope.spawn(move || run(number))).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            ends.sort_by_key(|(_, value, _)| *value);
            for (index, (number, value, circle)) in ends.iter().enumerate() {
                assert_eq!(*value, 100 + index);
                assert_eq!(circle.is_some(), index == 0, "{number}: {circle:?}");
            }
            let (number, _, circle) = &ends[0];
            let names: Vec<_> =
                (1..=threads).map(|step| format!("raw id {}", 302 + (number + step) % threads)).collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            assert_names_cycle(circle.as_ref().unwrap(), "in a cycle of initialisers", &names);
        }
    });
}

/// Threads request fields in random orders, in nested initialisers. With and without cycles, every thread ends, every
/// value has one initialiser, and only a cycle panics.
#[test]
fn whatever_asks_for_whatever_nothing_hangs_and_every_value_is_made_once() {
    never_hangs(|| {
        for seed in 1..=fewer(40, 1) {
            let world = World::new();
            let fields = &world.fields();
            let made = &[const { AtomicUsize::new(0) }; FIELDS];
            let start = &Barrier::new(3);
            thread::scope(|scope| {
                for thread in 0..3 {
                    scope.spawn(move || {
                        start.wait();
                        let mut random = Random(u64::wrapping_mul(1 + seed * 8 + thread, 0x9e37_79b9_7f4a_7c15));
                        let path: Vec<usize> = (0..4).map(|_| random.below(fields.len())).collect();
                        let asked =
                            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ask_along(&path, fields, made)));
                        if let Err(payload) = asked {
                            let message = payload.downcast::<String>().unwrap();
                            assert!(fields.iter().any(|(name, _)| message.contains(name)), "{message}");
                        }
                    });
                }
            });
            for ((name, ask), made) in fields.iter().zip(made) {
                let made = made.load(Ordering::SeqCst);
                assert!(made <= 1, "{name} is made {made} times");
                assert_eq!(ask(&mut || 99), if made == 1 { 1 } else { 99 }, "{name}");
            }
        }
    });
}

fn ask_along(path: &[usize], fields: &[(&'static str, Box<Ask<'_>>); FIELDS], made: &[AtomicUsize; FIELDS]) {
    let [first, rest @ ..] = path else { return };
    let (_, ask) = &fields[*first];
    ask(&mut || {
        thread::yield_now();
        ask_along(rest, fields, made);
        made[*first].fetch_add(1, Ordering::SeqCst);
        1
    });
}
