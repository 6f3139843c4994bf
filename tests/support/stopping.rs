//! Stops a thread by signals at arbitrary points, for rule R10.
//!
//! In: the work of a thread, and the work of the test during each stop. Out: an abort if a thread waits for the stopped
//! thread.

use std::os::unix::thread::RawPthread;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::{AtEnd, never_hangs};

const SIGUSR1: i32 = 10;

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn pthread_kill(thread: RawPthread, number: i32) -> i32;
    safe fn pthread_self() -> RawPthread;
}

static STOPPED: AtomicBool = AtomicBool::new(false);
static MAY_GO_ON: AtomicBool = AtomicBool::new(true);

/// Async-signal-safe: uses atomics, and yields.
extern "C" fn stop(_: i32) {
    STOPPED.store(true, Ordering::SeqCst);
    while !MAY_GO_ON.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    STOPPED.store(false, Ordering::SeqCst);
}

/// Waits until the worker has stopped, or continues. Returns `false` if the worker has panicked instead.
fn wait_until(stopped: bool, worker: &ScopedJoinHandle<'_, ()>) -> bool {
    while STOPPED.load(Ordering::SeqCst) != stopped {
        if worker.is_finished() {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Runs `work` repeatedly in a second thread, and stops the thread repeatedly. During each stop, calls `meanwhile`,
/// which must not allocate: the thread may have stopped inside of the allocator. One call at a time runs.
pub fn stopped_anywhere(mut work: impl FnMut() + Send, meanwhile: impl Fn()) {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    never_hangs(|| {
        // SAFETY: the handler is async-signal-safe, and no other code of this program uses the signal.
        unsafe { signal(SIGUSR1, stop) };
        let (running, thread, turns) = (AtomicBool::new(true), OnceLock::new(), AtomicUsize::new(0));
        // The first read may initialise thread-locals of this thread.
        meanwhile();
        thread::scope(|scope| {
            let end = AtEnd(|| {
                running.store(false, Ordering::Relaxed);
                MAY_GO_ON.store(true, Ordering::SeqCst);
            });
            let worker = scope.spawn(|| {
                thread.set(pthread_self()).unwrap();
                while running.load(Ordering::Relaxed) {
                    work();
                    turns.fetch_add(1, Ordering::Relaxed);
                }
            });
            let thread = loop {
                if let Some(thread) = thread.get() {
                    break *thread;
                }
                thread::yield_now();
            };
            let begin = Instant::now();
            for stops in 0_u64.. {
                // On a busy machine each stop is slow, and fewer stops suffice; but the worker must make progress.
                let enough = stops >= 5000 || begin.elapsed() > Duration::from_secs(2);
                if enough && turns.load(Ordering::Relaxed) > 100 {
                    break;
                }
                // Varies the point of the stop.
                for _ in 0..stops * 7919 % 4000 {
                    std::hint::spin_loop();
                }
                MAY_GO_ON.store(false, Ordering::SeqCst);
                // SAFETY: `worker` is neither joined nor detached, so `thread` is a valid `pthread_t`.
                assert_eq!(unsafe { pthread_kill(thread, SIGUSR1) }, 0);
                if !wait_until(true, &worker) {
                    break;
                }
                meanwhile();
                MAY_GO_ON.store(true, Ordering::SeqCst);
                if !wait_until(false, &worker) {
                    break;
                }
            }
            drop(end);
            worker.join().unwrap();
        });
    });
}
