//! The hook: redirects calls to the current handler, in the role of ftrace and the kernel's livepatch core.
//!
//! In: calls of a handler, and sometimes a new handler. Out: the handler for each call.
//!
//! A patch stops no thread. Each thread changes to the new handler with its next call. So for a moment, calls of the
//! old handler and of the new handler run side by side, and a lock in the new handler alone does not yet exclude the
//! calls of the old handler. The kernel calls this phase the transition. The transition ends when every thread has left
//! the old code. [`Hook::replace`] returns at the end of the transition. The guarantees of a patch hold from the return
//! on, and not before.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

/// The longest time of a transition.
const PATIENCE: Duration = Duration::from_secs(5);

/// The interval of the checks for the end of the transition.
const POLL: Duration = Duration::from_micros(20);

/// Directs every call to the current handler.
pub(crate) struct Hook<H: ?Sized> {
    handler: RwLock<Arc<H>>,
}

impl<H: ?Sized> Hook<H> {
    pub(crate) fn new(original: Arc<H>) -> Self {
        Self { handler: RwLock::new(original) }
    }

    /// The handler for one call. The caller drops the `Arc` at the end of the call: the transition waits for the drop.
    pub(crate) fn enter(&self) -> Arc<H> {
        Arc::clone(&self.handler.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Directs new calls to `handler`, waits until all calls of the old handler have returned, and returns the time of
    /// the wait.
    pub(crate) fn replace(&self, mut handler: Arc<H>) -> Result<Duration, String> {
        let start = Instant::now();
        std::mem::swap(&mut *self.handler.write().unwrap_or_else(PoisonError::into_inner), &mut handler);
        let mut old = handler;
        // Each call holds an `Arc` of its handler. So `get_mut` succeeds once all calls of the old handler have
        // returned.
        while Arc::get_mut(&mut old).is_none() {
            if start.elapsed() > PATIENCE {
                return Err(format!("a call of the old handler has not returned for {PATIENCE:?}"));
            }
            thread::sleep(POLL);
        }
        Ok(start.elapsed())
    }
}
