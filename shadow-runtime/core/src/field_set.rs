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
/// - **D1** When `init` returns, there is a set at `place` whose cells are all empty.
/// - **D2** `each` and `each_mut` show the cells of `self`, each of them once, and do nothing else with them: a cell is
///   neither moved nor exchanged.
/// - **D3** `fields` returns the same slice each time, which has one item per cell, in the order of `each`. It is all of a
///   static that belongs to one declaration, in one linked image (`fields/node.rs`). Two sets with one `fields` and one
///   `TypeId` are one type.
///
/// All of them are called under no lock of the library.
pub unsafe trait FieldSet: Send + Sync {
    /// Makes a set with nothing attached, where it is to stay: a set may be larger than a stack.
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

/// `Self` has the fields of the declaration `D`, a hidden type that each declaration makes for itself. Unsafe code believes
/// nothing of it: what a set is, [`FieldSet`] says, and which of its cells is a field's, the traits of `accessor/`.
pub trait Declares<D>: Host {
    /// The field set of that declaration, with this host's value types.
    type Set: FieldSet + 'static;
}
