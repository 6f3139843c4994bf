//! Accessors of `attach` fields.
//!
//! In: a host, and a value with the location of the call. Out: `&V`, or an error that returns the value. Neighbours:
//! `mod.rs`, the way of every accessor; `cell/attach.rs`, the cell.

use std::panic::Location;

use crate::accessor::field;
use crate::cell::Attach;
use crate::error::AlreadyAttached;
use crate::host::Declares;
use crate::value::Value;

/// Field `I` of `D` is declared `attach`.
///
/// # Safety
///
/// `cell` and `cell_mut` return the same cell of the given field set at each call. For field 0, the cell is the first
/// cell that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait AttachField<D, const I: usize> {
    /// The declared type.
    type Value: Value;

    /// The cell of the field.
    fn cell(set: &Self::Set) -> &Attach<Self::Value>
    where
        Self: Declares<D>;

    /// The cell of the field, by an exclusive borrow.
    fn cell_mut(set: &mut Self::Set) -> &mut Attach<Self::Value>
    where
        Self: Declares<D>;
}

/// `f(&self) -> Option<&V>`: borrows the value.
#[inline]
pub fn get<D, const I: usize, H: Declares<D> + AttachField<D, I> + ?Sized>(host: &H) -> Option<&H::Value> {
    let found = H::find(host)?;
    let cell = H::cell(found.set());
    if const { I == 0 } && found.first_ready() {
        // SAFETY: by N6 the first cell is ready and the attach happens before this read; field 0 has the first cell.
        Some(unsafe { cell.get_unchecked() })
    } else {
        cell.get()
    }
}

/// `attach_f(&self, V) -> Result<&V, AlreadyAttached<V>>`: attaches the value.
///
/// # Errors
///
/// If the field is already attached. The error returns the value.
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

/// Publishes the first field set of the host, with the attached value. Returns the value if the host has a field set.
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
    // SAFETY: `new` comes from `new_first` of this host. The first cell, which is the cell of field 0, was just filled.
    match unsafe { H::insert_first(host, new) } {
        // SAFETY: by P2 `set` is the filled set, and this thread has filled the cell.
        Ok(set) => Ok(unsafe { H::cell(set).get_unchecked() }),
        Err(mut back) => Err(H::cell_mut(back.set_mut()).take_back().expect("it was just filled")),
    }
}

/// `f_mut(&mut self) -> Option<&mut V>`: borrows the value exclusively.
#[inline]
pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized,
{
    // SAFETY: the field stays attached during the borrow, so a ready first cell stays ready.
    H::cell_mut(unsafe { H::fields_mut(host)?.find_mut_keeping_first() }?).get_mut()
}

/// `detach_f(&mut self) -> Option<V>`: moves the value out of the cell, without a drop.
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + AttachField<D, I> + ?Sized,
{
    H::cell_mut(H::fields_mut(host)?.find_mut()?).take_back().inspect(|_| field::<H, D, I>().counts().detached())
}
