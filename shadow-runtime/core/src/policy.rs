//! The policy list: what a field does when it is, or is not, already attached.
//!
//! In: nothing. Out: [`Policy`], which the registry shows and the macros name. A new policy is added here, as one
//! file in `cell/` and as one file in `accessor/`.
#![forbid(unsafe_code)]

use std::fmt;

/// What a shadow field does when it is already attached, or is not.
///
/// Every field declares one policy and gets only the accessors that make sense for it.
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
    /// Attached once; a second attach is refused. Paired with the creation of the object.
    Attach,
    /// Attached by whoever asks first, found by all others. For values whose identity matters: locks, counters, caches.
    GetOrAttach,
    /// Replaced by whoever updates last. For data of which only the newest counts.
    GetOrUpdate,
    /// The same, of small values that are `Copy`: a read copies the newest, and never waits.
    GetOrUpdateCopy,
}

impl Policy {
    /// What declares it.
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
