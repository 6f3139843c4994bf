//! Cells: what holds one field of one host.
//!
//! In: a value, from an accessor. Out: the value, as the field's policy allows. One file per policy.
//!
//! - **V1** Only the methods of a cell fill the cell, and each of these methods requires `V: Value` (`value.rs`), which
//!   is `Send`, `Sync` and `'static`. An empty cell is harmless whatever `V` is. So a cell is `Send` and `Sync` for
//!   every `V`. Hence a field set is `Send` and `Sync` without bounds of its own, and a value type that is neither
//!   gives one error, where the declaration names the type.
//!
//! A cell does not drop its value by itself: its field set is always ended, cell by cell (`fields/node.rs`), so that
//! one destructor that panics does not keep the others from running (R5).

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

/// What every cell can do, whatever its policy. Sealed: a field set has no cells but those of this module, which is
/// what a [`FieldSet`](crate::field_set::FieldSet) shows.
pub trait Cell: sealed::Sealed {
    /// Whether it holds a value.
    fn is_attached(&self) -> bool;

    /// Takes the value out, counts it as detached, and then drops it.
    fn end(&mut self, field: &'static Field, panics: &mut Panics);
}

mod sealed {
    /// What is a [`Cell`](super::Cell): nobody outside can name it.
    pub trait Sealed {}

    impl<V> Sealed for super::Attach<V> {}
    impl<V> Sealed for super::GetOrAttach<V> {}
    impl<V> Sealed for super::GetOrUpdate<V> {}
    impl<V> Sealed for super::GetOrUpdateCopy<V> {}
}

/// Drops a value where it is, by `drop_in_place`, if that does anything: on the way out it would take room on the stack
/// of whoever ends the field, which may be a sweep on a small one.
#[inline]
fn drop_value<V>(field: &Field, value: *mut V, panics: &mut Panics, drop_in_place: impl FnOnce(*mut V)) {
    if mem::needs_drop::<V>() {
        panics.contain(field, || drop_in_place(value));
    }
}
