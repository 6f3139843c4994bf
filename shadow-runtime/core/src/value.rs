//! The requirements for a value type: one trait per requirement, with an error message.
//!
//! In: a value type. Out: the bounds of the field traits in `accessor/`, each with the error message for a missing
//! bound. A blanket implementation covers every type that qualifies, and no manual implementation exists. Unsafe code
//! relies on [`Value`] and [`CopyValue`], so both are `unsafe trait`s. The traits are public, in `bounds`, since the
//! compiler's suggestions for a type parameter name the traits. Neighbour: `cell/mod.rs`, with V1, which rests on
//! [`Value`].

/// A value that every thread may access: any `Send + Sync` type.
///
/// Every shadow field requires this bound, and a value that is `'static`.
///
/// # Safety
///
/// The type is `Send` and `Sync`: V1 of `cell/mod.rs` rests on this guarantee.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a shadow field: it is not `Send + Sync`",
    label = "not `Send + Sync`",
    note = "threads may share a host with its fields, so a value is `Send + Sync + 'static`",
    note = "instead of `Rc` use `Arc`, instead of `Cell` an atomic, instead of `RefCell` a `Mutex` or a `RwLock`"
)]
// `Send` and `Sync` are not supertraits, here and below, since the compiler would report a missing supertrait instead
// of the message.
pub unsafe trait Value: Sized {}

#[diagnostic::do_not_recommend]
// SAFETY: the bound of the `impl` is `Send + Sync`.
unsafe impl<V: Send + Sync> Value for V {}

/// A value that may be replaced while other threads use their clones of the value: any `Clone` type. A `get_or_update`
/// field requires this bound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a `get_or_update` field: it is not `Clone`",
    label = "not `Clone`, and a read clones the value",
    note = "a lock, an atomic or a condition variable stays in place while threads use it: declare the field \
            `get_or_attach`, which attaches one value and returns references to it",
    note = "plain data is made `Clone` by `#[derive(Clone)]`"
)]
pub trait CloneValue: Sized {
    /// A clone.
    #[must_use]
    fn clone_value(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<V: Clone> CloneValue for V {
    #[inline]
    fn clone_value(&self) -> Self {
        self.clone()
    }
}

/// A value that may be replaced while other threads copy the value: any `Copy` type. A `get_or_update(copy)` field
/// requires this bound.
///
/// # Safety
///
/// The type is `Copy`: every copy of the bytes of a value is a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a `get_or_update(copy)` field: it is not `Copy`",
    label = "not `Copy`, and a read copies the value",
    note = "a value that is `Clone` can be replaced too: declare the field `get_or_update`, without `(copy)`",
    note = "a lock, an atomic or a condition variable stays in place while threads use it: declare the field \
            `get_or_attach`, which attaches one value and returns references to it",
    note = "plain data is made `Copy` by `#[derive(Clone, Copy)]`"
)]
pub unsafe trait CopyValue: Sized {
    /// A copy.
    #[must_use]
    fn copy_value(&self) -> Self;
}

#[diagnostic::do_not_recommend]
// SAFETY: the bound of the `impl` is `Copy`.
unsafe impl<V: Copy> CopyValue for V {
    #[inline]
    fn copy_value(&self) -> Self {
        *self
    }
}

/// The initial value of a `get_or_attach` field without an initialiser: any `Default` type.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no initial value: it is not `Default`",
    label = "not `Default`",
    note = "write an initialiser after the type, as in `get_or_attach name: {Self} = ...`, or implement `Default`"
)]
pub trait InitialValue {
    /// The initial value of the field.
    #[must_use]
    fn initial() -> Self;
}

#[diagnostic::do_not_recommend]
impl<V: Default> InitialValue for V {
    #[inline]
    fn initial() -> Self {
        V::default()
    }
}

/// A value that a clone of the host carries: any `Clone` type. An `attach`, `get_or_attach` or `get_or_update` field
/// with `#[shadow(clone)]` requires this bound.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a `#[shadow(clone)]` field: it is not `Clone`",
    label = "not `Clone`, and a clone of the host clones the value",
    note = "without `#[shadow(clone)]`, a clone of the host starts without the field",
    note = "plain data is made `Clone` by `#[derive(Clone)]`; a lock or an atomic is shared by both hosts inside of an \
            `Arc`"
)]
pub trait CarriedValue: Sized {
    /// A clone for the clone of the host.
    #[must_use]
    fn clone_carried(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<V: Clone> CarriedValue for V {
    #[inline]
    fn clone_carried(&self) -> Self {
        self.clone()
    }
}
