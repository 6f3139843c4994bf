//! Accessors of `attach` fields.

use std::panic::Location;

use crate::accessor::{field, first};
use crate::cell::Attach;
use crate::error::AlreadyAttached;
use crate::field_set::{Declares, FieldSet};
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
    // SAFETY: the first cell is ready, and that is this one.
    let when_ready = |set| unsafe { H::cell(set).ready() };
    first::read::<H, D, I, _>(host, when_ready, |set| H::cell(set).get())
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
    if first::can_start::<H, D, I>(host) {
        let mut set = H::Set::empty();
        H::cell_mut(&mut set).fill(value, place);
        // SAFETY: the first cell is ready, since that is this one, and it is attached.
        match unsafe { first::start::<H, D>(host, set) } {
            Ok(set) => {
                field.attached();
                H::after_attach(host);
                // SAFETY: as above.
                return Ok(unsafe { H::cell(set).ready() });
            }
            Err(set) => value = back::<D, I, H>(set),
        }
    }
    let attached = H::cell(H::reach(host)).attach(field, value, place)?;
    // SAFETY: the cell is attached, so it is ready; if it is field 0, it is the first.
    unsafe { first::mark::<H, D, I>(host) };
    H::after_attach(host);
    Ok(attached)
}

/// The value of a field set that was put nowhere.
#[cold]
fn back<D, const I: usize, H: Declares<D> + AttachField<D, I> + ?Sized>(mut set: H::Set) -> H::Value {
    H::cell_mut(&mut set).take_back().expect("it was just put in")
}

/// `f_mut(&mut self) -> Option<&mut V>`
#[inline]
pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    H::cell_mut(H::fields_mut(host).look_mut()?).get_mut()
}

/// `detach_f(&mut self) -> Option<V>`
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    H::cell_mut(H::fields_mut(host).look_mut()?).detach(field::<H, D, I>())
}
