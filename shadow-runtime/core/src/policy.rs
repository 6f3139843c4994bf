//! The policy list: the behaviour of a field that is, or is not, attached.
//!
//! In: no input. Out: [`Policy`], for the registry's reports and the macros. Neighbour: `shadow-macros/src/policy.rs`,
//! the same list. A new policy has an entry in both lists, a file in `cell/` and a file in `accessor/`.
#![forbid(unsafe_code)]

use std::fmt;

/// The behaviour of a shadow field at an attach, an update or a read.
///
/// Every field declares one policy, and has only the accessors of the policy.
///
/// ```
/// use shadow_runtime::{Policy, Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(attach serial: u64)]
/// struct Order { shadow: ShadowFields }
///
/// Order::default().attach_serial(1).unwrap();
/// let report = registry().report();
/// let row = report.iter().find(|row| row.field() == "serial").unwrap();
/// assert_eq!(row.policy(), Policy::Attach);
/// assert_eq!(row.policy().to_string(), "attach");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// The first attach succeeds; a second attach returns an error. For values that belong to the creation of the
    /// object.
    Attach,
    /// The first request attaches the value; all later requests borrow the same value. For values with an identity: a
    /// mutex, an atomic counter, a cache.
    GetOrAttach,
    /// Each update replaces the value; a read clones the newest value. For data of which only the newest value counts.
    GetOrUpdate,
    /// As [`GetOrUpdate`](Self::GetOrUpdate), for small `Copy` values: a read copies the newest value, and never
    /// waits.
    GetOrUpdateCopy,
}

impl Policy {
    /// The words that declare the policy.
    ///
    /// ```
    /// assert_eq!(shadow_runtime::Policy::GetOrAttach.name(), "get_or_attach");
    /// ```
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Attach => "attach",
            Self::GetOrAttach => "get_or_attach",
            Self::GetOrUpdate => "get_or_update",
            Self::GetOrUpdateCopy => "get_or_update(copy)",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}
