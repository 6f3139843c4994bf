//! `registry().sweep_by_hand()`: during the life of the guard, destructors of dead `Arc` hosts run in `sweep()` alone.
//!
//! The table of `Arc` hosts and the sweep mode are process-wide, so the tests run sequentially.

use std::sync::{Arc, Weak};
use std::{panic, thread};

use shadow_runtime::{ManualSweep, Shadow, ShadowFields, registry, shadow};

use support::alone;
use support::spy::{Notes, SpyFields as _, assert_attaches_sweep, pass_by, pass_by_and_attach};
use support::{fewer, never_hangs, panic_of, sized};

shadow! {
    trait OuterFields for Arc<u32> { get_or_attach slot: usize; attach asks: Asks; }
    trait ThrowingFields for Arc<u64> { attach throws: Throws; }
}

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach slot: usize)]
#[shadow_field(get_or_update newest: usize)]
struct Embedding {
    shadow: ShadowFields,
}

/// Requests a field of a host on drop.
struct Asks(Weak<u32>);

impl Drop for Asks {
    fn drop(&mut self) {
        if let Some(host) = self.0.upgrade() {
            host.slot();
        }
    }
}

/// Panics on drop.
struct Throws;

impl Drop for Throws {
    fn drop(&mut self) {
        panic!("asked for by hand");
    }
}

/// Attaches in every place where a program can attach.
fn attach_everywhere(notes: &Notes) {
    let many = sized(3000);
    pass_by(notes, many);
    let embedding = Embedding::default();
    embedding.get_or_attach_slot(|| {
        pass_by(notes, many);
        1
    });
    let fails = || {
        pass_by(notes, fewer(100, 3));
        Err(())
    };
    assert!(Embedding::default().get_or_try_attach_slot(fails).is_err());
    embedding.update_newest_with(|_| {
        pass_by(notes, many);
        1
    });
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| pass_by(notes, many));
        }
    });
    // Outside of closures and initialisers, where deferred sweeps would run.
    pass_by(notes, fewer(100, 3));
}

#[test]
fn none_runs_in_an_attach_and_all_run_in_sweep() {
    let _alone = alone();
    let notes = Notes::default();
    let guard = registry().sweep_by_hand();
    attach_everywhere(&notes);
    assert_eq!(notes.runs(), 0);
    assert_eq!((registry().sweep(), notes.runs()), (notes.made(), notes.made()));
    assert!(notes.all_here());
    let hosts = fewer(100, 5);
    pass_by(&notes, hosts);
    assert_eq!(registry().sweep(), hosts);
    drop(guard);
    assert_attaches_sweep();
}

#[test]
fn what_was_dead_before_is_dropped_in_sweep_too() {
    let _alone = alone();
    let notes = Notes::default();
    let hosts: Vec<_> = (0..sized(5000)).map(Arc::new).collect();
    for host in &hosts {
        assert!(host.attach_spy(notes.spy()).is_ok());
    }
    drop(hosts);
    let _guard = registry().sweep_by_hand();
    let later = Notes::default();
    attach_everywhere(&later);
    assert_eq!((notes.runs(), later.runs()), (0, 0));
    assert_eq!(registry().sweep(), notes.made() + later.made());
}

#[test]
fn what_is_left_is_dropped_in_attaches_when_the_guard_is_gone() {
    let _alone = alone();
    let notes = Notes::default();
    let guard = registry().sweep_by_hand();
    let hosts = sized(20_000);
    pass_by(&notes, hosts);
    drop(guard);
    assert_eq!(notes.runs(), 0, "the guard itself runs none");
    pass_by(&Notes::default(), hosts / 2);
    let left = notes.made() - notes.runs();
    assert!(left <= (hosts / 10).max(1000), "{left} are left");
}

#[test]
fn guards_nest_and_overlap() {
    let _alone = alone();
    let notes = Notes::default();
    let first = registry().sweep_by_hand();
    let second = registry().sweep_by_hand();
    drop(first);
    pass_by(&notes, fewer(1000, 3));
    let third = registry().sweep_by_hand();
    drop(third);
    pass_by(&notes, fewer(1000, 3));
    assert_eq!(notes.runs(), 0);
    drop(second);
    assert_attaches_sweep();
    let _again: ManualSweep = registry().sweep_by_hand();
    let runs = notes.runs();
    pass_by(&notes, fewer(1000, 3));
    assert_eq!(notes.runs(), runs);
}

#[test]
fn each_thread_may_have_a_guard() {
    let _alone = alone();
    let notes = Notes::default();
    never_hangs(|| {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..sized(500) {
                        let guard = registry().sweep_by_hand();
                        pass_by(&notes, 3);
                        if notes.made() % fewer(64, 4) == 0 {
                            registry().sweep();
                        }
                        drop(guard);
                    }
                });
            }
        });
    });
    registry().sweep();
    assert_eq!(notes.runs(), notes.made());
    assert_attaches_sweep();
}

#[test]
fn an_attach_in_a_destructor_that_sweep_runs_runs_none_either() {
    let _alone = alone();
    let _guard = registry().sweep_by_hand();
    let notes = Notes::default();
    pass_by_and_attach(&notes, fewer(100, 4), sized(3000));
    never_hangs(|| while registry().sweep() > 0 {});
    assert_eq!(notes.made(), fewer(100, 4) + sized(3000));
    assert_eq!((notes.runs(), notes.deepest()), (notes.made(), 1));
}

#[test]
fn sweep_raises_what_a_destructor_does() {
    let _alone = alone();
    let _guard = registry().sweep_by_hand();
    assert!(Arc::new(0_u64).attach_throws(Throws).is_ok());
    pass_by(&Notes::default(), fewer(1000, 5));
    assert_eq!(panic_of(|| registry().sweep()), "asked for by hand");
    assert_eq!(registry().sweep(), 0, "all the others have run");
}

/// If an attach of the worker ran the destructors of strangers, the worker would wait for the initialiser, and the
/// initialiser for the worker.
#[test]
fn an_initialiser_may_wait_for_threads_that_attach() {
    let _alone = alone();
    let _guard = registry().sweep_by_hand();
    let host = Arc::new(0_u32);
    let strangers: Vec<_> = (0..fewer(500, 8)).map(Arc::<u32>::new).collect();
    for stranger in &strangers {
        assert!(stranger.attach_asks(Asks(Arc::downgrade(&host))).is_ok());
    }
    drop(strangers);
    never_hangs(|| {
        host.get_or_attach_slot(|| {
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| pass_by(&Notes::default(), sized(3000)));
                }
            });
            7
        });
    });
    assert_eq!(host.peek_slot(), Some(&7));
    registry().sweep();
}

/// A drop of the guard by unwinding counts as any drop.
#[test]
fn a_guard_is_gone_when_its_thread_unwinds() {
    let _alone = alone();
    let unwound = panic::catch_unwind(|| {
        let _guard = registry().sweep_by_hand();
        panic::resume_unwind(Box::new(()));
    });
    assert!(unwound.is_err());
    assert_attaches_sweep();
}
