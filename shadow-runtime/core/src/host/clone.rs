//! `Clone` of the fields of a host with embedded fields.
//!
//! In: the `ShadowFields` of a host. Out: the `ShadowFields` of the host's clone. The implementation is not in
//! `fields/`, since `fields/` does not depend on hosts: the clone of a value may attach to `Arc` hosts, and the call
//! defers sweeps. Neighbours: `fields/clone.rs`, the clones of the values; `arc/sweep.rs`, the deferred sweeps.
#![forbid(unsafe_code)]

use crate::fields::ShadowFields;
use crate::host::{ExclusiveHost, SweepDeferred};

/// A clone has no fields: the fields belong to the object, not to the object's value. Fields with `#[shadow(clone)]`
/// are an exception: the clone has clones of their values, each attached at the place where the value was attached.
///
/// The cost is one visit of each declaration of the host, one allocation for each declaration with a carried value, and
/// the clones of the values. If another thread updates a field during the call, the clone has the old value or the new
/// value. A field without a value, or with a running initialiser, is not carried. The report counts each carried value
/// as an attach.
///
/// # Panics
///
/// If the `Clone` of a value panics: after the drop of the values that were cloned before.
impl Clone for ShadowFields {
    #[inline]
    fn clone(&self) -> Self {
        // Dropped last: runs the sweeps that attaches inside of a value's `Clone` have deferred.
        let _sweep_deferred = SweepDeferred;
        self.clone_carried()
    }
}

/// A host with embedded fields, whose clone is another host. Unsafe code does not rely on this trait.
#[diagnostic::on_unimplemented(
    message = "a clone of `{Self}` cannot carry shadow fields: `{Self}` embeds no fields",
    label = "embeds no shadow fields",
    note = "the clones of an `Arc`, and the copies of a `&'static T`, are one host, which already has the fields: \
            remove `#[shadow(clone)]`",
    note = "`Shadowed<T>` embeds fields, and a struct with `#[derive(Shadow)]` does"
)]
pub trait CloneCarries {}

#[diagnostic::do_not_recommend]
impl<H: ExclusiveHost> CloneCarries for H {}

/// The declaration `D` has carried fields for `Self`. Unsafe code does not rely on this trait.
pub trait Carries<D>: CloneCarries {}
