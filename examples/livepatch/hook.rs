//! The place that calls go through, and where they can be led elsewhere: it plays ftrace and the kernel's livepatch
//! core.
//!
//! In: calls of a handler, and now and then another handler. Out: the handler for each call.
//!
//! Nobody is stopped for a patch. Each thread goes over to the new handler with its next call, so for a moment calls of
//! the old one and of the new one run side by side, and a lock that only the new one takes protects nobody yet. The
//! kernel calls this the transition; it is over when every thread has been seen outside of the old code.
//! [`Hook::replace`] returns when it is over. What a patch promises holds from then on, not before.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// How long a transition may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often it is looked whether the transition is over.
const POLL: Duration = Duration::from_micros(20);

/// Leads every call to the handler of the day.
pub(crate) struct Hook<H: ?Sized> {
    handler: RwLock<Arc<H>>,
}

impl<H: ?Sized> Hook<H> {
    pub(crate) fn new(original: Arc<H>) -> Self {
        Self { handler: RwLock::new(original) }
    }

    /// The handler for one call. Who keeps it beyond that call keeps the transition from ending.
    pub(crate) fn enter(&self) -> Arc<H> {
        Arc::clone(&self.handler.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes `handler` the one that new calls go to, and waits until no call of the old one is left. Returns how long
    /// that took.
    pub(crate) fn replace(&self, mut handler: Arc<H>) -> Result<Duration, String> {
        let start = Instant::now();
        std::mem::swap(&mut *self.handler.write().unwrap_or_else(PoisonError::into_inner), &mut handler);
        let mut old = handler;
        // Each call holds an `Arc` of its handler, so the last one that is left is ours when all calls have returned.
        while Arc::get_mut(&mut old).is_none() {
            if start.elapsed() > PATIENCE {
                return Err(format!("a call of the old handler has not returned for {PATIENCE:?}"));
            }
            thread::sleep(POLL);
        }
        Ok(start.elapsed())
    }
}
