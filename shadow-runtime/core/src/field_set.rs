//! The trait of a declaration: its field set.
//!
//! In: structs that the macros generate. Out: the trait over which hosts and accessors are generic. Neighbours:
//! `host/mod.rs`, whose `Declares` relates a host to the field set; `fields/clone.rs`, which clones carried fields.
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

    /// Clones the values of the carried fields, which declare `#[shadow(clone)]`. `None` if no field does. Unsafe code
    /// does not rely on the function.
    const CLONE_CARRIED: Option<CloneCarried<Self>> = None;
}

/// Clones the carried fields of a set to a set of the host's clone. Calls [`NewSet::set_mut`] once for each value,
/// after the clone of the value.
pub type CloneCarried<S> = fn(&S, &mut dyn NewSet<S>);

/// The field set `S` of a clone, before its publication.
pub trait NewSet<S: ?Sized> {
    /// The set, which the first call makes: a clone without values costs no memory (R6).
    fn set_mut(&mut self) -> &mut S;
}
