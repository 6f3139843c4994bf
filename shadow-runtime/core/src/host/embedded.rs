//! Structs that embed their fields: what `#[derive(Shadow)]` says of them, and what makes hosts of them.
//!
//! In: where a struct has its `ShadowFields`. Out: a field set in it.

use crate::field_set::FieldSet;
use crate::fields::{Found, ShadowFields, Unpublished};
use crate::host::Identity;

/// A struct that embeds its fields. Unsafe code believes nothing of it: what is returned is borrowed from the host, and
/// nothing that lasts longer than one accessor rests on its being the same each time.
pub trait Embeds {
    /// Where they are.
    fn fields(host: &Self) -> &ShadowFields;
}

/// The field set `S`, if any of its fields was ever attached.
#[inline]
pub fn find<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> Option<Found<'_, S>> {
    H::fields(host).find()
}

/// The field set `S`, made if it is not there.
#[inline]
pub fn find_or_insert<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> &S {
    H::fields(host).find_or_insert()
}

/// A field set that may become the first of the host, if that has none yet.
#[inline]
pub fn new_first<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> Option<Unpublished<S>> {
    H::fields(host).new_first()
}

/// Publishes a set as the first of the host.
///
/// # Errors
///
/// If the host has one by now: the new one.
///
/// # Safety
///
/// `new` comes from [`new_first`] of an embedded host, and its first cell is ready.
#[inline]
pub unsafe fn insert_first<S: FieldSet + 'static, H: Embeds + ?Sized>(
    host: &H,
    new: Unpublished<S>,
) -> Result<&S, Unpublished<S>> {
    // SAFETY: it comes from the `new_first` of a `ShadowFields`, and the caller says that its first cell is ready.
    unsafe { H::fields(host).insert_first(new) }
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

/// [`ShadowFields`], and nothing else. Unsafe code believes nothing of it.
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
