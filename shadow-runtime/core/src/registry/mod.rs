//! The registry: every field in use in this process, with its counts.
//!
//! In: fields, at their first attach. Out: [`registry()`] and its report. Neighbours: `counters.rs`, the counters of
//! threads; `description.rs`, the texts of numbers of `raw`; `report.rs`, the rows; `host/arc/on_demand.rs`, the
//! methods of [`Registry`] that sweep.
//!
//! A declaration has a [`Field`] for each field, in a static. The first attach enters the field into an intrusive list
//! and assigns the field's number, the index of the field in per-thread counters. A report sums the counters of all
//! threads. `no_counters.rs` replaces `counters.rs` without the feature `counts`.
//!
//! No code allocates under the lock, since the global allocator may have fields.
#![forbid(unsafe_code)]

#[cfg(feature = "counts")]
mod counters;
mod description;
mod field;
#[cfg(not(feature = "counts"))]
mod no_counters;
mod place;
mod report;
#[cfg(feature = "serde")]
mod serialize;
mod table;

pub use description::Description;
pub(crate) use description::{RawNumber, try_describe};
pub use field::Field;
pub use place::Place;
pub use report::{Report, Row};

use std::alloc::{Layout, handle_alloc_error};
use std::iter;

use crate::fallible::{OutOfMemory, try_room};
use crate::sync::plain::{Mutex, lock};
#[cfg(feature = "counts")]
use counters::{CounterBlocks, Counts};
use description::Descriptions;
#[cfg(not(feature = "counts"))]
use no_counters::{CounterBlocks, Counts};

static STATE: Mutex<State> =
    Mutex::new(State { ends: None, count: 0, blocks: CounterBlocks::new(), descriptions: Descriptions::new() });

/// The fields in use, an intrusive list in the order of numbers; the counters of all threads; and the descriptions of
/// numbers of `raw`.
struct State {
    /// The first field and the last field.
    ends: Option<[&'static Field; 2]>,
    count: usize,
    blocks: CounterBlocks,
    descriptions: Descriptions,
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
    /// The report sums the counts of all threads. A count that happens before the call is in the report; a concurrent
    /// count may be missing, also in part. Without the feature `counts`, all counts are 0.
    ///
    /// The call takes the lock of the registry. An accessor takes the lock at the first attach of a field in the
    /// process, and when the counters of its thread are created or grow. A thread that has counters takes the lock once
    /// more, at its end.
    ///
    /// ```
    /// let report = shadow_runtime::registry().report();
    /// assert_eq!(report.iter().count(), 0);
    /// ```
    #[must_use]
    pub fn report(self) -> Report {
        self.try_report().unwrap_or_else(|_| handle_alloc_error(Layout::new::<Row>()))
    }

    /// As [`report`](Self::report), for a program that goes on without memory.
    ///
    /// ```
    /// let report = shadow_runtime::registry().try_report()?;
    /// assert_eq!(report.iter().count(), 0);
    /// # Ok::<_, shadow_runtime::raw::OutOfMemory>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If there is no memory for the rows.
    pub fn try_report(self) -> Result<Report, OutOfMemory> {
        let mut rows = Vec::new();
        loop {
            let state = lock(&STATE);
            if rows.capacity() >= state.count {
                rows.extend(state.fields().map(|field| Row::of(field, &state)));
                drop(state);
                return Report::of(rows);
            }
            let count = state.count;
            drop(state);
            rows = try_room(count)?;
        }
    }
}

impl State {
    fn fields(&self) -> impl Iterator<Item = &'static Field> {
        iter::successors(self.ends.map(|[first, _]| first), |field| field.next().get())
    }
}

/// Enters a field into the list, at the first attach.
#[cold]
fn enter(field: &'static Field) {
    let mut state = lock(&STATE);
    // Another thread may have entered the field after the caller's check.
    if field.counts().is_entered() {
        return;
    }
    let first = state.ends.map_or(field, |[first, last]| {
        // The last field has no successor, and only a thread with the lock sets the successor.
        let _ = last.next().set(field);
        first
    });
    state.ends = Some([first, field]);
    field.counts().enter(state.count);
    state.count += 1;
}
