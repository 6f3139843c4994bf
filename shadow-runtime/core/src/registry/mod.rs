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

use std::iter;

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

    /// Drops the fields of all `Arc` hosts that are gone, and returns how many such hosts there were.
    ///
    /// It need not be called: later attaches sweep a few hosts each. It looks at every `Arc` host of the process, and
    /// locks a part of their table at a time; destructors run under no lock.
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
