//! Accessors of `get_or_update(copy)` fields: the accessors of `get_or_update` fields, for another bound and another
//! cell, a seqlock.
//!
//! In: a host, and a value, or a closure that computes the next value. Out: copies of the newest value, and previous
//! values. Neighbours: `get_or_update.rs`, the macro with the accessors; `cell/get_or_update_copy.rs`, the cell.

use crate::accessor::get_or_update::accessors;
use crate::cell::GetOrUpdateCopy;
use crate::host::Declares;
use crate::value::{CopyValue, Value};

/// Field `I` of `D` is declared `get_or_update(copy)`.
///
/// # Safety
///
/// `cell` and `cell_mut` return the same cell of the given field set at each call. For field 0, the cell is the first
/// cell that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrUpdateCopyField<D, const I: usize> {
    /// The declared type.
    type Value: Value + CopyValue;

    /// The cell of the field.
    fn cell(set: &Self::Set) -> &GetOrUpdateCopy<Self::Value>
    where
        Self: Declares<D>;

    /// The cell of the field, by an exclusive borrow.
    fn cell_mut(set: &mut Self::Set) -> &mut GetOrUpdateCopy<Self::Value>
    where
        Self: Declares<D>;
}

accessors!(GetOrUpdateCopyField);
