//! Hosts: the objects that fields are attached to.
//!
//! In: an accessor's host. Out: the field set of that host that the accessor asks for. One file per kind of host;
//! structs that embed their fields get their implementation from `#[derive(Shadow)]`.

mod arc;
pub mod embedded;
mod fixed;
mod shadowed;

pub use fixed::{Fixed, refuse_zero_sized};
pub use shadowed::Shadowed;

#[cfg(loom)]
pub use arc::modelled;
pub(crate) use arc::{sweep, sweep_owed};

use std::any::TypeId;

use crate::field_set::FieldSet;
use crate::fields::ShadowFields;

/// An object that shadow fields can be attached to.
///
/// Implemented by `#[derive(Shadow)]` for structs that embed [`ShadowFields`], and here for [`Shadowed<T>`], for
/// `Arc<T>`, and for what `&'static T` refers to. Nobody implements it by hand.
///
/// ```
/// use shadow_runtime::{Host, Shadowed};
///
/// fn is_host<H: Host>(_: &H) {}
///
/// is_host(&Shadowed::new(1));
/// is_host(&std::sync::Arc::new(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a host: shadow fields cannot be attached to it",
    label = "not a host",
    note = "if the struct is yours, embed its fields: `#[derive(Shadow)]` and a member of type `ShadowFields`",
    note = "if it is not, wrap the value that you own in `Shadowed<{Self}>`, or share it as `Arc<{Self}>`",
    note = "an `Arc` is a host when what it holds is `Send + Sync + 'static`, a `&'static T` for every sized `T`"
)]
pub trait Host {
    /// The field set `S` of `host`, if any of its fields was ever attached.
    #[doc(hidden)]
    fn look<S: FieldSet + 'static>(host: &Self) -> Option<&S>;

    /// The field set `S` of `host`, made if it is not there.
    #[doc(hidden)]
    fn reach<S: FieldSet + 'static>(host: &Self) -> &S;

    /// The fields of `host`, if it embeds them.
    #[doc(hidden)]
    #[inline]
    fn embedded(_host: &Self) -> Option<&ShadowFields> {
        None
    }

    /// Reads from the field set `S` of `host`: by `when_ready`, if it is known that the first cell is, or by `otherwise`.
    #[doc(hidden)]
    #[inline]
    fn read<'host, S: FieldSet + 'static, R>(
        host: &'host Self,
        when_ready: impl FnOnce(&'host S) -> R,
        otherwise: impl FnOnce(&'host S) -> Option<R>,
    ) -> Option<R> {
        match Self::embedded(host) {
            Some(fields) => fields.read(when_ready, otherwise),
            None => otherwise(Self::look(host)?),
        }
    }

    /// Whether `host` has no field set yet, as far as can be told.
    #[doc(hidden)]
    #[inline]
    fn is_bare(host: &Self) -> bool {
        Self::embedded(host).is_some_and(ShadowFields::is_bare)
    }

    /// Gives a bare host its first field set, or gives that back.
    ///
    /// # Safety
    ///
    /// The first cell of `set` is ready.
    #[doc(hidden)]
    #[inline]
    unsafe fn start<S: FieldSet + 'static>(host: &Self, set: S) -> Result<&S, S> {
        match Self::embedded(host) {
            // SAFETY: the caller's promise is the same.
            Some(fields) => unsafe { fields.start(set) },
            None => Err(set),
        }
    }

    /// Notes that the first cell of the field set `S` is ready.
    ///
    /// # Safety
    ///
    /// It is.
    #[doc(hidden)]
    #[inline]
    unsafe fn mark<S: FieldSet + 'static>(host: &Self) {
        if let Some(fields) = Self::embedded(host) {
            // SAFETY: the caller's promise is the same.
            unsafe { fields.mark::<S>() };
        }
    }

    /// What `host` is, which no other host of its kind is while it is borrowed.
    #[doc(hidden)]
    fn identity(host: &Self) -> Identity;

    /// Called after each attach, when everything is in its place and nothing is claimed or locked for it.
    #[doc(hidden)]
    #[inline]
    fn after_attach(_host: &Self) {}
}

/// What a host is: its address, and where objects of several types may be hosts at one address, its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) address: usize,
    pub(crate) object: Option<TypeId>,
}

/// A host that can be borrowed exclusively: `f_mut` and `detach_f` are for these.
///
/// Embedded hosts and [`Shadowed<T>`] are; an `Arc` and a `&'static T` are shared. The lifetime means nothing: it keeps
/// the compiler from asking, at the declaration for a shared host, for what only a call needs.
///
/// ```
/// use shadow_runtime::{ExclusiveHost, Shadowed};
///
/// fn can_be_detached_from<H: for<'unused> ExclusiveHost<'unused>>(_: &mut H) {}
///
/// can_be_detached_from(&mut Shadowed::new(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a shared host: its fields can be neither detached nor borrowed mutably",
    label = "a shared host",
    note = "somebody else may hold a reference to the value; it is dropped when its host is gone",
    note = "what has to change belongs into the value (a `Mutex`, an atomic) or into a `get_or_update` field"
)]
pub trait ExclusiveHost<'unused>: Host {
    /// Where its fields are embedded.
    #[doc(hidden)]
    fn fields_mut(host: &mut Self) -> &mut ShadowFields;
}
