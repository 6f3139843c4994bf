//! The requirements for a value type: one trait per requirement, with an error message.
//!
//! In: a value type. Out: the bounds of the field traits in `accessor/`, each with the error message for a missing
//! bound. A blanket implementation covers every type that qualifies. No manual implementation exists, and the first
//! three traits cannot be named outside of this crate. Unsafe code relies on [`Value`] and [`Copied`], so both are
//! `unsafe trait`s.

/// A value that every thread may access.
///
/// The field set requires that the value does not borrow. `Send` and `Sync` are not supertraits, here and below, since
/// the compiler would report a missing supertrait instead of the message.
///
/// # Safety
///
/// The type is `Send` and `Sync`: V1 of `cell/mod.rs` rests on this guarantee.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a shadow field: it is not `Send + Sync`",
    label = "not `Send + Sync`",
    note = "a host may be shared between threads, and its fields with it",
    note = "instead of `Rc` use `Arc`, instead of `Cell` an atomic, instead of `RefCell` a `Mutex` or a `RwLock`"
)]
pub unsafe trait Value: Sized {}

#[diagnostic::do_not_recommend]
// SAFETY: the bound of the `impl` is `Send + Sync`.
unsafe impl<V: Send + Sync> Value for V {}

/// A value that may be replaced while other threads use their clones of the value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a `get_or_update` field: it is not `Clone`",
    label = "not `Clone`, so it cannot be replaced while somebody reads it",
    note = "a lock, an atomic or a condition variable must not be replaced while somebody uses it: declare the field \
            `get_or_attach`, which attaches one value and hands out references to it",
    note = "plain data is made `Clone` by `#[derive(Clone)]`"
)]
pub trait Replaceable: Sized {
    /// A clone.
    fn duplicate(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<V: Clone> Replaceable for V {
    #[inline]
    fn duplicate(&self) -> Self {
        self.clone()
    }
}

/// A value that may be replaced while other threads copy the value.
///
/// # Safety
///
/// The type is `Copy`: every copy of the bytes of a value is a value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a `get_or_update(copy)` field: it is not `Copy`",
    label = "not `Copy`, so it cannot be copied while somebody replaces it",
    note = "a value that is `Clone` can be replaced too: declare the field `get_or_update`, without `(copy)`",
    note = "a lock, an atomic or a condition variable must not be replaced while somebody uses it: declare the field \
            `get_or_attach`, which attaches one value and hands out references to it",
    note = "plain data is made `Copy` by `#[derive(Clone, Copy)]`"
)]
pub unsafe trait Copied: Sized {
    /// A copy.
    #[must_use]
    fn copied(&self) -> Self;
}

#[diagnostic::do_not_recommend]
// SAFETY: the bound of the `impl` is `Copy`.
unsafe impl<V: Copy> Copied for V {
    #[inline]
    fn copied(&self) -> Self {
        *self
    }
}

/// The initial value of a `get_or_attach` field without an initialiser.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no initial value: it is not `Default`",
    label = "not `Default`",
    note = "write an initialiser after the type, as in `get_or_attach name: {Self} = ...`, or implement `Default`"
)]
pub trait InitialValue {
    /// The initial value of the field.
    fn initial() -> Self;
}

#[diagnostic::do_not_recommend]
impl<V: Default> InitialValue for V {
    #[inline]
    fn initial() -> Self {
        V::default()
    }
}
