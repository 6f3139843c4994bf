//! A declared field: its names, its counts, and its link in the registry's list.
//!
//! In: the text of a declaration. Out: the names for messages and for the report. Neighbours: `counters.rs`, the event
//! counters; `description.rs`, the texts of fields of `raw`; `mod.rs`, the registry's list and lock.

use std::fmt;
use std::panic::{Location, RefUnwindSafe, UnwindSafe};
use std::ptr;

use once_cell::race::OnceRef;

use crate::policy::Policy;
use crate::registry::{Counts, Description, Place, STATE};
use crate::sync::plain::lock;

/// A declared field. The macros make a static for each field of a declaration.
pub struct Field {
    origin: Origin,
    host: &'static str,
    name: &'static str,
    value_type: &'static str,
    policy: Policy,
    /// The size of a value. `None` if the size depends on the host type.
    value_size: Option<usize>,
    declared_at: &'static Location<'static>,
    counts: Counts,
    /// The next field of the registry's list. Set once, under the registry's lock.
    next: OnceRef<'static, Field>,
}

/// What a field belongs to.
enum Origin {
    /// The module of the declaration.
    Module(&'static str),
    /// A number of `raw`, which any module may use.
    Raw(u64),
}

/// The texts of a field in the report and in messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Names {
    pub(crate) host: &'static str,
    pub(crate) name: &'static str,
    pub(crate) value_type: &'static str,
    pub(crate) place: Place,
}

impl Field {
    /// Makes a field with the names of its declaration. The caller's location is the place of the declaration.
    #[must_use]
    #[track_caller]
    pub const fn new(
        module: &'static str,
        host: &'static str,
        name: &'static str,
        value_type: &'static str,
        policy: Policy,
        value_size: Option<usize>,
    ) -> Self {
        let (counts, next) = (Counts::new(), OnceRef::new());
        let (origin, declared_at) = (Origin::Module(module), Location::caller());
        Self { origin, host, name, value_type, policy, value_size, declared_at, counts, next }
    }

    /// Makes a field of a number of `raw`.
    pub(crate) const fn of_raw(
        number: u64,
        declared_at: &'static Location<'static>,
        host: &'static str,
        name: &'static str,
        value_type: &'static str,
        policy: Policy,
        value_size: usize,
    ) -> Self {
        let (origin, counts, next) = (Origin::Raw(number), Counts::new(), OnceRef::new());
        Self { origin, host, name, value_type, policy, value_size: Some(value_size), declared_at, counts, next }
    }

    pub(crate) const fn module(&self) -> Option<&'static str> {
        match self.origin {
            Origin::Module(module) => Some(module),
            Origin::Raw(_) => None,
        }
    }

    /// The number of a field of `raw`.
    pub(crate) const fn number(&self) -> Option<u64> {
        match self.origin {
            Origin::Module(_) => None,
            Origin::Raw(number) => Some(number),
        }
    }

    /// The texts for a message. For a field of `raw`, takes the lock of the registry.
    pub(crate) fn names(&self) -> Names {
        self.names_with(self.number().and_then(|number| lock(&STATE).descriptions.find(number)))
    }

    /// The texts of the description, and else the texts of the declaration.
    pub(super) fn names_with(&self, described: Option<Description>) -> Names {
        let &Self { host, name, value_type, declared_at, .. } = self;
        let place = Place::of_location(declared_at);
        match described {
            None => Names { host, name, value_type, place },
            Some(described) => Names {
                host: described.host.unwrap_or(host),
                name: described.name,
                value_type: described.value_type.unwrap_or(value_type),
                place: described.place.unwrap_or(place),
            },
        }
    }

    /// The name of the declaration.
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn policy(&self) -> Policy {
        self.policy
    }

    pub(crate) const fn value_size(&self) -> Option<usize> {
        self.value_size
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    pub(super) const fn next(&self) -> &OnceRef<'static, Self> {
        &self.next
    }
}

/// A field is its static: two declarations with the same names are two fields.
impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        ptr::eq(self, other)
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
            .field("module", &self.module())
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
        let Names { name, host, .. } = self.names();
        write!(formatter, "shadow field `{name}` of `{host}`")
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::Field;
    use crate::policy::Policy;

    #[test]
    fn a_field_is_debugged_as_it_was_declared_and_without_those_behind_it() {
        static FIRST: Field = Field::new("app", "Host", "first", "Vec<u8>", Policy::GetOrAttach, Some(24));
        static SECOND: Field = Field::new("app", "Host", "second", "u8", Policy::Attach, Some(1));
        FIRST.next().set(&SECOND).expect("nothing was behind it");
        let declared = concat!(
            r#"Field { module: Some("app"), host: "Host", name: "first", value_type: "Vec<u8>", "#,
            "policy: GetOrAttach, declared_at: "
        );
        let debug = format!("{FIRST:?}");
        assert!(debug.starts_with(declared) && debug.contains(file!()) && debug.ends_with(", .. }"), "{debug}");
        assert!(!debug.contains("second"), "{debug}");
    }
}
