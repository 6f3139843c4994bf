//! Runs several pieces of user code in a row; each may panic (rule R5).
//!
//! In: pieces of user code, one at a time, mostly destructors. Out: all pieces have run. The first panic is raised
//! again at the end. If the user code is foreign to the caller, the first panic is discarded instead. Neighbours:
//! `fields/mod.rs` and `fields/node.rs`, the drop of a host's fields; `fields/clone.rs`, the clone of a host's fields;
//! `host/arc/sweep.rs`, the fields of dead hosts; `hazard/retired.rs`, replaced values.
//!
//! The log gets all other panics, at the level `error`, with the field and the host type (R11): the second and later
//! panics, discarded panics, and panics during unwinding, where a raised panic would abort the process. A panic of the
//! logger is contained. Without the feature `log`, only the panic hook knows of these panics.
#![forbid(unsafe_code)]

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{mem, thread};

type Payload = Box<dyn Any + Send>;

/// The first panic of several pieces of user code.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[must_use = "a panic is either raised again or discarded"]
pub struct Panics {
    first: Option<First>,
    context: Option<Context>,
}

/// The owner of the user code, for the log.
#[derive(Clone, Copy)]
enum Context {
    /// Fields of a dead host of this type.
    DeadHost(fn() -> &'static str),
    Words(&'static str),
}

struct First {
    payload: Payload,
    /// The user code's name in the log. Empty without the feature `log`.
    owner: String,
}

impl Panics {
    pub(crate) const fn none() -> Self {
        Self { first: None, context: None }
    }

    /// As [`none`](Self::none), for the fields of a dead host of this type.
    pub(crate) const fn of_dead_host(host: fn() -> &'static str) -> Self {
        Self { first: None, context: Some(Context::DeadHost(host)) }
    }

    /// As [`none`](Self::none), with more words for the log.
    pub(crate) const fn with_context(words: &'static str) -> Self {
        Self { first: None, context: Some(Context::Words(words)) }
    }

    /// Runs `user_code`, and keeps its panic if it is the first. The log calls the user code `owner`.
    pub(crate) fn contain(&mut self, owner: &dyn Display, user_code: impl FnOnce()) {
        // Unwind safe: `user_code` leaves at most a partly dropped value, which no code reaches again.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(user_code)) {
            self.record(owner, payload);
        }
    }

    #[cold]
    fn record(&mut self, owner: &dyn Display, payload: Payload) {
        let owner = match self.context {
            _ if !cfg!(feature = "log") => String::new(),
            None => owner.to_string(),
            Some(Context::DeadHost(host)) => format!("{owner}, of a dead `{}`,", host()),
            Some(Context::Words(words)) => format!("{owner}, {words},"),
        };
        if self.first.is_some() {
            log(&owner, payload);
        } else {
            self.first = Some(First { payload, owner });
        }
    }

    /// Whether there was a panic.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.first.is_some()
    }

    /// Raises the first panic again. During unwinding, a second panic would abort the process, so the log gets the
    /// first panic instead.
    #[inline]
    pub(crate) fn raise(self) {
        if let Some(first) = self.first {
            raise(first);
        }
    }

    /// Raises the first panic again, also during unwinding: for a caller that cannot return a result.
    #[inline]
    pub(crate) fn raise_always(self) {
        if let Some(first) = self.first {
            resume_unwind(first.payload);
        }
    }

    /// Discards the first panic: the user code is foreign to the caller. The log gets the panic.
    #[inline]
    pub(crate) fn discard(self) {
        if let Some(first) = self.first {
            discard(first);
        }
    }
}

#[cold]
fn raise(first: First) {
    if thread::panicking() {
        log(&first.owner, first.payload);
    } else {
        resume_unwind(first.payload);
    }
}

#[cold]
fn discard(first: First) {
    log(&first.owner, first.payload);
}

/// Logs a panic, and drops its payload.
#[cold]
fn log(owner: &dyn Display, payload: Payload) {
    #[cfg(feature = "log")]
    {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let message = text.or_else(|| payload.downcast_ref().copied()).unwrap_or("a payload without text");
        let log = || log::error!(target: "shadow_runtime", "user code of {owner} panicked: {message}");
        if let Err(of_logger) = catch_unwind(AssertUnwindSafe(log)) {
            drop_payload(of_logger);
        }
    }
    #[cfg(not(feature = "log"))]
    let _ = owner;
    drop_payload(payload);
}

/// Drops the payload of a panic. If the payload's destructor panics, leaks the second payload.
#[cold]
fn drop_payload(payload: Payload) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }
}

#[cfg(all(test, feature = "log", not(loom)))]
pub(crate) mod tests {
    use std::panic::panic_any;
    use std::sync::{Mutex, MutexGuard, Once, PoisonError};

    use log::{Level, LevelFilter, Log, Metadata, Record};

    use super::*;

    /// Keeps lines, and then panics if a line asks for a panic.
    struct Logger;

    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

    /// A lock of the test, not one of the library's.
    fn all_lines() -> MutexGuard<'static, Vec<String>> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner)
    }

    impl Log for Logger {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn log(&self, record: &Record<'_>) {
            let line = record.args().to_string();
            assert_eq!((record.level(), record.target()), (Level::Error, "shadow_runtime"), "{line}");
            all_lines().push(line.clone());
            assert!(!line.contains("the logger panics"));
        }

        fn flush(&self) {}
    }

    /// The lines with these words that `work` logs.
    pub(crate) fn logs(words: &str, work: impl FnOnce()) -> Vec<String> {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            log::set_logger(&Logger).expect("there is one logger");
            log::set_max_level(LevelFilter::Trace);
        });
        let lines = || all_lines().iter().filter(|line| line.contains(words)).cloned().collect::<Vec<_>>();
        let before = lines().len();
        work();
        lines().split_off(before)
    }

    #[test]
    fn a_row_of_panics_is_raised_as_the_first_and_logged_as_the_rest() {
        let mut raised = None;
        let logged = logs("of the row", || {
            let mut panics = Panics::none();
            panics.contain(&"calm code of the row", || ());
            for number in 1..4 {
                panics.contain(&format_args!("number {number} of the row"), || panic!("boom {number}"));
            }
            raised = catch_unwind(AssertUnwindSafe(|| panics.raise())).err();
        });
        assert_eq!(raised.expect("it is raised").downcast_ref::<String>().map(String::as_str), Some("boom 1"));
        let expected = [2, 3].map(|number| format!("user code of number {number} of the row panicked: boom {number}"));
        assert_eq!(logged, expected);
    }

    #[test]
    fn a_discarded_panic_is_logged_whatever_its_payload_and_its_logger_do() {
        struct Throws;
        impl Drop for Throws {
            fn drop(&mut self) {
                panic!("the payload panics");
            }
        }
        let discard = |owner: &str, code: fn()| {
            let mut panics = Panics::with_context("of a stranger");
            panics.contain(&owner, code);
            panics.discard();
        };
        let logged = logs("of a stranger", || {
            discard("a value", || panic!("boom"));
            discard("a value", || panic_any(Throws));
            discard("a value", || panic!("the logger panics"));
            discard("a calm value", || ());
        });
        let expected = ["boom", "a payload without text", "the logger panics"];
        assert_eq!(logged, expected.map(|text| format!("user code of a value, of a stranger, panicked: {text}")));
    }

    #[test]
    fn a_panic_that_would_abort_the_process_is_logged() {
        // std prints a full backtrace of a panic during unwinding, which takes seconds under Miri.
        #[cfg(miri)]
        std::panic::set_hook(Box::new(|info| eprintln!("{info}")));
        struct Raises;
        impl Drop for Raises {
            fn drop(&mut self) {
                let mut panics = Panics::none();
                panics.contain(&"the second", || panic!("boom"));
                panics.raise();
            }
        }
        let logged = logs("the second", || {
            let unwinding = catch_unwind(|| {
                let _raises = Raises;
                panic!("the first");
            });
            assert_eq!(unwinding.expect_err("it panics").downcast_ref(), Some(&"the first"));
        });
        assert_eq!(logged, ["user code of the second panicked: boom"]);
    }
}
