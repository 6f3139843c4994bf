//! Accessors of `get_or_update(copy)` fields: the accessors of `get_or_update` fields, for another bound and another
//! cell, a seqlock.

use crate::accessor::get_or_update::accessors;
use crate::cell::GetOrUpdateCopy;
use crate::field_set::Declares;
use crate::value::{Copied, Value};

/// Field `I` of `D` is declared `get_or_update(copy)`.
///
/// # Safety
///
/// `cell` and `cell_mut` return the same cell of the given field set at each call. For field 0, the cell is the first
/// cell that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrUpdateCopyField<D, const I: usize> {
    /// The declared type.
    type Value: Value + Copied;

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
