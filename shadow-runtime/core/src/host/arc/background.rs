//! Guards that keep attaches from running destructors of dead hosts, and the background thread.
//!
//! In: the calls of `on_demand.rs`. Out: a guard. Neighbour: `sweep.rs`, which calls [`attaches_may_sweep`], and has
//! the sweep of the background thread.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io, mem, process};

use crate::host::arc::sweep;
use crate::sync::Ordering;
use crate::sync::plain::AtomicUsize;

/// The number of guards. Relaxed: the number publishes no other data. An attach concurrent with the creation or the
/// drop of a guard sees the number from before or after.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// Whether attaches may destroy dead hosts: no guard exists.
#[inline]
pub(super) fn attaches_may_sweep() -> bool {
    GUARDS.load(Ordering::Relaxed) == 0
}

/// A guard: while a `ManualSweep` lives, no attach runs destructors of dead `Arc` hosts. Only
/// [`Registry::sweep`](crate::Registry::sweep) does, and the threads of [`BackgroundSweep`]s. Made by
/// [`Registry::sweep_by_hand`](crate::Registry::sweep_by_hand).
///
/// Bind the guard to a name, as in `let _sweep = ...`. The pattern `_` binds nothing: `let _ = ...` drops the guard at
/// once.
#[must_use = "attaches sweep again once it is dropped"]
pub struct ManualSweep {
    _private: (),
}

impl ManualSweep {
    pub(super) fn new() -> Self {
        GUARDS.fetch_add(1, Ordering::Relaxed);
        Self { _private: () }
    }
}

impl Drop for ManualSweep {
    fn drop(&mut self) {
        GUARDS.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for ManualSweep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ManualSweep").finish_non_exhaustive()
    }
}

/// A guard with a thread: while a `BackgroundSweep` lives, the thread drops the fields of dead `Arc` hosts, and no
/// attach does. Made by [`Registry::sweep_in_background`](crate::Registry::sweep_in_background).
///
/// Bind the guard to a name, as in `let _sweep = ...`. The pattern `_` binds nothing: `let _ = ...` drops the guard at
/// once.
///
/// The drop of the guard stops the thread, and waits for the end of a running sweep, with all destructors of the sweep.
/// So do not drop the guard while you hold a lock that a destructor takes. A destructor on the thread may drop the
/// guard: then the drop does not wait.
#[must_use = "the thread ends, and attaches sweep again, once it is dropped"]
pub struct BackgroundSweep {
    interval: Duration,
    /// The process that has the thread: the child of a `fork` has the guard alone.
    process: u32,
    thread: Option<JoinHandle<()>>,
    /// The drop of the sender stops the thread.
    ends: Option<Sender<()>>,
    _guard: ManualSweep,
}

/// The least time between two sweeps of one thread.
const SHORTEST_REST: Duration = Duration::from_millis(1);

impl BackgroundSweep {
    pub(super) fn spawn(interval: Duration) -> io::Result<Self> {
        let guard = ManualSweep::new();
        let (ends, ended) = mpsc::channel::<()>();
        let work = move || {
            // Two sweeps in an interval: a host that dies just after a look of the first is dropped by the second.
            let period = interval / 2;
            loop {
                let begun = Instant::now();
                sweep::sweep_contained();
                match ended.recv_timeout(period.saturating_sub(begun.elapsed()).max(SHORTEST_REST)) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        };
        let thread = thread::Builder::new().name("shadow-sweep".to_owned()).spawn(work)?;
        Ok(Self { interval, process: process::id(), thread: Some(thread), ends: Some(ends), _guard: guard })
    }
}

impl Drop for BackgroundSweep {
    fn drop(&mut self) {
        drop(self.ends.take());
        let Some(thread) = self.thread.take() else { return };
        if self.process != process::id() {
            // There is no such thread to wait for, nor to detach.
            mem::forget(thread);
        } else if thread.thread().id() != thread::current().id() {
            // The thread contains all panics of destructors, so the result is `Ok`.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for BackgroundSweep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BackgroundSweep").field("interval", &self.interval).finish_non_exhaustive()
    }
}
