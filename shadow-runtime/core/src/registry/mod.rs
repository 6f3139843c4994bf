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

    /// Drops the fields of all dead `Arc` hosts, and returns how many such hosts this call has dropped.
    ///
    /// A host is dead when its last `Arc` is gone. Dropped is each host that was dead when the call began, and each that
    /// dies because another was dropped, but for hosts that another thread is about to drop just then: those may be dropped
    /// a moment after this returns. A call need not be made: attaches drop a few dead hosts each, unless
    /// [`sweep_in_background`](Self::sweep_in_background) or [`sweep_by_hand`](Self::sweep_by_hand) says otherwise.
    ///
    /// The time is proportional to the number of `Arc` hosts: two passes over them at least, one more if a dead one was found,
    /// and more where hosts hold one another through their fields in an order that is not that of their attach. Hosts that
    /// are attached to meanwhile are not looked at, so the call returns whatever other threads do. Destructors run under no
    /// lock. Inside a destructor that runs inside another one, by way of a sweep, a call does nothing and returns 0.
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

    /// Has a thread of its own drop the fields of dead `Arc` hosts, each within `interval`, until the guard is dropped.
    ///
    /// While the guard lives, no attach runs a destructor of a dead host. So destructors run on one thread, which holds none of
    /// the program's locks and is in no initialiser, and an attach costs the same whatever has died. It is the choice for a
    /// server and for a program with an async runtime; a destructor that needs the runtime's context enters it by a
    /// handle. A library leaves the choice to the program.
    ///
    /// The thread goes through all `Arc` hosts twice in `interval`, or as often as it can, with a millisecond between. What a
    /// destructor panics with goes to the log (feature `log`). Guards may overlap; each has a thread. The child of a `fork` has
    /// the guard, and not the thread.
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

    /// Has no attach run a destructor of a dead `Arc` host until the guard is dropped: only [`sweep`](Self::sweep) does.
    ///
    /// Meanwhile dead hosts are as many as die between two calls of `sweep`.
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
