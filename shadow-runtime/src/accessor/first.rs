//! The first field of a declaration, on a host that embeds its fields: what makes it as fast as a member written by hand.
//!
//! In: an accessor of a field that is written once, field 0. Out: whether the mark in the host's own word says that it is
//! attached (N4 of `fields/nodes.rs`), so that its state need not be looked at; and a first attach to a bare host, where
//! the value is put into its field set before anybody sees that, by one exchange for both.
//!
//! For other fields and other hosts all of this is nothing, which the compiler sees.

use crate::field_set::Declares;
use crate::fields::ShadowFields;

/// Reads from the field set of `host`: by `marked`, if it is known that the first cell is attached, and that is the one of
/// field `I`, or by `unmarked`.
#[inline]
pub(super) fn read<'host, H: Declares<D> + ?Sized, D, const I: usize, R>(
    host: &'host H,
    marked: impl FnOnce(&'host H::Set) -> R,
    unmarked: impl FnOnce(&'host H::Set) -> Option<R>,
) -> Option<R> {
    match H::embedded(host) {
        Some(fields) if I == 0 => fields.read(marked, unmarked),
        _ => unmarked(H::look(host)?),
    }
}

/// Whether [`start`] may be of use.
#[inline]
pub(super) fn can_start<H: Declares<D> + ?Sized, D, const I: usize>(host: &H) -> bool {
    I == 0 && H::embedded(host).is_some_and(ShadowFields::is_bare)
}

/// Gives a bare host its first field set, or gives that back.
///
/// # Safety
///
/// The first cell of `set` is attached.
#[inline]
pub(super) unsafe fn start<H: Declares<D> + ?Sized, D>(host: &H, set: H::Set) -> Result<&H::Set, H::Set> {
    match H::embedded(host) {
        // SAFETY: the caller's promise is the same.
        Some(fields) => unsafe { fields.start(set) },
        None => Err(set),
    }
}

/// Notes that the cell of field `I` is attached, if it is the first.
///
/// # Safety
///
/// It is attached; and the cell of field 0 is the first of its set.
#[inline]
pub(super) unsafe fn mark<H: Declares<D> + ?Sized, D, const I: usize>(host: &H) {
    if let Some(fields) = H::embedded(host).filter(|_| I == 0) {
        // SAFETY: the caller's promise.
        unsafe { fields.mark::<H::Set>() };
    }
}
