//! The first field of a declaration: what makes it as fast as a member written by hand.
//!
//! In: an accessor of field 0. Out: whether the node's own word says that its cell is ready (N4 of `fields/head.rs`), so
//! that the cell's state need not be looked at; and a first attach to a bare host, where the value is put into its field
//! set before anybody sees that, in one step for both.
//!
//! For other fields all of this is nothing, which the compiler sees.

use crate::field_set::Declares;

/// Reads from the field set of `host`: by `when_ready`, if it is known that the first cell is, and that is the one of
/// field `I`, or by `otherwise`.
#[inline]
pub(super) fn read<'host, H: Declares<D> + ?Sized, D, const I: usize, R>(
    host: &'host H,
    when_ready: impl FnOnce(&'host H::Set) -> R,
    otherwise: impl FnOnce(&'host H::Set) -> Option<R>,
) -> Option<R> {
    if I == 0 { H::read(host, when_ready, otherwise) } else { otherwise(H::look(host)?) }
}

/// Whether [`start`] may be of use.
#[inline]
pub(super) fn can_start<H: Declares<D> + ?Sized, D, const I: usize>(host: &H) -> bool {
    I == 0 && H::is_bare(host)
}

/// Gives a bare host its first field set, or gives that back.
///
/// # Safety
///
/// The first cell of `set` is ready.
#[inline]
pub(super) unsafe fn start<H: Declares<D> + ?Sized, D>(host: &H, set: H::Set) -> Result<&H::Set, H::Set> {
    // SAFETY: the caller's promise is the same.
    unsafe { H::start(host, set) }
}

/// Notes that the cell of field `I` is ready, if it is the first.
///
/// # Safety
///
/// It is; and the cell of field 0 is the first of its set.
#[inline]
pub(super) unsafe fn mark<H: Declares<D> + ?Sized, D, const I: usize>(host: &H) {
    if I == 0 {
        // SAFETY: the caller's promise.
        unsafe { H::mark::<H::Set>(host) };
    }
}
