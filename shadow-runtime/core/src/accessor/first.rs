//! The first field of a declaration: what makes it as fast as a member written by hand.
//!
//! In: an accessor of field 0. Out: a first attach to a bare host, where the value is put into its field set before
//! anybody sees that, in one step for both; and whether it was put there in that way, which the node says by its kind (N4
//! of `fields/head.rs`), so that the cell's state need not be looked at.
//!
//! For other fields all of this is nothing. Where it is asked for, it is by `const { I == 0 }`, so that the compiler makes no
//! code of what is not called: most of what a field costs to build would be that.

use crate::field_set::Declares;

/// Reads from the field set of `host`: by `when_ready`, if it is known that the first cell is, and that is the one of
/// field `I`, or by `otherwise`.
#[inline]
pub(super) fn read<'host, H: Declares<D> + ?Sized, D, const I: usize, R>(
    host: &'host H,
    when_ready: impl FnOnce(&'host H::Set) -> R,
    otherwise: impl FnOnce(&'host H::Set) -> Option<R>,
) -> Option<R> {
    if const { I == 0 } { H::read(host, when_ready, otherwise) } else { otherwise(H::look(host)?) }
}

/// The field set of `host`, if the cell of field `I` is ready: if that is the first and is known to be, or `is_ready` says
/// so.
#[inline]
pub(super) fn ready<'host, H: Declares<D> + ?Sized, D, const I: usize>(
    host: &'host H,
    is_ready: impl FnOnce(&'host H::Set) -> bool,
) -> Option<&'host H::Set> {
    if const { I == 0 } { H::ready(host, is_ready) } else { H::look(host).filter(|set| is_ready(set)) }
}

/// Gives a bare host its first field set, with `value`, or gives that back.
///
/// # Safety
///
/// When `fill` has been there, the first cell of the set is ready.
#[inline]
pub(super) unsafe fn start<H: Declares<D> + ?Sized, D, V>(
    host: &H,
    value: V,
    fill: impl FnOnce(&mut H::Set, V),
    take_back: impl FnOnce(&mut H::Set) -> Option<V>,
) -> Result<&H::Set, V> {
    let take_back = |set: &mut H::Set| take_back(set).expect("it was just put in");
    // SAFETY: the caller's promise is the same.
    unsafe { H::start(host, value, fill, take_back) }
}
