//! Accessors of `attach` fields.

use std::panic::Location;

use crate::accessor::{field, first};
use crate::cell::Attach;
use crate::error::AlreadyAttached;
use crate::field_set::Declares;
use crate::host::ExclusiveHost;
use crate::value::Value;

/// Field `I` of `D` is declared `attach`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one member of the field set, always the same; of field 0 it is the first.
pub unsafe trait AttachField<D, const I: usize> {
    /// The declared type.
    type Value: Value;

    /// The field's cell.
    fn cell(set: &Self::Set) -> &Attach<Self::Value>
    where
        Self: Declares<D>;

    /// The field's cell, exclusively.
    fn cell_mut(set: &mut Self::Set) -> &mut Attach<Self::Value>
    where
        Self: Declares<D>;
}

/// `f(&self) -> Option<&V>`
#[inline]
pub fn get<D, const I: usize, H: Declares<D> + AttachField<D, I> + ?Sized>(host: &H) -> Option<&H::Value> {
    let set = first::ready::<H, D, I>(host, |set| H::cell(set).get().is_some())?;
    // SAFETY: the cell is ready.
    Some(unsafe { H::cell(set).ready() })
}

/// `attach_f(&self, V) -> Result<&V, AlreadyAttached<V>>`
///
/// # Errors
///
/// If the field is attached already.
#[inline]
#[track_caller]
pub fn attach<D, const I: usize, H: Declares<D> + AttachField<D, I> + ?Sized>(
    host: &H,
    mut value: H::Value,
) -> Result<&H::Value, AlreadyAttached<H::Value>> {
    let (field, place) = (field::<H, D, I>(), Location::caller());
    if const { I == 0 } && H::is_bare(host) {
        let fill = |set: &mut H::Set, value| H::cell_mut(set).fill(value, place);
        // SAFETY: the first cell is ready then, since that is this one, and it is attached.
        match unsafe { first::start(host, value, fill, |set| H::cell_mut(set).take_back()) } {
            Ok(set) => {
                field.attached();
                H::after_attach(host);
                // SAFETY: as above.
                return Ok(unsafe { H::cell(set).ready() });
            }
            Err(back) => value = back,
        }
    }
    let attached = H::cell(H::reach(host)).attach(field, value, place)?;
    H::after_attach(host);
    Ok(attached)
}

/// `f_mut(&mut self) -> Option<&mut V>`
#[inline]
pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    // SAFETY: the field stays attached, so a first cell that is ready stays so.
    H::cell_mut(unsafe { H::fields_mut(host).look_mut_marked() }?).get_mut()
}

/// `detach_f(&mut self) -> Option<V>`
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    H::cell_mut(H::fields_mut(host).look_mut()?).detach(field::<H, D, I>())
}
