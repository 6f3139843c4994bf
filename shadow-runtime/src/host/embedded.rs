//! Structs that embed their fields: what `#[derive(Shadow)]` calls to make hosts of them.
//!
//! In: the `ShadowFields` of the struct. Out: a field set in it.
#![forbid(unsafe_code)]

use crate::field_set::FieldSet;
use crate::fields::ShadowFields;

/// The field set `S`, if any of its fields was ever attached.
#[inline]
pub fn look<S: FieldSet + 'static>(fields: &ShadowFields) -> Option<&S> {
    fields.look()
}

/// The field set `S`, made if it is not there.
#[inline]
pub fn reach<S: FieldSet + 'static>(fields: &ShadowFields) -> &S {
    fields.reach()
}
