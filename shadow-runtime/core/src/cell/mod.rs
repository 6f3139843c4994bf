//! Cells: the storage of one field of one host.
//!
//! In: a value, from an accessor. Out: the value, as the field's policy allows. One file per policy. Neighbours:
//! `accessor/`, which calls the methods of cells; `fields/node.rs`, which ends the cells of a field set.
//!
//! - **V1** Only a cell's own methods fill the cell, and the methods that do so require `V: Value` (`value.rs`): `V` is
//!   `Send` and `Sync`. An empty cell is harmless for every `V`. So a cell is `Send` and `Sync` for every `V`. Hence a
//!   field set is `Send` and `Sync` without bounds of its own, and a value type without `Send` or `Sync` gives one
//!   error, where the declaration names the type.
//!
//! A cell has no destructor for the value. A field set always ends cell by cell (`fields/node.rs`), so after a panic of
//! one destructor the remaining destructors run (R5).

mod attach;
mod get_or_attach;
mod get_or_update;
mod get_or_update_copy;

pub use attach::Attach;
pub use get_or_attach::GetOrAttach;
pub use get_or_update::GetOrUpdate;
pub use get_or_update_copy::GetOrUpdateCopy;

use std::mem;

use crate::panics::Panics;
use crate::registry::Field;

/// The interface of a cell of any policy. Sealed: a field set has only cells of this module, as a
/// [`FieldSet`](crate::field_set::FieldSet) shows.
pub trait Cell: sealed::Sealed {
    /// Whether the cell holds a value.
    fn is_attached(&self) -> bool;

    /// Takes the value out, counts a detach, and then drops the value.
    fn end(&mut self, field: &'static Field, panics: &mut Panics);
}

mod sealed {
    /// Seals [`Cell`](super::Cell): other crates cannot name this trait.
    pub trait Sealed {}

    impl<V> Sealed for super::Attach<V> {}
    impl<V> Sealed for super::GetOrAttach<V> {}
    impl<V> Sealed for super::GetOrUpdate<V> {}
    impl<V> Sealed for super::GetOrUpdateCopy<V> {}
}

/// Drops a value in place, by `drop_in_place`, if the type has a destructor. A move before the drop would use stack
/// space of the caller, which may be a sweep on a small stack.
#[inline]
fn drop_value<V>(field: &Field, value: *mut V, panics: &mut Panics, drop_in_place: impl FnOnce(*mut V)) {
    if mem::needs_drop::<V>() {
        panics.contain(field, || drop_in_place(value));
    }
}
