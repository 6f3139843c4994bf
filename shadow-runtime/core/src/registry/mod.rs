//! The registry: every field in use in this process, with its counts.
//!
//! In: fields, each when it is first attached. Out: [`registry()`], its report, and the sweep.
//!
//! A declaration has one [`Field`] per field, in a static. Its first attach enters it into the list, once, and gives it
//! its number. Threads count by that number, each for itself; a report adds up (`counts.rs`).
//!
//! Nothing is allocated under the lock: an allocator may have fields of its own.
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

/// The fields in use, linked through themselves in the order of their numbers, and the threads' counts of them.
struct Entered {
    /// The first field and the last.
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

/// All shadow fields of this process. Got from [`registry()`].
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
    /// What is there now: one row for each field that was ever attached, in the order of their first attach.
    ///
    /// It adds up what all threads have counted. What they count meanwhile may be in it or not, in part too; nothing is
    /// missing that was counted before by threads that this one has waited for. It takes a lock that otherwise only a
    /// field's very first attach takes, and a thread when it counts for the first time, a few times more as it meets
    /// more fields, and when it ends. Without the feature `counts`, all counts are 0.
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
    /// A host is dead when its last `Arc` is gone. The call drops each host that was dead when the call began, and each
    /// host that dies by such a drop. Exceptions: hosts that another thread is moving or dropping just then may be left
    /// to a later sweep. If destructors of this call attach to new hosts, the call begins again, four times at most. A
    /// program need not call: attaches drop a few dead hosts each, unless
    /// [`sweep_in_background`](Self::sweep_in_background) or [`sweep_by_hand`](Self::sweep_by_hand) says otherwise.
    ///
    /// One to three passes reach every `Arc` host; further passes follow until one finds no dead host. So the time is
    /// proportional to the number of hosts, but for hosts that own one another in random order: a chain of these takes
    /// a pass for about two hosts. Of such a chain with more than about 20,000 hosts, the call drops a part within half
    /// a second, and leaves the rest to a later call. The call does not wait for hosts that are attached to meanwhile,
    /// so it returns whatever other threads do. Destructors run under no lock. A call in a destructor of a dead host
    /// works; a call two such destructors deep returns 0.
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
    /// If destructors do: the first panic is raised again after all of them have run.
    #[expect(clippy::must_use_candidate, reason = "mostly called for what it does")]
    pub fn sweep(self) -> usize {
        crate::host::sweep()
    }

    /// Starts a thread that drops the fields of dead `Arc` hosts, until the guard is dropped.
    ///
    /// Bind the guard to a name: `let _ =` drops it at once. While the guard lives, no attach runs a destructor of a
    /// dead host. So destructors run on one thread, which holds none of the program's locks and is in no initialiser.
    /// It is the choice for a server and for a program with an async runtime. A library leaves the choice to the
    /// program.
    ///
    /// The thread begins a sweep every `interval / 2`, or a millisecond after the last one if a sweep takes longer. A
    /// panic of a destructor goes to the log (feature `log`). Guards may overlap; each has a thread. In the child of a
    /// `fork` the guard has no thread, and attaches do not sweep while it is there: call [`sweep`](Self::sweep), or
    /// drop the guard.
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

    /// Until the guard is dropped, only [`sweep`](Self::sweep) and background threads run destructors of dead `Arc`
    /// hosts.
    ///
    /// Bind the guard to a name: `let _ =` drops it at once. Dead hosts have no bound between two sweeps. Guards act on
    /// the whole process.
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

/// Enters a field, on its first attach.
#[cold]
fn enter(field: &'static Field) {
    let mut entered = lock(&ENTERED);
    // Two threads may both have seen that it is not entered.
    if field.counts().is_entered() {
        return;
    }
    let first = entered.ends.map_or(field, |[first, last]| {
        // The last has no next, and under the lock nobody else gives it one.
        let _ = last.next().set(field);
        first
    });
    entered.ends = Some([first, field]);
    field.counts().enter(entered.count);
    entered.count += 1;
}
