//! A signal handler reads fields of hosts while the interrupted thread changes the same hosts.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]

use std::os::unix::thread::RawPthread;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use support::{AtEnd, never_hangs};

unsafe extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn pthread_kill(thread: RawPthread, number: i32) -> i32;
    safe fn pthread_self() -> RawPthread;
}

const SIGUSR2: i32 = 12;

#[derive(Shadow, Default)]
#[shadow_field(attach once: u32)]
#[shadow_field(get_or_attach made: AtomicU32 = AtomicU32::new(1))]
#[shadow_field(get_or_update(copy) copied: [usize; 4])]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Later for Task { attach later: u32; }
    trait SharedFields for Arc<u64> { attach once: u32; get_or_attach made: AtomicU32 = AtomicU32::new(1); }
    trait SharedCopies for Arc<u64> { get_or_update(copy) copied: [usize; 4]; }
    trait StaticFields for &'static u64 { attach once: u32; get_or_update(copy) copied: [usize; 4]; }
}

/// Hosts of three kinds, which get their first fields while the handler reads the same hosts.
struct Hosts {
    task: Task,
    shared: Arc<u64>,
    fixed: &'static u64,
}

static HOSTS: OnceLock<Vec<Hosts>> = OnceLock::new();
static NEXT: AtomicUsize = AtomicUsize::new(0);
static LOOKS: AtomicUsize = AtomicUsize::new(0);
static FOUND: AtomicUsize = AtomicUsize::new(0);
static WRONG: AtomicUsize = AtomicUsize::new(0);

fn look_at(Hosts { task, shared, fixed }: &Hosts) {
    let values = [task.once(), task.later(), shared.once(), fixed.once()];
    let made = [task.peek_made(), shared.peek_made()];
    let copies = [task.copied(), shared.copied(), fixed.copied()];
    let wrong = values.iter().flatten().any(|&&value| value != 7)
        || made.iter().flatten().any(|made| made.load(Ordering::Relaxed) != 1)
        || copies.iter().flatten().any(|[first, rest @ ..]| rest != &[*first; 3]);
    WRONG.fetch_add(usize::from(wrong), Ordering::Relaxed);
    FOUND.fetch_add(copies.iter().flatten().count(), Ordering::Relaxed);
}

/// The signal handler: reads fields, without a lock, an allocation or a panic.
extern "C" fn look(_: i32) {
    let next = NEXT.load(Ordering::Relaxed);
    if let Some(hosts) = HOSTS.get() {
        hosts.iter().skip(next.saturating_sub(1)).take(2).for_each(look_at);
        hosts.iter().take(1).for_each(look_at);
    }
    LOOKS.fetch_add(1, Ordering::Release);
}

fn change(Hosts { task, shared, fixed }: &Hosts, round: usize) {
    for copy in [round; 4].map(|round| [round; 4]) {
        task.update_copied(copy);
        shared.update_copied_with(|_| copy);
        fixed.update_copied(copy);
    }
    // The first attaches to a fresh host. `hosts[0]` is changed in every round, and refuses later attaches.
    let _ = (task.attach_later(7), task.attach_once(7), shared.attach_once(7), fixed.attach_once(7));
    let _ = (task.made(), shared.made());
}

#[test]
fn a_signal_handler_may_look_at_fields_that_are_written_once_and_at_copied_ones() {
    never_hangs(|| {
        let hosts = |_| Hosts { task: Task::default(), shared: Arc::new(1), fixed: Box::leak(Box::new(1)) };
        let hosts = HOSTS.get_or_init(|| (0..100_000).map(hosts).collect());
        // SAFETY: the handler is async-signal-safe: reads of fields and of atomics, without a lock or an allocation. No
        // other part of the program uses the signal.
        unsafe { signal(SIGUSR2, look) };
        let (running, worker) = (AtomicBool::new(true), OnceLock::new());
        thread::scope(|scope| {
            let _end = AtEnd(|| running.store(false, Ordering::Relaxed));
            scope.spawn(|| {
                worker.set(pthread_self()).unwrap();
                let mut round = 0;
                while running.load(Ordering::Relaxed) {
                    round += 1;
                    change(&hosts[0], round);
                    if let Some(fresh) = hosts.get(NEXT.load(Ordering::Relaxed)) {
                        change(fresh, round);
                        NEXT.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
            let worker = loop {
                if let Some(worker) = worker.get() {
                    break *worker;
                }
                thread::yield_now();
            };
            let begin = Instant::now();
            for round in 0.. {
                // On a busy machine a signal takes long, so fewer signals suffice. Some reads must hit.
                let enough = round >= 20_000 || begin.elapsed() > Duration::from_secs(2);
                if enough && round > 5 && FOUND.load(Ordering::Relaxed) > 5 {
                    break;
                }
                // SAFETY: the worker runs until the end of this scope's closure sets `running` to false.
                assert_eq!(unsafe { pthread_kill(worker, SIGUSR2) }, 0);
                while LOOKS.load(Ordering::Acquire) <= round {
                    // Yields the processor to the worker, if processors are few.
                    thread::sleep(Duration::from_micros(1));
                }
            }
        });
    });
    let [looks, found, wrong] = [&LOOKS, &FOUND, &WRONG].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(wrong, 0, "of {looks} looks, which found {found}");
}
