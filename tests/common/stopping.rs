//! A thread that is stopped by a signal, wherever it is, again and again: for rule R10.

use std::os::unix::thread::RawPthread;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::{AtEnd, never_hangs};

const SIGUSR1: i32 = 10;

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn pthread_kill(thread: RawPthread, number: i32) -> i32;
    safe fn pthread_self() -> RawPthread;
}

static STOPPED: AtomicBool = AtomicBool::new(false);
static MAY_GO_ON: AtomicBool = AtomicBool::new(true);

/// Does only what a signal handler may: it uses atomics, and yields.
extern "C" fn stop(_: i32) {
    STOPPED.store(true, Ordering::SeqCst);
    while !MAY_GO_ON.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    STOPPED.store(false, Ordering::SeqCst);
}

/// Waits until the worker has stopped, or goes on, and says whether it did: when it panics, it does neither.
fn wait_until(stopped: bool, worker: &ScopedJoinHandle<'_, ()>) -> bool {
    while STOPPED.load(Ordering::SeqCst) != stopped {
        if worker.is_finished() {
            return false;
        }
        thread::yield_now();
    }
    true
}

/// Runs `work` over and over in another thread, stops it again and again, and each time calls `meanwhile`, which must
/// not allocate: the thread may have been stopped inside of the allocator. One test of a binary may use it.
pub(crate) fn stopped_anywhere(mut work: impl FnMut() + Send, meanwhile: impl Fn()) {
    never_hangs(|| {
        // SAFETY: the handler does only what a handler may, and no other part of this program uses the signal.
        unsafe { signal(SIGUSR1, stop) };
        let (running, thread, turns) = (AtomicBool::new(true), OnceLock::new(), AtomicUsize::new(0));
        // The first read in a thread may set something up in it.
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
                // On a busy machine each stop takes a while, and fewer have to do; but the worker has to get on.
                let enough = stops >= 5000 || begin.elapsed() > Duration::from_secs(2);
                if enough && turns.load(Ordering::Relaxed) > 100 {
                    break;
                }
                // So that it is stopped somewhere else each time.
                for _ in 0..stops * 7919 % 4000 {
                    std::hint::spin_loop();
                }
                MAY_GO_ON.store(false, Ordering::SeqCst);
                // SAFETY: the thread has not been joined, nor detached, since its handle is still here.
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
