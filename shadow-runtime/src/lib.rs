//! Typed fields that a program adds to objects that already exist, without changing their types.
#![doc = ""]

mod accessor;
mod cell;
mod claim;
mod error;
mod field_set;
mod fields;
mod host;
mod panics;
mod policy;
pub mod raw;
mod registry;
mod side_table;
mod sync;
mod value;

pub use error::AlreadyAttached;
pub use fields::ShadowFields;
pub use host::{ExclusiveHost, Host, Shadowed};
pub use policy::Policy;
pub use registry::{Registry, Report, Row, registry};
pub use shadow_macros::{Shadow, shadow};

/// What generated code calls. Not for use by hand, and not covered by semantic versioning.
#[doc(hidden)]
pub mod __private {
    pub use crate::accessor::attach::{self, AttachField};
    pub use crate::accessor::get_or_attach::{self, GetOrAttachField};
    pub use crate::accessor::get_or_update::{self, GetOrUpdateField};
    pub use crate::accessor::never_called;
    pub use crate::cell::{Attach, Cell, GetOrAttach, GetOrUpdate};
    pub use crate::error::AlreadyAttached;
    pub use crate::field_set::{Declares, FieldSet};
    pub use crate::fields::ShadowFields;
    pub use crate::host::{ExclusiveHost, Fixed, Host, embedded, refuse_zero_sized};
    pub use crate::policy::Policy;
    pub use crate::registry::Field;
    pub use crate::value::InitialValue;
}
