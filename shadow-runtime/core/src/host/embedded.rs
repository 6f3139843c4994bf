//! Structs with embedded fields: the trait for `#[derive(Shadow)]`, and the functions for the generated `Host`.
//!
//! In: the `ShadowFields` of a struct. Out: a field set in the `ShadowFields`. Neighbours: `fields/mod.rs`, to which
//! the functions forward; `shadow-macros/src/expand/embedded.rs`, which generates the calls.

use crate::field_set::FieldSet;
use crate::fields::{Found, ShadowFields, Unpublished};
use crate::identity::Identity;

/// A struct that embeds its fields. Unsafe code does not rely on this trait: the result borrows the host, and no unsafe
/// code needs the same result in two accessor calls.
#[doc(hidden)]
pub trait Embeds {
    /// The embedded fields.
    fn fields(host: &Self) -> &ShadowFields;
}

/// The field set `S`, if the host has one: from the first attach of one of its fields on.
#[inline]
pub fn find<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> Option<Found<'_, S>> {
    H::fields(host).find()
}

/// The field set `S`, published if the host has none.
#[inline]
pub fn find_or_insert<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> &S {
    H::fields(host).find_or_insert()
}

/// An unpublished field set for a host without field sets.
#[inline]
pub fn new_first<S: FieldSet + 'static, H: Embeds + ?Sized>(host: &H) -> Option<Unpublished<S>> {
    H::fields(host).new_first()
}

/// Publishes a set as the first field set of the host.
///
/// # Errors
///
/// If the host has a field set by now: returns `new`.
///
/// # Safety
///
/// `new` comes from [`new_first`] of an embedded host, and its first cell is ready.
#[inline]
pub unsafe fn insert_first<S: FieldSet + 'static, H: Embeds + ?Sized>(
    host: &H,
    new: Unpublished<S>,
) -> Result<&S, Unpublished<S>> {
    // SAFETY: by the contract `new` comes from `new_first` of a `ShadowFields`, and its first cell is ready.
    unsafe { H::fields(host).insert_first(new) }
}

/// The identity of the host: the address of the fields.
#[inline]
pub fn identity<H: Embeds + ?Sized>(host: &H) -> Identity {
    H::fields(host).identity()
}

/// The fields in a member of the exact type `ShadowFields`. A generic argument is not dereferenced, so a member behind
/// a `Deref`, which might be a different object at each call, does not compile.
#[inline]
pub fn exactly<F: IsShadowFields>(member: &F) -> &ShadowFields {
    member.itself()
}

/// A trait of [`ShadowFields`] alone. Unsafe code does not rely on the trait.
#[diagnostic::on_unimplemented(
    message = "the fields of a host are in a member of type `ShadowFields`, not `{Self}`",
    label = "not `ShadowFields`"
)]
pub trait IsShadowFields {
    /// The fields.
    fn itself(&self) -> &ShadowFields;
}

impl IsShadowFields for ShadowFields {
    #[inline]
    fn itself(&self) -> &ShadowFields {
        self
    }
}
