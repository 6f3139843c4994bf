//! A thread that is stopped by a signal, wherever it is, again and again: for rule R10.

use std::os::unix::thread::RawPthread;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
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

fn wait_until(stopped: bool) {
    while STOPPED.load(Ordering::SeqCst) != stopped {
        thread::yield_now();
    }
}

/// Runs `work` in another thread for as long as what it is given is true, stops it again and again, and each time calls
/// `meanwhile`, which must not allocate: the thread may have been stopped inside of the allocator. One test of a binary may
/// use it.
pub(crate) fn stopped_anywhere(work: impl FnOnce(&AtomicBool) + Send, meanwhile: impl Fn()) {
    never_hangs(|| {
        // SAFETY: the handler does only what a handler may, and no other part of this program uses the signal.
        unsafe { signal(SIGUSR1, stop) };
        let (running, worker) = (AtomicBool::new(true), OnceLock::new());
        // The first read in a thread may set something up in it.
        meanwhile();
        thread::scope(|scope| {
            let _end = AtEnd(|| {
                running.store(false, Ordering::Relaxed);
                MAY_GO_ON.store(true, Ordering::SeqCst);
            });
            scope.spawn(|| {
                worker.set(pthread_self()).unwrap();
                work(&running);
            });
            let worker = loop {
                if let Some(worker) = worker.get() {
                    break *worker;
                }
                thread::yield_now();
            };
            // On a busy machine each stop takes a while, and fewer have to do.
            let begin = Instant::now();
            for round in 0..5000 {
                if begin.elapsed() > Duration::from_secs(2) {
                    break;
                }
                // So that it is stopped somewhere else each time.
                for _ in 0..round * 7919 % 4000 {
                    std::hint::spin_loop();
                }
                MAY_GO_ON.store(false, Ordering::SeqCst);
                // SAFETY: the thread is running: it goes on until it is told not to, further down.
                assert_eq!(unsafe { pthread_kill(worker, SIGUSR1) }, 0);
                wait_until(true);
                meanwhile();
                MAY_GO_ON.store(true, Ordering::SeqCst);
                wait_until(false);
            }
        });
    });
}
