//! Cells: the storage of one field of one host.
//!
//! In: a value, from an accessor. Out: the value, as the field's policy allows. One file per policy; `write_once.rs`,
//! the storage of two policies. Neighbours: `accessor/`, which calls the methods of cells; `fields/node.rs`, which
//! destroys the cells of a field set.
//!
//! - **V1** Only a cell's own methods fill the cell. The methods that take a value require `V: Value` (`value.rs`): `V`
//!   is `Send` and `Sync`. The method `clone_into` fills a cell only with a clone of the value of another cell of the
//!   same type, so `V` is a `Value` as well. An empty cell is harmless for every `V`. So a cell is `Send` and `Sync`
//!   for every `V`. Hence a field set is `Send` and `Sync` without bounds of its own, and a value type without `Send`
//!   or `Sync` gives one error, where the declaration names the type.
//!
//! A cell has no destructor for the value. A field set destroys its cells one by one (`fields/node.rs`), so after a
//! panic of one destructor the remaining destructors run (R5).

mod attach;
mod bias;
mod get_or_attach;
mod get_or_update;
mod get_or_update_copy;
mod write_once;

pub use attach::Attach;
pub use get_or_attach::GetOrAttach;
pub use get_or_update::GetOrUpdate;
pub use get_or_update_copy::GetOrUpdateCopy;

use crate::panics::Panics;
use crate::registry::Field;

/// The interface of a cell of any policy. Sealed: a field set has only cells of this module, as a
/// [`FieldSet`](crate::field_set::FieldSet) shows.
pub trait FieldCell: sealed::Sealed {
    /// Whether the cell holds a value.
    fn is_attached(&self) -> bool;

    /// Takes the value out, counts a detach, and then drops the value.
    fn destroy(&mut self, field: &'static Field, panics: &mut Panics);
}

mod sealed {
    /// Seals [`FieldCell`](super::FieldCell): other crates cannot name this trait.
    pub trait Sealed {}

    impl<V, S> Sealed for super::write_once::WriteOnce<V, S> {}
    impl<V> Sealed for super::GetOrUpdate<V> {}
    impl<V> Sealed for super::GetOrUpdateCopy<V> {}
}
