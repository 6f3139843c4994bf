//! The registry: every field in use in this process, with its counts.
//!
//! In: fields, each when it is first attached. Out: [`registry()`], its report, and the sweep.
//!
//! A declaration has one [`Field`] per field, in a static: counting is an addition to it, without a lock or a look-up.
//! The first attach enters the field into the list, once.
#![forbid(unsafe_code)]

mod field;
mod report;
mod table;

pub use field::Field;
pub use report::{Report, Row};

use crate::sync::{Mutex, lock};

static FIELDS: Mutex<Vec<&'static Field>> = Mutex::new(Vec::new());

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
    /// Counts that change while it is made may be a moment apart. It takes a lock that only a field's very first
    /// attach takes too, and allocates the rows.
    ///
    /// ```
    /// let report = shadow_runtime::registry().report();
    /// assert_eq!(report.iter().count(), 0);
    /// ```
    #[must_use]
    pub fn report(self) -> Report {
        let fields = lock(&FIELDS).clone();
        Report::of(&fields)
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

/// Enters a field, on its first attach.
#[cold]
fn enter(field: &'static Field) {
    lock(&FIELDS).push(field);
}
