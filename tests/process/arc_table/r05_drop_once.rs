//! Rule R5: every value is dropped exactly once. After a panic of a destructor the remaining destructors run, and then
//! the panic goes on, except into an accessor of an unrelated host.
//!
//! A sweep affects every `Arc` host of the process, so the tests run sequentially.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Weak};
use std::{mem, ptr, thread};

use shadow_runtime::{Row, Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::{Census, Diary, Life, Noted, alone, elsewhere, fewer, never_hangs, panic_of};

#[derive(Shadow, Default)]
#[shadow_field(attach once: Life)]
#[shadow_field(get_or_attach made: Life = Census::default().life())]
#[shadow_field(get_or_update newest: Life)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait SharedTask for Arc<Task> { attach once: Life; get_or_update newest: Life; }
    trait OwnedLife for Shadowed<Life> { attach once: Life; get_or_update newest: Life; }

    trait NotedFields for Noting {
        attach first: Noted;
        get_or_attach second: Noted = unreachable!();
        get_or_update third: Arc<Noted>;
    }
    trait MoreNotedFields for Noting { attach fourth: Noted; }
    trait SharedNoted for Arc<u8> { attach noted: Noted; attach other: Noted; }
    trait OwnedNoted for Shadowed<Noted> { attach first: Noted; attach second: Noted; }
    trait NumberFields for Arc<u64> { get_or_attach number: u64; attach noted: Noted; }
}

/// A host with fields that record their drop.
#[derive(Shadow, Default)]
struct Noting {
    shadow: ShadowFields,
}

const NOTED: raw::Id<Noted> = raw::Id::new(700);
const OTHER: raw::Id<Noted> = raw::Id::new(701);
const LIFE: raw::Id<Life> = raw::Id::new(702);
const NEWEST: raw::UpdateId<Life> = raw::UpdateId::new(703);

fn key<T>(object: &T) -> *const () {
    ptr::from_ref(object).cast()
}

#[test]
fn what_ends_with_its_host_is_dropped_once() {
    let _alone = alone();
    let census = Census::default();
    let task = Task::default();
    assert!(task.attach_once(census.life()).is_ok());
    task.get_or_attach_made(|| census.life());
    task.update_newest(census.life());
    assert_eq!(census.dropped(), 0);
    drop(task);
    assert_eq!((census.made(), census.dropped()), (3, 3));
}

#[test]
fn what_is_detached_is_the_callers_to_drop() {
    let _alone = alone();
    let census = Census::default();
    let mut task = Task::default();
    assert!(task.attach_once(census.life()).is_ok());
    task.get_or_attach_made(|| census.life());
    task.update_newest(census.life());
    let detached = (task.detach_once(), task.detach_made(), task.detach_newest());
    assert!(detached.0.is_some() && detached.1.is_some() && detached.2.is_some());
    drop(task);
    assert_eq!(census.dropped(), 0);
    drop(detached);
    assert_eq!((census.made(), census.dropped()), (3, 3));
}

#[test]
fn what_is_replaced_is_the_callers_to_drop() {
    let _alone = alone();
    let census = Census::default();
    let task = Task::default();
    for _ in 0..10 {
        let previous = task.update_newest(census.life());
        let dropped = census.dropped();
        drop(previous);
        assert!(census.dropped() <= dropped + 1);
    }
    assert_eq!((census.made(), census.dropped()), (10, 9));
    drop(task);
    assert_eq!(census.dropped(), 10);
}

#[test]
fn what_is_refused_is_the_callers_to_drop() {
    let _alone = alone();
    let census = Census::default();
    let task = Task::default();
    assert!(task.attach_once(census.life()).is_ok());
    let Err(refused) = task.attach_once(census.life()) else { panic!("it is not refused") };
    assert_eq!(census.dropped(), 0);
    drop(refused);
    assert_eq!(census.dropped(), 1);
    drop(task);
    assert_eq!((census.made(), census.dropped()), (2, 2));
}

#[test]
fn what_a_failed_initialiser_held_is_dropped_once() {
    let _alone = alone();
    let census = Census::default();
    let task = Task::default();
    let life = census.life();
    assert!(task.get_or_try_attach_made(|| Err::<Life, Life>(life)).is_err());
    assert_eq!((census.made(), census.dropped()), (1, 1));
    let life = census.life();
    panic_of(|| {
        task.get_or_attach_made(|| {
            let _life = life;
            panic!("no")
        })
        .clone()
    });
    assert_eq!((census.made(), census.dropped()), (2, 2));
}

#[test]
fn in_races_every_value_is_dropped_once() {
    const THREADS: usize = 4;
    let _alone = alone();
    let census = Census::default();
    for _ in 0..fewer(100, 2) {
        let (task, start) = (Task::default(), Barrier::new(THREADS));
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    start.wait();
                    drop(task.attach_once(census.life()));
                    task.get_or_attach_made(|| census.life());
                    for _ in 0..fewer(5, 2) {
                        task.update_newest(census.life());
                        task.newest();
                        task.update_newest_with(|_| census.life());
                    }
                });
            }
        });
        assert!(census.dropped() + 3 <= census.made());
        drop(task);
        assert_eq!(census.dropped(), census.made());
    }
}

#[test]
fn what_moves_to_another_host_is_dropped_with_that_one() {
    let _alone = alone();
    let (one_census, other_census) = (Census::default(), Census::default());
    let (mut one, mut other) = (Task::default(), Task::default());
    assert!(one.attach_once(one_census.life()).is_ok());
    one.update_newest(one_census.life());
    assert!(other.attach_once(other_census.life()).is_ok());
    mem::swap(&mut one.shadow, &mut other.shadow);
    assert!(one.newest().is_none() && other.newest().is_some());
    drop(one);
    assert_eq!((one_census.dropped(), other_census.dropped()), (1, 1), "the clone that was just read, and the other's");
    drop(other);
    assert_eq!(one_census.dropped(), one_census.made());
}

#[test]
fn what_moves_to_a_host_of_another_type_is_dropped_with_that_one() {
    let _alone = alone();
    let (census, diary) = (Census::default(), Diary::default());
    let (mut task, mut noting) = (Task::default(), Noting::default());
    assert!(task.attach_once(census.life()).is_ok());
    assert!(noting.attach_first(Noted::quiet("first", &diary)).is_ok());
    mem::swap(&mut task.shadow, &mut noting.shadow);
    assert!(task.once().is_none() && noting.first().is_none());
    assert!(task.attach_once(census.life()).is_ok());
    drop(noting);
    assert_eq!((census.dropped(), diary.read()), (1, vec![]));
    drop(task);
    assert_eq!((census.dropped(), diary.read()), (2, vec!["first"]));
}

#[test]
fn what_a_wrapper_holds_is_dropped_once() {
    let _alone = alone();
    let census = Census::default();
    let host = Shadowed::new(census.life());
    assert!(host.attach_once(census.life()).is_ok());
    host.update_newest(census.life());
    let value = Shadowed::into_inner(host);
    assert_eq!(census.dropped(), 2);
    drop(value);
    assert_eq!((census.made(), census.dropped()), (3, 3));
}

#[test]
fn what_an_arc_has_is_dropped_once() {
    let _alone = alone();
    let census = Census::default();
    let host = Arc::new(Task::default());
    assert!(SharedTask::attach_once(&host, census.life()).is_ok());
    assert!(host.as_ref().attach_once(census.life()).is_ok());
    SharedTask::update_newest(&host, census.life());
    SharedTask::update_newest(&host, census.life());
    drop(host);
    assert_eq!(census.dropped(), 2, "the one that was replaced, and the one that was embedded");
    assert_eq!(registry().sweep(), 1);
    assert_eq!((census.made(), census.dropped()), (4, 4));
    assert_eq!(registry().sweep(), 0);
}

#[test]
fn sweeps_of_many_threads_drop_every_value_once() {
    const ROUNDS: usize = fewer(200, 2);
    let _alone = alone();
    let census = Census::default();
    let swept: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut swept = 0;
                    for _ in 0..ROUNDS {
                        let host = Arc::new(Task::default());
                        assert!(SharedTask::attach_once(&host, census.life()).is_ok());
                        drop(host);
                        swept += registry().sweep();
                    }
                    swept
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    registry().sweep();
    assert_eq!((census.made(), census.dropped()), (4 * ROUNDS, 4 * ROUNDS));
    assert!(swept <= 4 * ROUNDS, "a host was swept twice: {swept}");
}

#[test]
fn what_raw_objects_have_is_dropped_once() {
    let _alone = alone();
    let census = Census::default();
    let objects = [1_u64, 2, 3].map(Box::new);
    for object in &objects {
        // SAFETY: the objects outlive their fields, and no reference to a value is kept.
        assert!(unsafe { LIFE.attach(key(&**object), census.life()) }.is_ok());
        // SAFETY: the objects outlive their fields.
        assert!(unsafe { NEWEST.get_or_update(key(&**object), census.life()) }.is_ok());
        // SAFETY: the objects outlive their fields.
        assert!(unsafe { NEWEST.get_or_update(key(&**object), census.life()) }.is_ok());
    }
    assert_eq!((census.made(), census.dropped()), (9, 3));
    // SAFETY: no thread holds a reference to a value.
    let detached = unsafe { LIFE.detach(key(&*objects[0])) }.unwrap();
    assert_eq!(census.dropped(), 3);
    drop(detached);
    assert_eq!(census.dropped(), 4);
    // SAFETY: no thread holds a reference to a value.
    assert_eq!(unsafe { raw::detach_object(key(&*objects[1])) }, 2);
    assert_eq!(census.dropped(), 6);
    let mut kept = Vec::new();
    // SAFETY: the objects are alive, so their fields belong to no other object.
    assert_eq!(unsafe { NEWEST.detach_all(|_, life| kept.push(life)) }.unwrap(), 2);
    assert_eq!(census.dropped(), 6);
    drop(kept);
    // SAFETY: no thread holds a reference to a value.
    assert_eq!(unsafe { LIFE.detach_all(|_, _| ()) }.unwrap(), 1);
    assert_eq!((census.made(), census.dropped()), (9, 9));
}

fn noting(diary: &Diary) -> Noting {
    let host = Noting::default();
    assert!(host.attach_first(Noted::panicking("first", diary)).is_ok());
    host.get_or_attach_second(|| Noted::quiet("second", diary));
    host.update_third(Arc::new(Noted::panicking("third", diary)));
    assert!(host.attach_fourth(Noted::panicking("fourth", diary)).is_ok());
    host
}

#[test]
fn all_destructors_of_a_host_run_and_the_first_panic_is_raised_when_they_are_done() {
    let _alone = alone();
    let diary = Diary::default();
    let host = noting(&diary);
    let message = panic_of(|| drop(host));
    assert_eq!(message, "the destructor of first panics");
    assert_eq!(diary.read(), ["first", "second", "third", "fourth"]);
}

#[test]
fn the_panic_of_a_field_does_not_keep_the_rest_of_the_struct_from_being_dropped() {
    #[derive(Shadow)]
    #[shadow_field(attach field: Noted)]
    struct Host {
        shadow: ShadowFields,
        _after: Noted,
    }
    let _alone = alone();
    let diary = Diary::default();
    let host = Host { shadow: ShadowFields::new(), _after: Noted::quiet("after", &diary) };
    assert!(host.attach_field(Noted::panicking("field", &diary)).is_ok());
    assert_eq!(panic_of(|| drop(host)), "the destructor of field panics");
    assert_eq!(diary.read(), ["field", "after"]);
}

#[test]
fn panicking_destructors_do_not_abort_a_thread_that_unwinds_already() {
    let _alone = alone();
    let diary = Diary::default();
    let message = panic_of(|| {
        let _host = noting(&diary);
        panic!("the first of all")
    });
    assert_eq!(message, "the first of all");
    assert_eq!(diary.read(), ["first", "second", "third", "fourth"]);
}

#[test]
fn panicking_destructors_of_a_wrapper_leave_nothing_behind() {
    let _alone = alone();
    let diary = Diary::default();
    let host = Shadowed::new(Noted::quiet("value", &diary));
    assert!(host.attach_first(Noted::panicking("first", &diary)).is_ok());
    assert!(host.attach_second(Noted::panicking("second", &diary)).is_ok());
    assert_eq!(panic_of(|| drop(host)), "the destructor of first panics");
    assert_eq!(diary.read(), ["first", "second", "value"]);
}

#[test]
fn panicking_destructors_of_a_wrapper_that_is_taken_apart_leave_nothing_behind() {
    let _alone = alone();
    let diary = Diary::default();
    let host = Shadowed::new(Noted::quiet("value", &diary));
    assert!(host.attach_first(Noted::panicking("first", &diary)).is_ok());
    assert!(host.attach_second(Noted::panicking("second", &diary)).is_ok());
    assert_eq!(panic_of(|| Shadowed::into_inner(host)), "the destructor of first panics");
    assert_eq!(diary.read(), ["first", "second", "value"]);
}

#[test]
fn a_host_whose_destructors_panicked_counts_as_detached() {
    let detached = || {
        let report = registry().report();
        let rows = report.iter().filter(|row| row.host() == "Noting");
        rows.map(Row::detached).sum::<u64>()
    };
    let _alone = alone();
    let before = detached();
    let diary = Diary::default();
    panic_of(|| drop(noting(&diary)));
    assert_eq!(detached() - before, 4);
}

#[test]
fn a_sweep_drops_all_dead_hosts_and_raises_the_first_panic_when_it_is_done() {
    const HOSTS: usize = fewer(20, 6);
    let _alone = alone();
    let diary = Diary::default();
    for _ in 0..HOSTS {
        let host = Arc::new(1_u8);
        assert!(host.attach_noted(Noted::panicking("noted", &diary)).is_ok());
        assert!(host.attach_other(Noted::quiet("other", &diary)).is_ok());
    }
    // The attaches have swept some hosts, and contained the panics.
    let message = panic_of(|| registry().sweep());
    assert_eq!(message, "the destructor of noted panics");
    let count = |name: &str| diary.read().iter().filter(|entry| **entry == name).count();
    assert_eq!((count("noted"), count("other")), (HOSTS, HOSTS));
    assert_eq!(registry().sweep(), 0);
}

#[test]
fn a_strangers_panicking_destructor_does_not_reach_an_accessor() {
    const HOSTS: u8 = fewer(200, 8);
    let _alone = alone();
    let diary = Diary::default();
    let dead: Vec<Arc<u8>> = (0..HOSTS).map(Arc::new).collect();
    for host in &dead {
        assert!(host.attach_noted(Noted::panicking("noted", &diary)).is_ok());
        assert!(host.attach_other(Noted::panicking("other", &diary)).is_ok());
    }
    drop(dead);
    let mut attaches = 0;
    while diary.read().len() < 2 * usize::from(HOSTS) {
        // No panic of a destructor reaches this call.
        assert_eq!(*Arc::new(7_u64).get_or_attach_number(|| attaches), attaches);
        attaches += 1;
        assert!(attaches < 5000, "the dead are never dropped");
    }
    registry().sweep();
    assert_eq!(diary.read().len(), 2 * usize::from(HOSTS), "none is dropped twice");
}

#[test]
fn a_sweep_in_a_thread_that_unwinds_does_not_abort() {
    struct Sweeper;
    impl Drop for Sweeper {
        fn drop(&mut self) {
            registry().sweep();
        }
    }
    let _alone = alone();
    let diary = Diary::default();
    let host = Arc::new(1_u8);
    assert!(host.attach_noted(Noted::panicking("noted", &diary)).is_ok());
    assert!(host.attach_other(Noted::panicking("other", &diary)).is_ok());
    drop(host);
    let message = panic_of(|| {
        let _sweeper = Sweeper;
        panic!("the first of all")
    });
    assert_eq!(message, "the first of all");
    assert_eq!(diary.read(), ["noted", "other"]);
}

#[test]
fn all_fields_of_a_raw_object_are_dropped_and_the_first_panic_is_raised_when_they_are_done() {
    let _alone = alone();
    let (diary, object) = (Diary::default(), Box::new(0_u64));
    // SAFETY: the object outlives its fields, and no reference to a value is kept.
    assert!(unsafe { NOTED.attach(key(&*object), Noted::panicking("noted", &diary)) }.is_ok());
    // SAFETY: the object outlives its fields, and no reference to a value is kept.
    assert!(unsafe { OTHER.attach(key(&*object), Noted::panicking("other", &diary)) }.is_ok());
    // SAFETY: no thread holds a reference to a value.
    let message = panic_of(|| unsafe { raw::detach_object(key(&*object)) });
    let dropped = diary.read();
    assert_eq!(message, format!("the destructor of {} panics", dropped[0]));
    assert_eq!(dropped.len(), 2);
    // SAFETY: no thread holds a reference to a value.
    assert_eq!(unsafe { raw::detach_object(key(&*object)) }, 0);
}

#[test]
fn values_that_panic_when_they_are_dropped_in_detach_all_do_not_keep_the_others() {
    let _alone = alone();
    let (diary, objects) = (Diary::default(), [1_u64, 2, 3].map(Box::new));
    for object in &objects {
        // SAFETY: the objects outlive their fields, and no reference to a value is kept.
        assert!(unsafe { NOTED.attach(key(&**object), Noted::panicking("noted", &diary)) }.is_ok());
    }
    // SAFETY: no thread holds a reference to a value.
    let message = panic_of(|| unsafe { NOTED.detach_all(|_, noted| drop(noted)) });
    assert_eq!((&*message, diary.read().len()), ("the destructor of noted panics", 3));
}

/// The payload of a panic may panic on drop, too.
#[test]
fn a_panic_whose_payload_panics_does_not_abort() {
    struct Thrown;
    impl Drop for Thrown {
        fn drop(&mut self) {
            assert!(thread::panicking(), "the payload panics");
        }
    }
    struct Throwing(Life);
    impl Drop for Throwing {
        fn drop(&mut self) {
            let _ = &self.0;
            panic_any(Thrown);
        }
    }
    #[derive(Shadow, Default)]
    #[shadow_field(attach one: Throwing)]
    #[shadow_field(attach two: Throwing)]
    #[shadow_field(attach three: Throwing)]
    struct Host {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let (census, host) = (Census::default(), Host::default());
    assert!(host.attach_one(Throwing(census.life())).is_ok());
    assert!(host.attach_two(Throwing(census.life())).is_ok());
    assert!(host.attach_three(Throwing(census.life())).is_ok());
    let payload = catch_unwind(AssertUnwindSafe(|| drop(host))).unwrap_err();
    assert!(payload.is::<Thrown>());
    mem::forget(payload);
    assert_eq!((census.made(), census.dropped()), (3, 3));
}

#[test]
fn a_clone_that_panics_leaves_the_value_where_it_is() {
    struct Uncloneable(Life);
    impl Clone for Uncloneable {
        fn clone(&self) -> Self {
            let _life = self.0.clone();
            panic!("it cannot be cloned")
        }
    }
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update value: Uncloneable)]
    struct Host {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let (census, mut host) = (Census::default(), Host::default());
    host.update_value(Uncloneable(census.life()));
    for _ in 0..10 {
        assert_eq!(panic_of(|| host.value()), "it cannot be cloned");
    }
    assert_eq!(census.made() - census.dropped(), 1);
    assert!(host.value_mut().is_some());
    host.update_value(Uncloneable(census.life()));
    drop(host);
    assert_eq!(census.made(), census.dropped());
}

/// A take during a clone makes a second clone. If this clone panics, the reader still drops the value.
#[test]
fn a_clone_that_panics_leaves_nothing_behind_a_take() {
    struct Read(Life, AtomicBool, Weak<Host>);
    impl Clone for Read {
        fn clone(&self) -> Self {
            let life = self.0.clone();
            assert!(!self.1.swap(true, Ordering::Relaxed), "it cannot be cloned twice");
            let host = self.2.upgrade().unwrap();
            assert_eq!(panic_of(|| host.take_value()), "it cannot be cloned twice");
            assert!(host.value().is_none(), "it was taken");
            Self(life, AtomicBool::new(false), Weak::new())
        }
    }
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update value: Read)]
    struct Host {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let (census, host) = (Census::default(), Arc::new(Host::default()));
    host.update_value(Read(census.life(), AtomicBool::new(false), Arc::downgrade(&host)));
    drop(host.value().expect("the reader's clone"));
    assert_eq!((census.made(), census.dropped()), (3, 3));
    assert!(host.take_value().is_none());
}

#[test]
fn an_attempt_of_an_update_that_panics_when_it_is_dropped_leaves_the_newest() {
    let _alone = alone();
    let diary = Diary::default();
    let host = Noting::default();
    let mut runs = 0;
    let message = panic_of(|| {
        host.update_third_with(|_| {
            runs += 1;
            if runs == 1 {
                elsewhere(|| host.update_third(Arc::new(Noted::quiet("newest", &diary))));
            }
            Arc::new(Noted::panicking("attempt", &diary))
        })
    });
    assert_eq!((&*message, diary.read()), ("the destructor of attempt panics", vec!["attempt"]));
    assert_eq!(host.third().unwrap().name, "newest");
    drop(host);
    assert_eq!(diary.read(), ["attempt", "newest"]);
}

#[test]
fn a_host_of_a_thread_that_ends_is_dropped_with_its_fields() {
    thread_local! { static HOST: RefCell<Option<Task>> = const { RefCell::new(None) }; }
    /// On drop, at the end of the thread, uses further hosts.
    struct Late(Census, Arc<Task>);
    impl Drop for Late {
        fn drop(&mut self) {
            self.1.as_ref().update_newest(self.0.life());
            let host = Task::default();
            assert!(host.attach_once(self.0.life()).is_ok());
            host.update_newest(self.0.life());
            assert!(host.newest().is_some());
            SharedTask::update_newest(&self.1, self.0.life());
        }
    }
    thread_local! { static LATE: RefCell<Option<Late>> = const { RefCell::new(None) }; }
    let _alone = alone();
    let (census, shared) = (Census::default(), Arc::new(Task::default()));
    thread::scope(|scope| {
        scope.spawn(|| {
            LATE.set(Some(Late(census.clone(), Arc::clone(&shared))));
            let task = Task::default();
            assert!(task.attach_once(census.life()).is_ok());
            task.update_newest(census.life());
            HOST.set(Some(task));
        });
    });
    // A scope does not wait for the destructors of thread-locals. So the test waits for the last operation of the
    // destructors.
    never_hangs(|| {
        while SharedTask::newest(&shared).is_none() || Arc::strong_count(&shared) > 1 {
            thread::yield_now();
        }
        drop(shared);
        registry().sweep();
        while census.dropped() < census.made() {
            thread::yield_now();
        }
    });
    assert!(census.made() >= 6);
}
