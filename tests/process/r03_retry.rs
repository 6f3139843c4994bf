//! Rule R3, for retries: after the failure of an initialiser, the next caller, waiting or new, runs its own
//! initialiser. This file has a process of its own: an unrelated initialiser's end could wake a waiting thread, and
//! hide a missing wake-up.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach answer: u32)]
struct Task {
    shadow: ShadowFields,
}

/// One thread fails, and requests the field again at once, before the waiting thread has woken up.
#[test]
fn a_caller_that_fails_and_at_once_asks_again_keeps_nobody_waiting_for_ever() {
    support::never_hangs(|| {
        for _ in 0..support::fewer(10, 3) {
            let task = Task::default();
            let inside = Barrier::new(2);
            thread::scope(|scope| {
                let waiting = scope.spawn(|| {
                    inside.wait();
                    *task.get_or_attach_answer(|| 3)
                });
                let failed = task.get_or_try_attach_answer(|| {
                    inside.wait();
                    // The test cannot observe the moment when the second thread falls asleep.
                    thread::sleep(Duration::from_millis(10));
                    Err("not yet")
                });
                assert_eq!(failed, Err("not yet"));
                let mine = *task.get_or_attach_answer(|| {
                    thread::sleep(Duration::from_millis(10));
                    2
                });
                assert_eq!(waiting.join().unwrap(), mine);
            });
        }
    });
}
