//! Accessors of `attach` fields.

use std::panic::Location;

use crate::accessor::field;
use crate::cell::Attach;
use crate::error::AlreadyAttached;
use crate::field_set::Declares;
use crate::host::ExclusiveHost;
use crate::value::Value;

/// Field `I` of `D` is declared `attach`.
pub trait AttachField<D, const I: usize> {
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
    H::cell(H::look(host)?).get()
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
    value: H::Value,
) -> Result<&H::Value, AlreadyAttached<H::Value>> {
    let attached = H::cell(H::reach(host)).attach(field::<H, D, I>(), value, Location::caller())?;
    H::after_attach(host);
    Ok(attached)
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
