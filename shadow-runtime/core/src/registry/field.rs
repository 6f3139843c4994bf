//! A declared field: its names, its counts, and its link in the registry's list.
//!
//! In: the text of a declaration. Out: the names for messages and for the report. Neighbours: `counts.rs`, the event
//! counters; `mod.rs`, the registry's list and lock.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};

use once_cell::race::OnceRef;

use crate::policy::Policy;
use crate::registry::counts::Counts;

/// A declared field. The macros make a static for each field of a declaration.
pub struct Field {
    host: &'static str,
    name: &'static str,
    value_type: &'static str,
    policy: Policy,
    declared_at: &'static Location<'static>,
    counts: Counts,
    /// The next field of the registry's list. Set once, under the registry's lock.
    next: OnceRef<'static, Field>,
}

impl Field {
    /// Makes a field with the names of its declaration. The caller's location is the place of the declaration.
    #[must_use]
    #[track_caller]
    pub const fn new(host: &'static str, name: &'static str, value_type: &'static str, policy: Policy) -> Self {
        Self::declared_at(Location::caller(), host, name, value_type, policy)
    }

    pub(crate) const fn declared_at(
        declared_at: &'static Location<'static>,
        host: &'static str,
        name: &'static str,
        value_type: &'static str,
        policy: Policy,
    ) -> Self {
        Self { host, name, value_type, policy, declared_at, counts: Counts::new(), next: OnceRef::new() }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn host(&self) -> &'static str {
        self.host
    }

    pub(crate) const fn value_type(&self) -> &'static str {
        self.value_type
    }

    pub(crate) const fn policy(&self) -> Policy {
        self.policy
    }

    pub(crate) const fn place(&self) -> &'static Location<'static> {
        self.declared_at
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) const fn next(&self) -> &OnceRef<'static, Self> {
        &self.next
    }
}

// A panic leaves no broken invariant: the counts are atomics, and the next field is set in one step. `OnceRef` is not
// `UnwindSafe`, so without these implementations no error with a field could cross `catch_unwind`.
impl UnwindSafe for Field {}
impl RefUnwindSafe for Field {}

/// Prints the field without its successors in the list.
impl fmt::Debug for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Field")
            .field("host", &self.host)
            .field("name", &self.name)
            .field("value_type", &self.value_type)
            .field("policy", &self.policy)
            .field("declared_at", &self.declared_at)
            .finish_non_exhaustive()
    }
}

/// The field's name in messages.
impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shadow field `{}` of `{}`", self.name, self.host)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Field;
    use crate::policy::Policy;

    #[test]
    fn a_field_is_debugged_as_it_was_declared_and_without_those_behind_it() {
        static FIRST: Field = Field::new("Host", "first", "Vec<u8>", Policy::GetOrAttach);
        static SECOND: Field = Field::new("Host", "second", "u8", Policy::Attach);
        FIRST.next().set(&SECOND).expect("nothing was behind it");
        let declared =
            r#"Field { host: "Host", name: "first", value_type: "Vec<u8>", policy: GetOrAttach, declared_at: "#;
        let debug = format!("{FIRST:?}");
        assert!(debug.starts_with(declared) && debug.contains(file!()) && debug.ends_with(", .. }"), "{debug}");
        assert!(!debug.contains("second"), "{debug}");
    }
}
