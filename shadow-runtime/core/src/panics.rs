//! Several destructors, of which any may panic (rule R5).
//!
//! In: pieces of user code, one at a time. Out: all of them run, and the first panic is raised again at the end, or
//! dropped where it would reach somebody who has nothing to do with it.
#![forbid(unsafe_code)]

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::{fmt, mem, thread};

/// The first panic of several pieces of user code.
#[derive(Default)]
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[must_use = "a panic is either raised again or discarded"]
pub struct Panics {
    first: Option<Box<dyn Any + Send>>,
}

impl Panics {
    pub(crate) const fn none() -> Self {
        Self { first: None }
    }

    /// Runs `user_code`, and keeps its panic if it is the first.
    pub(crate) fn contain(&mut self, user_code: impl FnOnce()) {
        // What `user_code` leaves half done is a value that is being dropped, which nobody sees again.
        if let Err(payload) = catch_unwind(AssertUnwindSafe(user_code)) {
            if self.first.is_none() {
                self.first = Some(payload);
            } else {
                forget(payload);
            }
        }
    }

    /// Whether there was a panic.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.first.is_some()
    }

    /// Raises the first panic again. While the thread unwinds already, a second one would abort the process, so there
    /// it is dropped.
    #[inline]
    pub(crate) fn raise(mut self) {
        if let Some(payload) = self.first.take() {
            raise(payload);
        }
    }

    /// Drops the panic: it came out of a stranger's destructor, and is not for the caller at hand.
    #[inline]
    pub(crate) fn discard(mut self, _whose: &dyn fmt::Display) {
        if let Some(payload) = self.first.take() {
            forget(payload);
        }
    }
}

#[cold]
fn raise(payload: Box<dyn Any + Send>) {
    if thread::panicking() {
        forget(payload);
    } else {
        resume_unwind(payload);
    }
}

/// Drops a panic's payload, or leaks it if its own destructor panics.
#[cold]
fn forget(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        mem::forget(again);
    }
}
