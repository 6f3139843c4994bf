//! The registry: every field in use in this process, with its counts.
//!
//! In: fields, at their first attach. Out: [`registry()`], its report, and the sweep. Neighbours: `counts.rs`, the
//! counters of threads; `report.rs`, the rows; `host/arc/sweep.rs`, the sweep.
//!
//! A declaration has a [`Field`] for each field, in a static. The first attach enters the field into the list, once,
//! and gives the field its number. A thread counts by this number in its own counters; a report adds the counters up
//! (`counts.rs`).
//!
//! No code allocates under the lock: the global allocator may have fields of its own.
#![forbid(unsafe_code)]

#[cfg_attr(not(feature = "counts"), path = "no_counts.rs")]
mod counts;
mod field;
mod report;
mod table;

pub use field::Field;
pub use report::{Report, Row};

use std::time::Duration;
use std::{io, iter};

use crate::host::{BackgroundSweep, ManualSweep};
use crate::sync::plain::{Mutex, lock};
use counts::Blocks;

static ENTERED: Mutex<Entered> = Mutex::new(Entered { ends: None, count: 0, blocks: Blocks::new() });

/// The fields in use, an intrusive list in the order of their numbers, and the counters of all threads.
struct Entered {
    /// The first field and the last field.
    ends: Option<[&'static Field; 2]>,
    count: usize,
    blocks: Blocks,
}

/// The registry of this process.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(attach serial: u64)]
/// struct Order { shadow: ShadowFields }
///
/// let order = Order::default();
/// order.attach_serial(1).unwrap();
///
/// let report = registry().report();
/// println!("{report}");
/// let serial = report.iter().find(|row| row.field() == "serial").unwrap();
/// # #[cfg(feature = "counts")]
/// assert_eq!((serial.host(), serial.live()), ("Order", 1));
/// ```
#[must_use]
pub fn registry() -> Registry {
    Registry { _private: () }
}

/// All shadow fields of this process. Returned by [`registry()`].
///
/// ```
/// use shadow_runtime::registry;
///
/// let registry = registry();
/// assert_eq!(registry.sweep(), 0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Registry {
    _private: (),
}

impl Registry {
    /// A snapshot: a row for each field that was ever attached, in the order of first attaches.
    ///
    /// The report adds up the counts of all threads. A count that happens before the call is in the report; a
    /// concurrent count may be missing, also in part. The call takes a lock that a thread otherwise takes only for the
    /// first attach of a field; for its own first count, and a few more as the thread meets more fields; and at its
    /// end. Without the feature `counts`, all counts are 0.
    ///
    /// ```
    /// let report = shadow_runtime::registry().report();
    /// assert_eq!(report.iter().count(), 0);
    /// ```
    #[must_use]
    pub fn report(self) -> Report {
        let mut rows = Vec::new();
        loop {
            let entered = lock(&ENTERED);
            if rows.capacity() >= entered.count {
                rows.extend(entered.fields().map(|field| Row::of(field, &entered.blocks)));
                return Report::of(rows);
            }
            let count = entered.count;
            drop(entered);
            rows.reserve_exact(count);
        }
    }

    /// Drops the fields of all dead `Arc` hosts. Returns the number of hosts that this call has dropped.
    ///
    /// A host is dead after the drop of its last `Arc`. The call drops each host that was dead at the start of the
    /// call, and each host that dies by such a drop. Exceptions: the call may leave hosts that another thread is moving
    /// or dropping just then to a later sweep. If destructors of this call attach to new hosts, the call starts again,
    /// four times at most. A program need not call: an attach drops a few dead hosts, unless
    /// [`sweep_in_background`](Self::sweep_in_background) or [`sweep_by_hand`](Self::sweep_by_hand) is in effect.
    ///
    /// One to three passes reach every `Arc` host; further passes follow until a pass finds no dead host. So the time
    /// is linear in the number of hosts, except for hosts that own one another in random order: a chain of such hosts
    /// takes a pass for about two hosts. From such a chain of more than about 20,000 hosts, the call drops a part
    /// within half a second, and leaves the rest to a later call. The call does not wait for hosts with concurrent
    /// attaches, so the call returns whatever other threads do. Destructors run under no lock. A call in a destructor
    /// of a dead host works; a call two such destructors deep returns 0.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{registry, shadow};
    ///
    /// shadow! { trait Named for Arc<u8> { attach name: String; } }
    ///
    /// let host = Arc::new(1);
    /// host.attach_name("one".into()).unwrap();
    /// assert_eq!(registry().sweep(), 0);
    /// drop(host);
    /// assert_eq!(registry().sweep(), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// If a destructor panics: the first panic is raised again after the last destructor.
    #[expect(clippy::must_use_candidate, reason = "mostly called for what it does")]
    pub fn sweep(self) -> usize {
        crate::host::sweep()
    }

    /// Starts a thread that drops the fields of dead `Arc` hosts, until the guard is dropped.
    ///
    /// Bind the guard to a name: `let _ =` drops the guard at once. While the guard lives, no attach runs a destructor
    /// of a dead host. So destructors run on the guard's thread, which holds no lock of the program and runs no
    /// initialiser. The guard suits a server, and a program with an async runtime. A library leaves the choice to the
    /// program.
    ///
    /// The thread starts a sweep every `interval / 2`, or a millisecond after the previous sweep if a sweep takes
    /// longer. A panic of a destructor goes to the log (feature `log`). Guards may overlap; each guard has a thread. In
    /// the child of a `fork` the guard has no thread, and attaches do not sweep during the guard's life: call
    /// [`sweep`](Self::sweep), or drop the guard.
    ///
    /// ```
    /// use std::time::Duration;
    /// use shadow_runtime::registry;
    ///
    /// let _sweep = registry().sweep_in_background(Duration::from_millis(100)).expect("a thread");
    /// ```
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread.
    pub fn sweep_in_background(self, interval: Duration) -> io::Result<BackgroundSweep> {
        BackgroundSweep::spawn(interval)
    }

    /// Until the drop of the guard, only [`sweep`](Self::sweep) and background threads run destructors of dead `Arc`
    /// hosts.
    ///
    /// Bind the guard to a name: `let _ =` drops the guard at once. The number of dead hosts has no bound between two
    /// sweeps. Guards act on the whole process.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{registry, shadow};
    ///
    /// shadow! { trait Named for Arc<u8> { attach name: String; } }
    ///
    /// let by_hand = registry().sweep_by_hand();
    /// for number in 0..100 {
    ///     Arc::new(number).attach_name(number.to_string()).unwrap();
    /// }
    /// assert_eq!(registry().sweep(), 100);
    /// drop(by_hand);
    /// ```
    pub fn sweep_by_hand(self) -> ManualSweep {
        ManualSweep::new()
    }
}

impl Entered {
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        iter::successors(self.ends.map(|[first, _]| first), |field| field.next().get())
    }
}

/// Enters a field into the list, at the first attach.
#[cold]
fn enter(field: &'static Field) {
    let mut entered = lock(&ENTERED);
    // A second thread may have entered the field since this thread's check.
    if field.counts().is_entered() {
        return;
    }
    let first = entered.ends.map_or(field, |[first, last]| {
        // The last field has no successor, and only a thread with the lock sets the successor.
        let _ = last.next().set(field);
        first
    });
    entered.ends = Some([first, field]);
    field.counts().enter(entered.count);
    entered.count += 1;
}
