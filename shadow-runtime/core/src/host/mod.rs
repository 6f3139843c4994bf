//! Hosts: the objects to which programs attach fields.
//!
//! In: the host of an accessor call. Out: the requested field set of the host. One file per kind of host. For structs
//! with embedded fields, `#[derive(Shadow)]` generates the implementation. Neighbours: `accessor/`, the callers;
//! `fields/mod.rs`, the memory of field sets; `side_table/mod.rs`, for the hosts without embedded fields.

mod arc;
mod clone;
pub mod embedded;
mod shadowed;
mod static_ref;

pub use clone::{Carries, CloneCarries};
pub use shadowed::Shadowed;
pub use static_ref::{StaticHost, refuse_zero_sized};

pub(crate) use arc::SweepDeferred;
pub use arc::counted;
pub use arc::{BackgroundSweep, ManualSweep};

use crate::field_set::FieldSet;
use crate::fields::{Found, ShadowFields, Unpublished};
use crate::identity::Identity;

/// An object to which a program attaches shadow fields.
///
/// `#[derive(Shadow)]` implements this trait for structs that embed [`ShadowFields`]. This crate implements the trait
/// for [`Shadowed<T>`], for `Arc<T>`, and for the target of a `&'static T`; [`counted_host!`](crate::counted_host) for
/// a [`Counted`](crate::Counted) pointer. Manual implementations are not supported.
///
/// Each linked image of a process, a program or a loaded library, has fields of its own on any host. **Never unload**
/// an image that has used a field: hosts keep pointers to the code of the image.
///
/// # Safety
///
/// The functions are hidden, and not covered by semantic versioning. Accessors believe:
///
/// - **P1** `find` and `find_or_insert` return field sets of `host`. For each type, all calls return the same set, for
///   as long as the host exists; and after the first return of a set, `find` does not return `None`.
/// - **P2** `insert_first` either publishes `new` for `host` and returns a reference to `new`, or returns `new`
///   unchanged. Every result of `new_first` of the same host is a valid `new`.
/// - **P3** `identity` is constant, and differs from that of every other host of its kind while `host` is borrowed.
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
    note = "a struct of this crate is a host with `#[derive(Shadow)]` and a member of type `ShadowFields`",
    note = "a type `T` of another crate is a host as `Shadowed<T>`, `Arc<T>` or `&'static T`; an `Rc<T>` is not \
            supported"
)]
pub unsafe trait Host {
    /// The field set `S` of `host`, if the host has one: from the first attach of one of its fields on.
    #[doc(hidden)]
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>>;

    /// The field set `S` of `host`, published if the host has none.
    #[doc(hidden)]
    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S;

    /// An unpublished field set for a host without field sets. `None` if `host` has a field set, or is not prepared for
    /// this fast path; then the caller uses `find_or_insert`.
    #[doc(hidden)]
    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>>;

    /// Publishes `new` as the first field set of `host`; returns `new` if `host` has a field set by now.
    ///
    /// # Safety
    ///
    /// `new` comes from `new_first` of the same host. The first cell is ready.
    #[doc(hidden)]
    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>>;

    /// The identity of `host`, unique among the hosts of its kind while `host` is borrowed.
    #[doc(hidden)]
    fn identity(host: &Self) -> Identity;

    /// Called after each attach, when the value is published and the thread holds no init lock and no other lock of the
    /// attach.
    #[doc(hidden)]
    #[inline]
    fn after_attach(_host: &Self) {}

    /// The fields of `host`, if `host` is an [`ExclusiveHost`]. The bound is on the generated accessors alone, so that
    /// it stays out of the signatures in a user's documentation. Unsafe code does not rely on the result: a `&mut`
    /// excludes other accesses.
    #[doc(hidden)]
    #[inline]
    fn fields_mut(_host: &mut Self) -> Option<&mut ShadowFields> {
        None
    }
}

/// A `T` for which `Arc<T>` is a host: any `T: ?Sized + Send + Sync + 'static`.
///
/// The trait exists for the sake of its error message. All such types implement the trait, and no manual implementation
/// is possible.
#[diagnostic::on_unimplemented(
    message = "`Arc<{Self}>` is not a host: `{Self}` is not `Send + Sync + 'static`",
    label = "not a host",
    note = "an `Arc<T>` is a host if `T: Send + Sync + 'static`, since threads share the host; a type parameter needs \
            these bounds"
)]
pub trait ArcTarget: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: ?Sized + Send + Sync + 'static> ArcTarget for T {}

/// A host that a caller can borrow exclusively, for the accessors `f_mut` and `detach_f`.
///
/// Embedded hosts and [`Shadowed<T>`] implement this trait; an `Arc` and a `&'static T` are shared. Unsafe code does
/// not rely on this trait.
///
/// ```
/// use shadow_runtime::{ExclusiveHost, Shadowed};
///
/// fn can_be_detached_from<H: ExclusiveHost>(_: &mut H) {}
///
/// can_be_detached_from(&mut Shadowed::new(1));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is a shared host: its fields can be neither detached nor borrowed mutably",
    label = "a shared host",
    note = "other owners of the host may hold references to the value, which is dropped with the host",
    note = "data that changes belongs into the value, as in a `Mutex` or an atomic, or into a `get_or_update` field"
)]
pub trait ExclusiveHost: Host {}

/// `Self` has the fields of the declaration `D`, a hidden type of each declaration. Unsafe code does not rely on this
/// trait: [`FieldSet`] describes a set, and the traits of `accessor/` map a field to its cell.
pub trait Declares<D>: Host {
    /// The field set of `D`, with the value types of this host.
    type Set: FieldSet + 'static;
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::cell::RefCell;
    use std::ptr;
    use std::sync::Arc;

    use super::*;
    use crate::cell::FieldCell;
    use crate::registry::Field;

    struct Set(u8);

    // SAFETY: D1 to D3 hold for a set without cells.
    unsafe impl FieldSet for Set {
        unsafe fn init(place: *mut Self) {
            // SAFETY: by the contract `place` is aligned and valid for writes.
            unsafe { place.write(Self(0)) };
        }

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
    }

    fn filled<H: Host>(host: &H, value: u8) -> (Unpublished<Set>, *const Set) {
        let mut new = H::new_first::<Set>(host).expect("there is nothing yet");
        new.set_mut().0 = value;
        let at = ptr::from_ref(new.set_mut());
        (new, at)
    }

    /// A seqlock cell, which a set may have, must not move after it was filled (Q4).
    fn a_set_that_was_filled_does_not_move<H: Host>(host: &H) {
        let ((first, first_at), (mut second, _)) = (filled(host, 1), filled(host, 2));
        second.set_mut().0 = 3;
        // SAFETY: `first` was made for this host. The set has no cells, so no reader uses a first cell.
        let set = unsafe { H::insert_first(host, first) };
        assert!(set.is_ok_and(|set| set.0 == 1 && ptr::eq(set, first_at)));
        assert!(H::find::<Set>(host).is_some_and(|found| ptr::eq(found.set(), first_at)));
        assert!(H::new_first::<Set>(host).is_none());
        let second_at = ptr::from_ref(second.set_mut());
        // SAFETY: `second` was made for this host. The set has no cells, so no reader uses a first cell.
        let back = unsafe { H::insert_first(host, second) };
        assert!(back.is_err_and(|mut back| back.set_mut().0 == 3 && ptr::eq(back.set_mut(), second_at)));
    }

    thread_local! {
        static CURIOUS: RefCell<Option<Arc<u8>>> = const { RefCell::new(None) };
    }

    /// A set whose initialisation uses a host.
    struct Curious;

    // SAFETY: D1 to D3 hold for a set without cells.
    unsafe impl FieldSet for Curious {
        unsafe fn init(_: *mut Self) {
            let host = CURIOUS.with_borrow(Clone::clone).expect("there is a host");
            <Arc<u8> as Host>::find_or_insert::<Set>(&host);
        }

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
    }

    /// A set without cells.
    struct First;

    // SAFETY: D1 to D3 hold for a set without cells.
    unsafe impl FieldSet for First {
        unsafe fn init(_: *mut Self) {}

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
    }

    #[test]
    fn a_set_is_made_under_no_lock() {
        for has_a_set in [false, true] {
            let host = Arc::new(7);
            if has_a_set {
                <Arc<u8> as Host>::find_or_insert::<First>(&host);
            }
            CURIOUS.set(Some(Arc::clone(&host)));
            let made = ptr::from_ref(<Arc<u8> as Host>::find_or_insert::<Curious>(&host));
            assert!(Host::find::<Curious>(&host).is_some_and(|found| ptr::eq(found.set(), made)));
            assert!(Host::find::<Set>(&host).is_some());
            assert_eq!(Host::find::<First>(&host).is_some(), has_a_set);
            CURIOUS.set(None);
            drop(host);
            crate::registry().sweep();
        }
    }

    #[test]
    fn a_set_that_was_filled_does_not_move_in_an_embedded_host_or_beside_an_arc() {
        a_set_that_was_filled_does_not_move(&Shadowed::new(()));
        a_set_that_was_filled_does_not_move(&Arc::new(0));
    }
}
