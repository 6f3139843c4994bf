//! Accessors of `attach` fields.

use std::panic::Location;

use crate::accessor::field;
use crate::cell::Attach;
use crate::error::AlreadyAttached;
use crate::field_set::Declares;
use crate::host::ExclusiveHost;
use crate::value::Value;

/// Field `I` of `D` is declared `attach`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one cell of the field set that they are given, always the same; of field 0 it is the
/// first that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
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
    let found = H::find(host)?;
    let cell = H::cell(found.set());
    if const { I == 0 } && found.first_ready() {
        // SAFETY: by N6 the first cell is ready and this thread has acquired it, and of field 0 it is this one.
        Some(unsafe { cell.ready() })
    } else {
        cell.get()
    }
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
    if const { I == 0 } {
        match attach_first(host, value, place) {
            Ok(attached) => {
                field.attached();
                H::after_attach(host);
                return Ok(attached);
            }
            Err(back) => value = back,
        }
    }
    let attached = H::cell(H::find_or_insert(host)).attach(field, value, place)?;
    H::after_attach(host);
    Ok(attached)
}

/// Attaches a value to a host that has no field set yet, or gives it back.
#[inline]
fn attach_first<'host, D, const I: usize, H>(
    host: &'host H,
    value: H::Value,
    place: &'static Location<'static>,
) -> Result<&'host H::Value, H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized,
{
    let Some(mut new) = H::new_first::<H::Set>(host) else { return Err(value) };
    H::cell_mut(new.set_mut()).fill(value, place);
    // SAFETY: it is of this host; its first cell, which is that of field 0, was just filled.
    match unsafe { H::insert_first(host, new) } {
        // SAFETY: by P2 it is the set that was filled, by this thread.
        Ok(set) => Ok(unsafe { H::cell(set).ready() }),
        Err(mut back) => Err(H::cell_mut(back.set_mut()).take_back().expect("it was just filled")),
    }
}

/// `f_mut(&mut self) -> Option<&mut V>`
#[inline]
pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    // SAFETY: the field stays attached, so a first cell that is ready stays so.
    H::cell_mut(unsafe { H::fields_mut(host).find_mut_marked() }?).get_mut()
}

/// `detach_f(&mut self) -> Option<V>`
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    H::cell_mut(H::fields_mut(host).find_mut()?).detach(field::<H, D, I>())
}
