//! Accessors of `get_or_update(copy)` fields: those of `get_or_update` fields, with another bound and another cell.

use crate::accessor::get_or_update::accessors;
use crate::cell::GetOrUpdateCopy;
use crate::field_set::Declares;
use crate::value::{Copied, Value};

/// Field `I` of `D` is declared `get_or_update(copy)`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one cell of the field set that they are given, always the same; of field 0 it is the
/// first that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrUpdateCopyField<D, const I: usize> {
    /// The declared type.
    type Value: Value + Copied;

    /// The field's cell.
    fn cell(set: &Self::Set) -> &GetOrUpdateCopy<Self::Value>
    where
        Self: Declares<D>;

    /// The field's cell, exclusively.
    fn cell_mut(set: &mut Self::Set) -> &mut GetOrUpdateCopy<Self::Value>
    where
        Self: Declares<D>;
}

accessors!(GetOrUpdateCopyField);
