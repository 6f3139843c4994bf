//! Rule R1: `&host` gives a plain `&V`, which stays valid during the borrow of the host, regardless of other threads.
//! The borrow checker takes the place of a grace period. (`ui/` has the drops that a borrow prevents at compile time.)

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::{ptr, thread};

use shadow_runtime::{AlreadyAttached, Shadow, ShadowFields, Shadowed, registry, shadow};

use support::{AtEnd, Census, Life, alone, fewer, forever, never_hangs};

#[derive(Shadow, Default)]
#[shadow_field(attach held: Held)]
#[shadow_field(get_or_attach counter: AtomicU32)]
#[shadow_field(get_or_update version: u32)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Later for Task { get_or_attach later: String = "later".to_owned(); }
    trait OwnedFields for Shadowed<String> { attach held: Held; get_or_update version: u32; }
    trait SharedFields for Arc<String> { attach held: Held; get_or_attach counter: AtomicU32; get_or_update version: u32; }
    trait NumberFields for Arc<usize> { attach life: Life; get_or_attach counter: AtomicU32; }
    trait StaticFields for &'static AtomicU32 { attach held: Held; get_or_update version: u32; }
}

/// A value that tells whether it is alive.
struct Held {
    there: Arc<AtomicBool>,
    text: String,
}

impl Held {
    fn new() -> (Self, Arc<AtomicBool>) {
        let there = Arc::new(AtomicBool::new(true));
        (Self { there: Arc::clone(&there), text: "held".to_owned() }, there)
    }

    fn is_there(&self) -> bool {
        self.there.load(Ordering::SeqCst) && self.text == "held"
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.there.store(false, Ordering::SeqCst);
    }
}

#[test]
fn accessors_of_a_shared_borrow_return_references_that_live_as_long() {
    let _alone = alone();
    // The types show that no guard, no count and no pin is needed.
    let held: for<'host> fn(&'host Task) -> Option<&'host Held> = Task::held;
    let attach: for<'host> fn(&'host Task, Held) -> Result<&'host Held, AlreadyAttached<Held>> = Task::attach_held;
    let counter: for<'host> fn(&'host Task) -> &'host AtomicU32 = Task::counter;
    let peek: for<'host> fn(&'host Task) -> Option<&'host AtomicU32> = Task::peek_counter;
    let of_arc: for<'host> fn(&'host Arc<String>) -> Option<&'host Held> = SharedFields::held;
    let of_static: fn(&'static AtomicU32) -> Option<&'static Held> = StaticFields::held;
    let (task, shared) = (Task::default(), Arc::new(String::new()));
    let value = attach(&task, Held::new().0).ok().unwrap();
    assert!(ptr::eq(value, held(&task).unwrap()) && ptr::eq(counter(&task), peek(&task).unwrap()));
    assert!(of_arc(&shared).is_none() && of_static(forever(AtomicU32::new(0))).is_none());
}

#[test]
fn a_reference_stays_valid_whatever_is_done_with_its_shared_host() {
    const ROUNDS: u32 = fewer(200, 5);
    let _alone = alone();
    let (value, there) = Held::new();
    let task = Task::default();
    let held = task.attach_held(value).ok().unwrap();
    let counter = task.counter();
    let others = |round: u32| {
        drop(task.attach_held(Held::new().0));
        task.update_version(round);
        task.update_version_with(|before| before.map_or(0, |before| before + 1));
        task.later();
        task.counter().fetch_add(1, Ordering::Relaxed);
        drop(Task::default().attach_held(Held::new().0));
        assert!(held.is_there() && there.load(Ordering::SeqCst));
    };
    others(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..ROUNDS).for_each(others));
        }
    });
    assert_eq!(counter.load(Ordering::Relaxed), 2 * ROUNDS + 1);
    assert!(held.is_there() && ptr::eq(held, task.held().unwrap()));
    drop(task);
    assert!(!there.load(Ordering::SeqCst), "it goes with its host");
}

#[test]
fn a_reference_into_a_wrapper_stays_valid_while_the_wrapper_is_borrowed() {
    let _alone = alone();
    let (value, there) = Held::new();
    let host = Shadowed::new("value".to_owned());
    let held = host.attach_held(value).ok().unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for round in 0..fewer(200, 5) {
                    host.update_version(round);
                    assert!(host.attach_held(Held::new().0).is_err());
                    assert!(held.is_there() && there.load(Ordering::SeqCst));
                }
            });
        }
    });
    drop(Shadowed::into_inner(host));
    assert!(!there.load(Ordering::SeqCst));
}

#[test]
fn a_reference_stays_valid_while_one_arc_is_borrowed_and_all_others_go() {
    let _alone = alone();
    let (value, there) = Held::new();
    let host = Arc::new("host".to_owned());
    let clones: Vec<_> = (0..10).map(|_| Arc::clone(&host)).collect();
    let borrowed = Arc::clone(&host);
    let held = borrowed.attach_held(value).ok().unwrap();
    drop((host, clones));
    for round in 0..fewer(300, 8) {
        // Further hosts come and go, and are swept, by attaches and by `sweep`.
        let crowd: Vec<_> = (0..round % 7).map(Arc::new).collect();
        for other in &crowd {
            other.counter();
        }
        drop(crowd);
        registry().sweep();
        assert!(borrowed.attach_held(Held::new().0).is_err());
        assert!(held.is_there() && there.load(Ordering::SeqCst));
        drop(Arc::clone(&borrowed));
    }
    assert!(ptr::eq(borrowed.held().unwrap(), held));
    assert!(there.load(Ordering::SeqCst));
    drop(borrowed);
    registry().sweep();
    assert!(!there.load(Ordering::SeqCst));
}

#[test]
fn no_sweep_takes_a_value_from_under_its_last_readers() {
    let _alone = alone();
    never_hangs(|| {
        const READERS: usize = 3;
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    registry().sweep();
                    thread::yield_now();
                }
            });
            for _ in 0..fewer(300, 3) {
                let host = Arc::new("host".to_owned());
                assert!(host.attach_held(Held::new().0).is_ok());
                let start = Arc::new(Barrier::new(READERS));
                let readers: Vec<_> = (0..READERS)
                    .map(|_| {
                        let (host, start) = (Arc::clone(&host), Arc::clone(&start));
                        scope.spawn(move || {
                            start.wait();
                            let held = host.held().expect("it is attached, and its host alive");
                            for _ in 0..20 {
                                assert!(held.is_there());
                            }
                        })
                    })
                    .collect();
                drop(host);
                for reader in readers {
                    reader.join().unwrap();
                }
            }
        });
    });
}

#[test]
fn attaches_to_other_arcs_take_no_value_of_a_living_host() {
    let _alone = alone();
    let census = Census::default();
    let living: Vec<Arc<usize>> = (0..50).map(Arc::new).collect();
    for host in &living {
        assert!(host.attach_life(census.life()).is_ok());
    }
    for number in 0..fewer(5000, 50) {
        Arc::new(number).counter();
    }
    assert_eq!(census.dropped(), 0);
    assert!(living.iter().all(|host| host.life().is_some()));
}

#[test]
fn a_reference_into_a_static_stays_valid_for_ever() {
    static HOST: AtomicU32 = AtomicU32::new(0);
    let _alone = alone();
    let host = &HOST;
    let (value, there) = Held::new();
    let held = host.attach_held(value).ok().unwrap();
    for round in 0..fewer(100, 5) {
        host.update_version(round);
        assert!(host.attach_held(Held::new().0).is_err());
        registry().sweep();
    }
    assert!(thread::spawn(move || held.is_there()).join().unwrap());
    assert!(there.load(Ordering::SeqCst));
}
