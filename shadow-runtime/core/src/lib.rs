//! [`shadow-runtime`](https://docs.rs/shadow-runtime) without the macros: hosts, field sets, cells, side tables and the
//! registry. Depend on `shadow-runtime`, which re-exports the public interface and has the documentation.
//!
//! In: the calls of generated code, and of programs that use `raw`. Out: values of shadow fields. `ARCHITECTURE.md`
//! lists the files of the crate, and the way of a read, an update and a sweep through the files.
//!
//! The crate is separate, so that cargo compiles the library in parallel with the macros, which wait for their parser.
//! Generated code calls the crate as `shadow_runtime::__private`.
#![debugger_visualizer(gdb_script_file = "debugger/gdb.py")]

mod accessor;
#[cfg(all(test, debug_assertions, not(loom)))]
mod allocator_without_locks;
mod arc_ref;
mod cell;
mod closures;
mod error;
mod fallible;
#[cfg(all(test, not(loom)))]
mod fewer;
mod field_set;
mod fields;
mod hazard;
mod host;
mod identity;
mod init_lock;
#[cfg(all(test, loom))]
mod loom_tests;
mod panics;
mod policy;
pub mod raw;
mod registry;
mod seqlock;
mod side_table;
mod sync;
mod terminal;
mod value;

pub use arc_ref::ArcRef;
pub use error::AlreadyAttached;
pub use fields::ShadowFields;
pub use host::counted::Counted;
pub use host::{BackgroundSweep, ExclusiveHost, Host, ManualSweep, Shadowed};
pub use policy::Policy;
pub use registry::{Place, Registry, Report, Row, registry};

/// The bounds of values and of `Arc` hosts, as traits with error messages.
///
/// Every type with the bounds of std implements these traits, so a program writes the bounds of std: `T: Send + Sync +
/// 'static` for any value, and `Clone`, `Copy` or `Default` where the policy requires the bound. The compiler may
/// suggest these traits for a type parameter; they work as well.
///
/// ```
/// use shadow_runtime::bounds::{CloneValue, Value};
/// use shadow_runtime::{Shadowed, shadow};
///
/// shadow! {
///     trait ListFields<T> for Shadowed<Vec<T>> where T: Value + CloneValue + 'static { get_or_update last: T; }
/// }
///
/// let list = Shadowed::new(vec![1, 2]);
/// list.update_last(2);
/// assert_eq!(list.last(), Some(2));
/// ```
pub mod bounds {
    pub use crate::host::ArcTarget;
    pub use crate::value::{CarriedValue, CloneValue, CopyValue, InitialValue, Value};
}

/// Traits, types and functions for generated code. Not for use by hand, and not covered by semantic versioning.
#[doc(hidden)]
pub mod __private {
    pub use crate::accessor::attach::{self, AttachField};
    pub use crate::accessor::get_or_attach::{self, GetOrAttachField};
    pub use crate::accessor::get_or_update::{self, GetOrUpdateField};
    pub use crate::accessor::get_or_update_copy::{self, GetOrUpdateCopyField};
    pub use crate::accessor::{never_called, write_attribute_shadow_crate_path};
    pub use crate::cell::{Attach, FieldCell, GetOrAttach, GetOrUpdate, GetOrUpdateCopy};
    pub use crate::error::AlreadyAttached;
    pub use crate::field_set::{CloneCarried, FieldSet, NewSet};
    pub use crate::fields::{Found, ShadowFields, Unpublished};
    pub use crate::host::{
        Carries, CloneCarries, Declares, ExclusiveHost, Host, StaticHost, counted, embedded, refuse_zero_sized,
    };
    pub use crate::identity::Identity;
    pub use crate::policy::Policy;
    pub use crate::registry::Field;
    pub use crate::seqlock::IS_WAIT_FREE;
    #[cfg(all(debug_assertions, not(loom)))]
    pub use crate::sync::locks_held;
    pub use crate::value::{CarriedValue, CopyValue, InitialValue};
}
