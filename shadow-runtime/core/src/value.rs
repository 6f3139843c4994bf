//! What a type must be to be the value of a field, as traits that say so in the compiler's words.
//!
//! In: a value type. Out: the bounds that the field traits of `accessor/` put on it, each with the message that a user
//! reads when it is missing. All of them are implemented for every type that qualifies; nobody implements them by hand,
//! and nobody can name the first three. Unsafe code believes [`Value`] and [`Copied`], which are unsafe for that.

/// A value that may be reached from every thread.
///
/// That a value does not borrow is asked of its field set. `Send` and `Sync` are no supertraits, here and below, since
/// the compiler would report those instead of the message.
///
/// # Safety
///
/// The type is `Send` and `Sync`: V1 of `cell/mod.rs` rests on it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a shadow field: it is not `Send + Sync`",
    label = "not `Send + Sync`",
    note = "a host may be shared between threads, and its fields with it",
    note = "instead of `Rc` use `Arc`, instead of `Cell` an atomic, instead of `RefCell` a `Mutex` or a `RwLock`"
)]
pub unsafe trait Value: Sized {}

#[diagnostic::do_not_recommend]
// SAFETY: it is, by the bounds.
unsafe impl<V: Send + Sync> Value for V {}

/// A value that may be replaced while others look at it: they keep their clone.
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

/// A value that may be replaced while others copy it.
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
// SAFETY: it is, by the bound.
unsafe impl<V: Copy> Copied for V {
    #[inline]
    fn copied(&self) -> Self {
        *self
    }
}

/// A value that a `get_or_attach` field without an initialiser starts with.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no initial value: it is not `Default`",
    label = "not `Default`",
    note = "write an initialiser after the type, as in `get_or_attach name: {Self} = ...`, or implement `Default`"
)]
pub trait InitialValue {
    /// The value that the field starts with.
    fn initial() -> Self;
}

#[diagnostic::do_not_recommend]
impl<V: Default> InitialValue for V {
    #[inline]
    fn initial() -> Self {
        V::default()
    }
}
