//! [`shadow-runtime`](https://docs.rs/shadow-runtime) without the macros: hosts, field sets, cells, side tables and the
//! registry. Depend on `shadow-runtime`, which re-exports the public interface and has the documentation.
//!
//! The crate is separate, so that cargo compiles the library in parallel with the macros, which wait for their parser.
//! Generated code calls the crate as `shadow_runtime::__private`.

mod accessor;
#[cfg(all(test, debug_assertions, not(loom)))]
mod allocator_without_locks;
mod cell;
mod claim;
mod closures;
mod error;
#[cfg(all(test, not(loom)))]
mod fewer;
mod field_set;
mod fields;
mod host;
mod latch;
mod panics;
mod policy;
pub mod raw;
mod readers;
mod registry;
mod side_table;
mod sync;
mod value;

pub use error::AlreadyAttached;
pub use fields::ShadowFields;
pub use host::{BackgroundSweep, ExclusiveHost, Host, ManualSweep, Shadowed};
pub use policy::Policy;
pub use registry::{Registry, Report, Row, registry};

/// Traits, types and functions for generated code. Not for use by hand, and not covered by semantic versioning.
#[doc(hidden)]
pub mod __private {
    pub use crate::accessor::attach::{self, AttachField};
    pub use crate::accessor::get_or_attach::{self, GetOrAttachField};
    pub use crate::accessor::get_or_update::{self, GetOrUpdateField};
    pub use crate::accessor::get_or_update_copy::{self, GetOrUpdateCopyField};
    pub use crate::accessor::never_called;
    pub use crate::cell::{Attach, Cell, GetOrAttach, GetOrUpdate, GetOrUpdateCopy};
    pub use crate::error::AlreadyAttached;
    pub use crate::field_set::{Declares, FieldSet};
    pub use crate::fields::{Found, ShadowFields, Unpublished};
    #[cfg(loom)]
    pub use crate::host::modelled as modelled_arc;
    pub use crate::host::{ExclusiveHost, Fixed, Host, Identity, embedded, refuse_zero_sized};
    pub use crate::policy::Policy;
    #[cfg(loom)]
    pub use crate::raw::modelled as modelled_raw;
    #[cfg(loom)]
    pub use crate::readers::modelled as modelled_readers;
    pub use crate::registry::Field;
    #[cfg(loom)]
    pub use crate::side_table::modelled;
    #[cfg(all(debug_assertions, not(loom)))]
    pub use crate::sync::locks_held;
    pub use crate::value::InitialValue;
}
