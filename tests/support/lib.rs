//! Helpers of the tests. Every test binary of this package uses this library.
//!
//! In: tests, their values and their threads. Out: counts of values, of allocations and of dead hosts; captured log
//! lines; and an abort with a message instead of a hang.
#![allow(missing_docs, missing_debug_implementations, reason = "the names say it; nobody prints a helper")]
#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::new_without_default,
    reason = "a helper panics if the test fails"
)]

pub mod capture;
pub mod child;
pub mod memory;
pub mod spy;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
pub mod stopping;
pub mod tally;

use std::io::{self, Write};
#[cfg(miri)]
use std::panic;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{env, mem, process, thread};

use shadow_runtime::registry;

/// The time after which a test counts as hanging. A correct test takes some seconds at most on an idle machine, and far
/// longer on a busy one. `SHADOW_TEST_SECONDS` sets a longer limit for slow environments such as a sanitizer.
pub fn limit() -> Duration {
    let seconds = env::var("SHADOW_TEST_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(if cfg!(miri) { 3600 } else { 120 }))
}

/// The size of a test whose full size is `number`: the full size with optimisations, a quarter without, and a
/// thousandth under Miri. `SHADOW_TEST_PART=N` sets one part in `N`.
pub fn sized(number: usize) -> usize {
    let part = env::var("SHADOW_TEST_PART").ok().and_then(|part| part.parse().ok());
    let default = match () {
        () if cfg!(miri) => 1000,
        () if cfg!(debug_assertions) => 4,
        () => 1,
    };
    number.div_ceil(part.unwrap_or(default))
}

/// Runs `test`. If `test` does not end in time, aborts the process with a message, so that a deadlock fails and does
/// not hang.
pub fn never_hangs<R>(test: impl FnOnce() -> R) -> R {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (limit, (running, ended)) = (limit(), mpsc::channel::<()>());
    let watchdog = thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            say(&format!("`{name}` hangs: it has not ended within {limit:?}"));
            process::abort();
        }
    });
    let result = test();
    drop(running);
    watchdog.join().unwrap();
    result
}

/// Runs `action` on a second thread. The closure passed to `action` stops the thread until `meanwhile` has run.
pub fn in_the_middle_of(action: impl FnOnce(&(dyn Fn() + Send + Sync)) + Send, meanwhile: impl FnOnce()) {
    never_hangs(|| {
        let (arrive, arrived) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        thread::scope(|scope| {
            scope.spawn(move || {
                action(&|| {
                    // After `meanwhile`, the send fails and the thread does not stop again.
                    if arrive.send(()).is_ok() {
                        let _ = may_go_on.lock().unwrap().recv();
                    }
                });
            });
            arrived.recv().unwrap();
            meanwhile();
            drop(arrived);
            drop(go_on);
        });
    });
}

/// Writes a line to stderr. Bypasses `eprintln!`: the test harness holds back its output until the end of the test, and
/// it may not work at the end of the process.
pub fn say(message: &str) {
    let _ = writeln!(io::stderr(), "{message}");
}

/// The size of a test: `count`, or `under_miri` under Miri, where a step takes a thousand times as long.
pub const fn fewer<T: Copy>(count: T, under_miri: T) -> T {
    if cfg!(miri) { under_miri } else { count }
}

/// Excludes the other tests of the process that call this function, and sweeps: the table of `Arc` hosts belongs to the
/// process, so a test that counts dead hosts starts without any, and no other test sweeps meanwhile.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    registry().sweep();
    guard
}

/// [`alone`], for a test that leaves hosts with destructors that panic: the end of the test sweeps these hosts.
pub fn alone_with_panics() -> impl Drop {
    struct Ends {
        _guard: MutexGuard<'static, ()>,
    }

    impl Drop for Ends {
        fn drop(&mut self) {
            // The payload of such a panic may panic on drop, too.
            let _ = catch_unwind(|| registry().sweep()).map_err(mem::forget);
        }
    }

    Ends { _guard: alone() }
}

/// Runs `body`, which must panic, and returns the panic's message.
pub fn panic_of<R>(body: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(body)) else { panic!("it does not panic") };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().copied().unwrap_or("no message").to_owned(),
    }
}

/// Runs `work` in a new thread, and waits for the end.
pub fn elsewhere<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Turns off backtraces under Miri, for tests with a panic during unwinding: std prints a full backtrace of every such
/// panic, which takes seconds under Miri.
pub fn without_backtraces() {
    #[cfg(miri)]
    panic::set_hook(Box::new(|info| eprintln!("{info}")));
}

/// Runs a closure on drop, also during unwinding: for example, to tell the other threads of a test to end.
pub struct AtEnd<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Leaks an object, as if the object were a static.
pub fn forever<T: Sync>(object: T) -> &'static T {
    /// Keeps the objects reachable, so that a leak sanitizer and Miri report no leak.
    static ALL: Mutex<Vec<&'static (dyn Sync + 'static)>> = Mutex::new(Vec::new());
    let object: &'static T = Box::leak(Box::new(object));
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(object);
    object
}

/// Counts the values made and the values dropped.
#[derive(Clone, Default)]
pub struct Census {
    counts: Arc<[AtomicUsize; 2]>,
}

impl Census {
    /// Makes a counted value.
    pub fn life(&self) -> Life {
        self.counts[0].fetch_add(1, Ordering::SeqCst);
        Life { census: self.clone() }
    }

    pub fn made(&self) -> usize {
        self.counts[0].load(Ordering::SeqCst)
    }

    pub fn dropped(&self) -> usize {
        self.counts[1].load(Ordering::SeqCst)
    }
}

/// A value whose construction, clones and drop are counted.
pub struct Life {
    census: Census,
}

impl Clone for Life {
    fn clone(&self) -> Self {
        self.census.life()
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.census.counts[1].fetch_add(1, Ordering::SeqCst);
    }
}

/// The entries that destructors record, in the order of execution.
#[derive(Clone, Default)]
pub struct Diary {
    entries: Arc<Mutex<Vec<&'static str>>>,
}

impl Diary {
    pub fn write(&self, entry: &'static str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub fn read(&self) -> Vec<&'static str> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A value whose destructor records its name, and panics if `panics` is set.
pub struct Noted {
    pub name: &'static str,
    pub diary: Diary,
    pub panics: bool,
}

impl Noted {
    pub fn quiet(name: &'static str, diary: &Diary) -> Self {
        Self { name, diary: diary.clone(), panics: false }
    }

    pub fn panicking(name: &'static str, diary: &Diary) -> Self {
        without_backtraces();
        Self { name, diary: diary.clone(), panics: true }
    }
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.diary.write(self.name);
        assert!(!self.panics, "the destructor of {} panics", self.name);
    }
}

/// A pseudo-random number generator (xorshift) with a fixed sequence for each seed.
pub struct Random(pub u64);

impl Random {
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}
