//! Guards that keep attaches from running destructors of dead hosts, and the thread that does it instead.
//!
//! In: `registry().sweep_in_background(...)` and `registry().sweep_by_hand()`. Out: a guard for each. Neighbour: `sweep.rs`,
//! which asks [`attaches_sweep`].

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fmt, io};

use crate::host::arc::sweep;
use crate::sync::Ordering;
use crate::sync::plain::AtomicUsize;

/// How many guards there are. Relaxed: nothing else is concluded from it, and a guard that comes or goes while another
/// thread attaches may be seen by that attach or by the next.
static GUARDS: AtomicUsize = AtomicUsize::new(0);

/// Whether attaches may end dead hosts: there is no guard.
#[inline]
pub(super) fn attaches_sweep() -> bool {
    GUARDS.load(Ordering::Relaxed) == 0
}

/// While it lives, no attach runs destructors of dead `Arc` hosts: [`Registry::sweep`](crate::Registry::sweep) alone does,
/// and the threads of [`BackgroundSweep`]s. Made by [`Registry::sweep_by_hand`](crate::Registry::sweep_by_hand).
#[must_use = "attaches sweep again once it is dropped"]
pub struct ManualSweep {
    _private: (),
}

impl ManualSweep {
    pub(crate) fn new() -> Self {
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

/// While it lives, a thread of its own drops the fields of dead `Arc` hosts, and no attach does. Made by
/// [`Registry::sweep_in_background`](crate::Registry::sweep_in_background).
///
/// Dropping it ends the thread, and waits for the destructors that run there just then. If it is dropped by such a
/// destructor, it does not wait.
#[must_use = "the thread ends, and attaches sweep again, once it is dropped"]
pub struct BackgroundSweep {
    interval: Duration,
    thread: Option<JoinHandle<()>>,
    /// Dropped to end the thread.
    ends: Option<Sender<()>>,
    _guard: ManualSweep,
}

impl BackgroundSweep {
    pub(crate) fn spawn(interval: Duration) -> io::Result<Self> {
        let guard = ManualSweep::new();
        let (ends, ended) = mpsc::channel::<()>();
        let work = move || {
            // A host that dies just after a sweep has looked at it is dropped by the next one.
            let period = interval / 2;
            loop {
                let begun = Instant::now();
                sweep::sweep_contained();
                match ended.recv_timeout(period.saturating_sub(begun.elapsed())) {
                    Err(RecvTimeoutError::Timeout) => {}
                    _ => return,
                }
            }
        };
        let thread = thread::Builder::new().name("shadow-sweep".to_owned()).spawn(work)?;
        Ok(Self { interval, thread: Some(thread), ends: Some(ends), _guard: guard })
    }
}

impl Drop for BackgroundSweep {
    fn drop(&mut self) {
        drop(self.ends.take());
        if let Some(thread) = self.thread.take().filter(|thread| thread.thread().id() != thread::current().id()) {
            // The thread contains all panics of destructors.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for BackgroundSweep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("BackgroundSweep").field("interval", &self.interval).finish_non_exhaustive()
    }
}
