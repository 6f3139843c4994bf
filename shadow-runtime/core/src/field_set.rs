//! What a declaration generates: a field set, and the fact that a host has it.
//!
//! In: the structs that the macros write. Out: two traits that the hosts and the accessors are generic over.
//!
//! The host's generics do not reach the set: it is generic over its value types alone, so that it is `'static`, which
//! its identity (`TypeId`) needs, while the host may borrow.

use crate::cell::Cell;
use crate::host::Host;
use crate::registry::Field;

/// The hidden struct of one declaration: one cell per field.
///
/// `Send + Sync` is what lets [`ShadowFields`](crate::ShadowFields) be both; cells are, whatever their value type,
/// because nothing but a `Value` (`value.rs`) ever fills one.
///
/// # Safety
///
/// - **D1** `init` makes a set at `place`, with all cells empty.
/// - **D2** `each` and `each_mut` show each cell of `self` once. No cell is moved or exchanged.
/// - **D3** `fields` always returns one slice, with one item per cell, in the order of `each`. The slice is a static of
///   one declaration in one linked image (`fields/node.rs`). Two sets with equal `fields` and equal `TypeId`s are one
///   type.
///
/// No lock of the library is held during a call.
pub unsafe trait FieldSet: Send + Sync {
    /// Makes an empty set in place: a set may be larger than a stack.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes of a `Self`, and aligned for it.
    unsafe fn init(place: *mut Self)
    where
        Self: Sized;

    /// What was declared, one per cell, in the order of [`each`](Self::each).
    fn fields() -> &'static [Field]
    where
        Self: Sized;

    /// Shows every cell.
    fn each(&self, visit: &mut dyn FnMut(&dyn Cell));

    /// Shows every cell, to end it.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Cell));
}

/// `Self` has the fields of the declaration `D`, a hidden type that each declaration makes for itself. Unsafe code
/// believes nothing of it: what a set is, [`FieldSet`] says, and which of its cells is a field's, the traits of
/// `accessor/`.
pub trait Declares<D>: Host {
    /// The field set of that declaration, with this host's value types.
    type Set: FieldSet + 'static;
}
