//! Rule R3, wake-up: a thread that waits for an initialiser continues after the failure of the initialiser. This holds
//! also if the failed thread starts a second initialiser of the same field before the waiting thread is scheduled.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach value: u32)]
struct Host {
    shadow: ShadowFields,
}

#[test]
fn a_waiter_goes_on_when_one_thread_fails_again_and_again() {
    let done = Arc::new(AtomicBool::new(false));
    let watch = Arc::clone(&done);
    let watchdog = thread::spawn(move || {
        let start = Instant::now();
        while !watch.load(Ordering::Relaxed) {
            if start.elapsed() > Duration::from_secs(120) {
                eprintln!("a waiter was not woken");
                process::abort();
            }
            thread::park_timeout(Duration::from_millis(50));
        }
    });

    for _ in 0..if cfg!(miri) { 5 } else { 200 } {
        let host = Host::default();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for _ in 0..50 {
                    let failed = host.get_or_try_attach_value(|| {
                        thread::yield_now();
                        Err(())
                    });
                    if failed.is_ok() {
                        break;
                    }
                }
            });
            start.wait();
            assert_eq!(*host.get_or_attach_value(|| 7), 7);
        });
        assert_eq!(host.peek_value(), Some(&7));
    }

    done.store(true, Ordering::Relaxed);
    watchdog.thread().unpark();
    watchdog.join().unwrap();
}
