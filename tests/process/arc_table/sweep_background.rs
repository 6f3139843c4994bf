//! `registry().sweep_in_background(interval)`: during the life of the guard, destructors of dead `Arc` hosts run in a
//! background thread, within the interval, and in no attach.
//!
//! No test depends on time: a test waits for the expected event. The table of `Arc` hosts and the sweep mode are
//! process-wide, so the tests run sequentially.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;
use std::{mem, thread};

use shadow_runtime::{BackgroundSweep, Shadow, ShadowFields, registry, shadow};

use support::alone;
use support::capture::{self, lines_with};
use support::spy::{Notes, Spy, SpyFields as _, assert_attaches_sweep, pass_by, pass_by_and_attach};
use support::{AtEnd, child, fewer, never_hangs, sized};

/// A short interval, so that tests wait only briefly.
const OFTEN: Duration = Duration::from_millis(2);

shadow! {
    trait OuterFields for Arc<u32> {
        get_or_attach slot: usize;
        attach asks: Asks;
        attach guard: Mutex<Option<BackgroundSweep>>;
        attach next: Next;
        attach waits: Waits;
    }
    trait ThrowingFields<T: Send + Sync + 'static> for Arc<T> { attach throws: Throws; }
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

/// Owns the next host of a list.
struct Next(
    #[expect(dead_code, reason = "it is held")] Option<Arc<u32>>,
    #[expect(dead_code, reason = "it counts")] Spy,
);

/// Panics on drop.
struct Throws;

impl Drop for Throws {
    fn drop(&mut self) {
        panic!("in the background");
    }
}

/// Waits on drop until the test opens the door.
struct Waits(Arc<(Mutex<[bool; 2]>, Condvar)>);

impl Drop for Waits {
    fn drop(&mut self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state[0] = true;
        changed.notify_all();
        drop(changed.wait_while(state, |state| !state[1]));
    }
}

fn begin(interval: Duration) -> BackgroundSweep {
    registry().sweep_in_background(interval).unwrap()
}

/// Waits until `holds` returns `true`.
fn wait_until(holds: impl Fn() -> bool) {
    never_hangs(|| {
        while !holds() {
            thread::sleep(Duration::from_millis(1));
        }
    });
}

fn wait_for_all(notes: &Notes) {
    wait_until(|| notes.runs() == notes.made());
}

/// As [`assert_attaches_sweep`], after a wait: a destructor in the background may still be dropping the guard.
fn wait_until_attaches_sweep() {
    wait_until(|| {
        let notes = Notes::default();
        pass_by(&notes, fewer(1000, 4));
        registry().sweep();
        notes.all_here()
    });
    assert_attaches_sweep();
}

#[test]
fn all_run_in_one_other_thread() {
    let _alone = alone();
    let notes = Notes::default();
    let guard = begin(OFTEN);
    let many = sized(3000);
    pass_by(&notes, many);
    let embedding = Embedding::default();
    embedding.get_or_attach_slot(|| {
        pass_by(&notes, many);
        1
    });
    embedding.update_newest_with(|_| {
        pass_by(&notes, many);
        1
    });
    let attachers: Vec<_> = (0..3)
        .map(|_| {
            let notes = notes.clone();
            thread::spawn(move || {
                pass_by(&notes, many);
                thread::current().id()
            })
        })
        .collect();
    let mut attachers: Vec<_> = attachers.into_iter().map(|attacher| attacher.join().unwrap()).collect();
    attachers.push(thread::current().id());
    wait_for_all(&notes);
    let threads = notes.threads();
    assert_eq!(threads.len(), 1);
    assert!(attachers.iter().all(|attacher| !threads.contains(attacher)));
    drop(guard);
    assert_attaches_sweep();
}

/// No thread attaches or sweeps meanwhile.
#[test]
fn what_dies_is_dropped_though_nobody_attaches() {
    let _alone = alone();
    let _guard = begin(OFTEN);
    let notes = Notes::default();
    for hosts in [1, 1, 2, fewer(100, 10), sized(5000)] {
        let all: Vec<_> = (0..hosts).map(|_| Arc::new(0_u16)).collect();
        for host in &all {
            assert!(host.attach_spy(notes.spy()).is_ok());
        }
        // Longer than the interval: the background thread must still look when the hosts die.
        thread::sleep(3 * OFTEN);
        assert_eq!(notes.runs() + hosts, notes.made());
        drop(all);
        wait_for_all(&notes);
    }
}

#[test]
fn what_was_dead_before_is_dropped_too() {
    let _alone = alone();
    let notes = Notes::default();
    let all: Vec<_> = (0..sized(5000)).map(Arc::new).collect();
    for host in &all {
        assert!(host.attach_spy(notes.spy()).is_ok());
    }
    drop(all);
    let guard = begin(OFTEN);
    wait_for_all(&notes);
    assert!(!notes.threads().contains(&thread::current().id()));
    drop(guard);
}

#[test]
fn what_becomes_dead_by_that_is_dropped_too() {
    let _alone = alone();
    let _guard = begin(OFTEN);
    let notes = Notes::default();
    let mut first = None;
    for _ in 0..sized(5000) {
        let host = Arc::new(0_u32);
        assert!(host.attach_next(Next(first.take(), notes.spy())).is_ok());
        first = Some(host);
    }
    assert_eq!(notes.runs(), 0);
    drop(first);
    wait_for_all(&notes);
}

thread_local! {
    static ENDING: Ending = const { Ending(Cell::new(None)) };
}

/// Sets a flag at the end of the thread.
struct Ending(Cell<Option<&'static AtomicBool>>);

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(ended) = self.0.get() {
            // The delay detects a drop of the guard that does not wait for the thread.
            thread::sleep(Duration::from_millis(20));
            ended.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn the_thread_has_ended_when_the_guard_is_gone() {
    static ENDED: AtomicBool = AtomicBool::new(false);
    let _alone = alone();
    for interval in [OFTEN, Duration::from_secs(3600)] {
        ENDED.store(false, Ordering::SeqCst);
        let notes = Notes::default();
        let host = Arc::new(0_u16);
        let ending = |_: &Notes| ENDING.with(|ending| ending.0.set(Some(&ENDED)));
        assert!(host.attach_spy(notes.spy_that(ending)).is_ok());
        drop(host);
        // The background thread begins with a sweep, which drops the dead host.
        let guard = begin(interval);
        if interval == OFTEN {
            wait_for_all(&notes);
        }
        never_hangs(|| drop(guard));
        assert_eq!(ENDED.load(Ordering::SeqCst), notes.runs() == 1);
        registry().sweep();
        ENDING.with(|ending| ending.0.set(None));
    }
    assert_attaches_sweep();
}

#[test]
fn guards_nest_and_overlap() {
    let _alone = alone();
    let notes = Notes::default();
    let first = begin(OFTEN);
    let second = begin(Duration::from_secs(3600));
    let third = begin(OFTEN);
    drop(first);
    pass_by(&notes, fewer(1000, 4));
    wait_for_all(&notes);
    drop(third);
    pass_by(&notes, fewer(1000, 4));
    assert!(!notes.threads().contains(&thread::current().id()), "one is left");
    let fourth = begin(OFTEN);
    wait_for_all(&notes);
    drop(second);
    pass_by(&notes, fewer(1000, 4));
    wait_for_all(&notes);
    assert!(!notes.threads().contains(&thread::current().id()));
    drop(fourth);
    assert_attaches_sweep();
}

#[test]
fn a_guard_beside_one_by_hand() {
    let _alone = alone();
    let notes = Notes::default();
    let by_hand = registry().sweep_by_hand();
    let background = begin(OFTEN);
    pass_by(&notes, fewer(1000, 4));
    assert!(!notes.threads().contains(&thread::current().id()));
    drop(by_hand);
    pass_by(&notes, fewer(1000, 4));
    wait_for_all(&notes);
    let by_hand = registry().sweep_by_hand();
    drop(background);
    let runs = notes.runs();
    pass_by(&notes, fewer(1000, 4));
    assert_eq!(notes.runs(), runs);
    registry().sweep();
    assert_eq!(notes.runs(), notes.made());
    drop(by_hand);
    assert_attaches_sweep();
}

#[test]
fn a_guard_may_be_dropped_by_a_destructor_that_runs_in_the_background() {
    let _alone = alone();
    for _ in 0..fewer(10, 2) {
        let notes = Notes::default();
        let guard = begin(OFTEN);
        let host = Arc::new(0_u32);
        assert!(host.attach_guard(Mutex::new(Some(guard))).is_ok());
        assert!(host.attach_spy(notes.spy()).is_ok());
        drop(host);
        wait_for_all(&notes);
        assert!(!notes.threads().contains(&thread::current().id()));
        wait_until_attaches_sweep();
    }
}

/// `sweep` drops the guard on this thread, while the guard's thread waits.
#[test]
fn a_guard_may_be_dropped_by_a_destructor_that_sweep_runs() {
    let _alone = alone();
    let guard = begin(Duration::from_secs(3600));
    let host = Arc::new(0_u32);
    assert!(host.attach_guard(Mutex::new(Some(guard))).is_ok());
    drop(host);
    never_hangs(|| registry().sweep());
    // The guard's thread may have found the host first, and may be about to drop the guard.
    wait_until_attaches_sweep();
}

#[test]
fn any_interval_will_do() {
    let _alone = alone();
    let notes = Notes::default();
    let guard = begin(Duration::ZERO);
    for _ in 0..fewer(10, 2) {
        pass_by(&notes, fewer(100, 4));
        wait_for_all(&notes);
    }
    never_hangs(|| drop(guard));
    for interval in [Duration::from_secs(u64::MAX), Duration::MAX, Duration::from_nanos(1)] {
        let guard = begin(interval);
        pass_by(&notes, fewer(1000, 4));
        never_hangs(|| drop(guard));
        assert!(!notes.threads().contains(&thread::current().id()));
        registry().sweep();
        assert_eq!(notes.runs(), notes.made());
        // `sweep` has run destructors on this thread.
        notes.forget_threads();
    }
    assert_attaches_sweep();
}

/// The thread of the longer interval may sleep after its first pass, before any host is dead. The thread of the shorter
/// interval must find the dead hosts.
#[test]
fn of_two_guards_the_shorter_interval_holds() {
    let _alone = alone();
    let _long = begin(Duration::from_secs(3600));
    thread::sleep(Duration::from_millis(10));
    let _short = begin(OFTEN);
    for _ in 0..fewer(5, 2) {
        let notes = Notes::default();
        pass_by(&notes, fewer(100, 4));
        wait_for_all(&notes);
    }
}

#[test]
fn sweep_may_be_called_meanwhile() {
    let _alone = alone();
    let _guard = begin(Duration::ZERO);
    let notes = Notes::default();
    for _ in 0..fewer(sized(300), 3) {
        pass_by(&notes, fewer(10, 3));
        registry().sweep();
    }
    wait_for_all(&notes);
}

#[test]
fn guards_may_come_and_go_in_several_threads() {
    let _alone = alone();
    let notes = Notes::default();
    never_hangs(|| {
        thread::scope(|scope| {
            for _ in 0..fewer(3, 2) {
                scope.spawn(|| {
                    for _ in 0..fewer(sized(100), 2) {
                        let guard = begin(OFTEN);
                        pass_by(&notes, fewer(10, 3));
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
fn an_attach_in_a_destructor_in_the_background_runs_none_either() {
    let _alone = alone();
    let _guard = begin(OFTEN);
    let notes = Notes::default();
    pass_by_and_attach(&notes, fewer(100, 4), sized(3000));
    wait_until(|| notes.left() == 0 && notes.runs() == notes.made());
    assert_eq!(notes.made(), fewer(100, 4) + sized(3000));
    assert_eq!((notes.deepest(), notes.threads().len()), (1, 1));
}

/// If an attach of the worker ran the destructors of strangers, the worker would wait for the initialiser, and the
/// initialiser for the worker.
#[test]
fn an_initialiser_may_wait_for_threads_that_attach() {
    let _alone = alone();
    let _guard = begin(OFTEN);
    let notes = Notes::default();
    for _ in 0..fewer(5, 2) {
        let host = Arc::new(0_u32);
        let strangers: Vec<_> = (0..fewer(200, 5)).map(Arc::<u32>::new).collect();
        for stranger in &strangers {
            assert!(stranger.attach_asks(Asks(Arc::downgrade(&host))).is_ok());
            assert!(stranger.attach_spy(notes.spy()).is_ok());
        }
        never_hangs(|| {
            host.get_or_attach_slot(|| {
                drop(strangers);
                thread::scope(|scope| {
                    for _ in 0..2 {
                        scope.spawn(|| pass_by(&notes, sized(3000)));
                    }
                });
                7
            });
        });
        assert_eq!(host.peek_slot(), Some(&7));
        // Destructors that have waited for the initialiser go on.
        wait_for_all(&notes);
    }
}

#[test]
fn a_destructor_that_blocks_in_the_background_holds_up_no_attach_and_no_sweep() {
    let _alone = alone();
    let door = Arc::new((Mutex::new([false; 2]), Condvar::new()));
    let open = AtEnd(|| {
        door.0.lock().unwrap_or_else(PoisonError::into_inner)[1] = true;
        door.1.notify_all();
    });
    let guard = begin(OFTEN);
    assert!(Arc::new(0_u32).attach_waits(Waits(door.clone())).is_ok());
    wait_until(|| door.0.lock().unwrap()[0]);
    let notes = Notes::default();
    never_hangs(|| {
        pass_by(&notes, sized(5000));
        assert_eq!(notes.runs(), 0, "attaches run none, though the thread does not get on");
        registry().sweep();
    });
    assert_eq!(notes.runs(), notes.made());
    drop(open);
    never_hangs(|| drop(guard));
}

#[test]
fn a_panic_in_the_background_is_logged_with_the_type_of_the_host_and_the_thread_goes_on() {
    struct Backstage;
    capture::start();
    let _alone = alone();
    let guard = begin(OFTEN);
    for _ in 0..3 {
        assert!(Arc::new(Backstage).attach_throws(Throws).is_ok());
        let notes = Notes::default();
        pass_by(&notes, fewer(100, 3));
        wait_for_all(&notes);
    }
    wait_until(|| lines_with("Backstage").len() >= 3);
    never_hangs(|| drop(guard));
    let lines = lines_with("Backstage");
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines.iter().all(|line| line.level <= log::Level::Warn && line.message.contains("Arc<")), "{lines:?}");
    assert_attaches_sweep();
}

/// As in a server that keeps the guard until the end of the process.
#[test]
#[cfg_attr(miri, ignore = "it runs a process")]
fn a_guard_that_is_forgotten_does_not_keep_the_process() {
    const NAME: &str = "sweep_background::a_guard_that_is_forgotten_does_not_keep_the_process";
    if child::part().is_some() {
        mem::forget(begin(OFTEN));
        let notes = Notes::default();
        pass_by(&notes, 100);
        wait_for_all(&notes);
        return;
    }
    let output = child::play(NAME, "forgets");
    assert!(output.status.success(), "{output:?}");
}
