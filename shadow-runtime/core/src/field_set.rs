//! The trait of a declaration: its field set.
//!
//! In: structs that the macros generate. Out: the trait over which hosts and accessors are generic. Neighbour:
//! `host/mod.rs`, whose `Declares` relates a host to the field set.
//!
//! A field set is generic over the value types alone, not over the generics of the host. So the set is `'static`, as
//! its identity (`TypeId`) requires, while the host may borrow.

use crate::cell::FieldCell;
use crate::registry::Field;

/// The hidden struct of one declaration: one cell per field.
///
/// [`ShadowFields`](crate::ShadowFields) is `Send + Sync` because every field set is. By V1 a cell is `Send + Sync` for
/// every value type, because only a `Value` (`value.rs`) can fill the cell.
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
    /// Initialises an empty set in place: a set may be larger than a stack.
    ///
    /// # Safety
    ///
    /// `place` is valid for writes of a `Self`, and aligned for a `Self`.
    unsafe fn init(place: *mut Self)
    where
        Self: Sized;

    /// The declared fields, one per cell, in the order of [`each`](Self::each).
    fn fields() -> &'static [Field]
    where
        Self: Sized;

    /// Calls `visit` with each cell.
    fn each(&self, visit: &mut dyn FnMut(&dyn FieldCell));

    /// Calls `visit` with each cell, exclusively, to drop the value of the cell.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut dyn FieldCell));
}
