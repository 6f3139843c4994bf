//! Structs that embed their fields: what `#[derive(Shadow)]` calls to make hosts of them.
//!
//! In: the `ShadowFields` of the struct. Out: a field set in it.
#![forbid(unsafe_code)]

use crate::field_set::FieldSet;
use crate::fields::ShadowFields;

/// [`ShadowFields`] and nothing that dereferences to it, which might do so to another one each time.
#[diagnostic::on_unimplemented(
    message = "the fields of a host are in a member of type `ShadowFields`, not `{Self}`",
    label = "not `ShadowFields`"
)]
pub trait IsShadowFields {
    /// Itself.
    fn exactly(&self) -> &ShadowFields;
}

impl IsShadowFields for ShadowFields {
    #[inline]
    fn exactly(&self) -> &ShadowFields {
        self
    }
}

/// The field set `S`, if any of its fields was ever attached.
#[inline]
pub fn look<S: FieldSet + 'static, F: IsShadowFields>(fields: &F) -> Option<&S> {
    fields.exactly().look()
}

/// What the host is: the place of its fields.
#[inline]
pub fn identity(fields: &impl IsShadowFields) -> usize {
    fields.exactly().identity()
}

/// The field set `S`, made if it is not there.
#[inline]
pub fn reach<S: FieldSet + 'static, F: IsShadowFields>(fields: &F) -> &S {
    fields.exactly().reach()
}
