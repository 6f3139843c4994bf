//! Structs that embed their fields: what `#[derive(Shadow)]` says of them, and what makes hosts of them.
//!
//! In: where a struct has its `ShadowFields`. Out: a field set in it.
#![forbid(unsafe_code)]

use crate::field_set::FieldSet;
use crate::fields::ShadowFields;
use crate::host::Identity;

/// A struct that embeds its fields.
pub trait Embeds {
    /// Where they are.
    fn fields(host: &Self) -> &ShadowFields;
}

/// The field set `S`, if any of its fields was ever attached.
#[inline]
pub fn look<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> Option<&S> {
    H::fields(host).look()
}

/// The field set `S`, made if it is not there.
#[inline]
pub fn reach<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> &S {
    H::fields(host).reach()
}

/// What the host is: the place of its fields.
#[inline]
pub fn identity<H: Embeds + ?Sized>(host: &H) -> Identity {
    H::fields(host).identity()
}

/// The member itself, and not what it dereferences to, which might be another one each time.
#[inline]
pub fn exactly<F: IsShadowFields>(member: &F) -> &ShadowFields {
    member.itself()
}

/// [`ShadowFields`], and nothing else.
#[diagnostic::on_unimplemented(
    message = "the fields of a host are in a member of type `ShadowFields`, not `{Self}`",
    label = "not `ShadowFields`"
)]
pub trait IsShadowFields {
    /// Itself.
    fn itself(&self) -> &ShadowFields;
}

impl IsShadowFields for ShadowFields {
    #[inline]
    fn itself(&self) -> &ShadowFields {
        self
    }
}
