//! Helpers that the test binaries share.
#![allow(dead_code, reason = "each binary uses what it needs")]

pub(crate) mod capture;
pub(crate) mod child;
pub(crate) mod memory;
pub(crate) mod spy;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
pub(crate) mod stopping;
pub(crate) mod tally;

use std::io::{self, Write};
#[cfg(miri)]
use std::panic;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{env, process, thread};

/// The time after which a test counts as hanging. A correct test takes milliseconds; `SHADOW_TEST_SECONDS` sets a
/// longer limit for slow environments such as a sanitizer.
pub(crate) fn limit() -> Duration {
    let seconds = env::var("SHADOW_TEST_SECONDS").ok().and_then(|seconds| seconds.parse().ok());
    Duration::from_secs(seconds.unwrap_or(if cfg!(miri) { 3600 } else { 30 }))
}

/// The size of a test whose full size is `number`: a thousandth under Miri, or one part in `SHADOW_TEST_PART`, as under
/// a sanitizer.
pub(crate) fn sized(number: usize) -> usize {
    let part = env::var("SHADOW_TEST_PART").ok().and_then(|part| part.parse().ok());
    number.div_ceil(part.unwrap_or(if cfg!(miri) { 1000 } else { 1 }))
}

/// Runs `test`. If `test` does not end in time, aborts the process with a message, so that a deadlock fails and does
/// not hang.
pub(crate) fn never_hangs<R>(test: impl FnOnce() -> R) -> R {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let (limit, (running, ended)) = (limit(), mpsc::channel::<()>());
    let watchdog = thread::spawn(move || {
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            // Bypasses `eprintln!`, whose output the test harness holds back until the end of the test.
            let _ = writeln!(io::stderr(), "`{name}` hangs: it has not ended within {limit:?}");
            process::abort();
        }
    });
    let result = test();
    drop(running);
    watchdog.join().unwrap();
    result
}

/// The size of a test: `count`, or `under_miri` under Miri, where a step takes a thousand times as long.
pub(crate) const fn fewer<T: Copy>(count: T, under_miri: T) -> T {
    if cfg!(miri) { under_miri } else { count }
}

/// Runs `body`, which must panic, and returns the panic's message.
pub(crate) fn panic_of<R>(body: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(body)) else { panic!("it does not panic") };
    match payload.downcast::<String>() {
        Ok(message) => *message,
        Err(payload) => payload.downcast_ref::<&str>().copied().unwrap_or("no message").to_owned(),
    }
}

/// Runs `work` in a new thread, and waits for the end.
pub(crate) fn elsewhere<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// Turns off backtraces under Miri, for tests with a panic during unwinding: std prints a full backtrace of every such
/// panic, which takes seconds under Miri.
pub(crate) fn without_backtraces() {
    #[cfg(miri)]
    panic::set_hook(Box::new(|info| eprintln!("{info}")));
}

/// Runs a closure on drop, also during unwinding: for example, to tell the other threads of a test to end.
pub(crate) struct AtEnd<F: FnMut()>(pub(crate) F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// Leaks an object, as if the object were a static.
pub(crate) fn forever<T: Sync>(object: T) -> &'static T {
    /// Keeps the objects reachable, so that a leak sanitizer and Miri report no leak.
    static ALL: Mutex<Vec<&'static (dyn Sync + 'static)>> = Mutex::new(Vec::new());
    let object: &'static T = Box::leak(Box::new(object));
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(object);
    object
}

/// Counts the values made and the values dropped.
#[derive(Clone, Default)]
pub(crate) struct Census {
    counts: Arc<[AtomicUsize; 2]>,
}

impl Census {
    /// Makes a counted value.
    pub(crate) fn life(&self) -> Life {
        self.counts[0].fetch_add(1, Ordering::SeqCst);
        Life { census: self.clone() }
    }

    pub(crate) fn made(&self) -> usize {
        self.counts[0].load(Ordering::SeqCst)
    }

    pub(crate) fn dropped(&self) -> usize {
        self.counts[1].load(Ordering::SeqCst)
    }
}

/// A value whose construction, clones and drop are counted.
pub(crate) struct Life {
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
pub(crate) struct Diary {
    entries: Arc<Mutex<Vec<&'static str>>>,
}

impl Diary {
    pub(crate) fn write(&self, entry: &'static str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    pub(crate) fn read(&self) -> Vec<&'static str> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A value whose destructor records its name, and panics if `panics` is set.
pub(crate) struct Noted {
    pub(crate) name: &'static str,
    pub(crate) diary: Diary,
    pub(crate) panics: bool,
}

impl Noted {
    pub(crate) fn quiet(name: &'static str, diary: &Diary) -> Self {
        Self { name, diary: diary.clone(), panics: false }
    }

    pub(crate) fn panicking(name: &'static str, diary: &Diary) -> Self {
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
