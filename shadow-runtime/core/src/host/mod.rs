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
pub use arc::{BackgroundSweep, ManualSweep};
pub(crate) use arc::{sweep, sweep_deferred};

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

    /// The field set `S` of `host`, if it is known that the first cell is ready, or `is_ready` says so.
    #[doc(hidden)]
    #[inline]
    fn ready<'host, S: FieldSet + 'static>(
        host: &'host Self,
        is_ready: impl FnOnce(&'host S) -> bool,
    ) -> Option<&'host S> {
        match Self::embedded(host) {
            Some(fields) => fields.ready(is_ready),
            None => Self::look(host).filter(|set| is_ready(set)),
        }
    }

    /// Whether `host` has no field set yet, as far as can be told.
    #[doc(hidden)]
    #[inline]
    fn is_bare(host: &Self) -> bool {
        Self::embedded(host).is_some_and(ShadowFields::is_bare)
    }

    /// Gives a bare host its first field set, with `value`, or gives that back.
    ///
    /// # Safety
    ///
    /// When `fill` has been there, the first cell of the set is ready.
    #[doc(hidden)]
    #[inline]
    unsafe fn start<S: FieldSet + 'static, V>(
        host: &Self,
        value: V,
        fill: impl FnOnce(&mut S, V),
        take_back: impl FnOnce(&mut S) -> V,
    ) -> Result<&S, V> {
        match Self::embedded(host) {
            // SAFETY: the caller's promise is the same.
            Some(fields) => unsafe { fields.start(value, fill, take_back) },
            None => Err(value),
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

#[cfg(all(test, not(loom)))]
mod tests {
    use std::ptr;
    use std::sync::Arc;

    use super::*;
    use crate::cell::Cell;
    use crate::registry::Field;

    struct Set(u8);

    impl FieldSet for Set {
        fn empty() -> Self {
            Self(0)
        }

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn Cell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn Cell)) {}
    }

    /// A latch, which is in some sets, must not move when it is filled (L4).
    fn a_set_that_was_filled_does_not_move<H: Host>(host: &H) {
        let mut at = None;
        let fill = |set: &mut Set, value| {
            set.0 = value;
            at = Some(ptr::from_ref(set));
        };
        // SAFETY: nobody reads a first cell, of which there is none.
        let set = unsafe { H::start(host, 1, fill, |_| 0) };
        assert!(set.is_ok_and(|set| set.0 == 1 && Some(ptr::from_ref(set)) == at));
        let mut at = None;
        let fill = |set: &mut Set, value| {
            set.0 = value;
            at = Some(ptr::from_ref(set));
        };
        let mut back_at = None;
        let take_back = |set: &mut Set| {
            back_at = Some(ptr::from_ref(set));
            set.0
        };
        // SAFETY: as above.
        let set = unsafe { H::start(host, 2, fill, take_back) };
        assert_eq!(set.err(), Some(2));
        assert!(at.is_some() && at == back_at);
    }

    #[test]
    fn a_set_that_was_filled_does_not_move_in_an_embedded_host_or_beside_an_arc() {
        a_set_that_was_filled_does_not_move(&Shadowed::new(()));
        a_set_that_was_filled_does_not_move(&Arc::new(0));
    }
}
