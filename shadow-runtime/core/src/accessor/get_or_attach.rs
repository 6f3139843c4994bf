//! Accessors of `get_or_attach` fields.
//!
//! `f` and `get_or_attach_f` are one function with different initialisers; `f_mut` is `f` and then [`get_mut`].

use std::any::TypeId;
use std::convert::Infallible;
use std::ptr;

use crate::accessor::field;
use crate::cell::GetOrAttach;
use crate::claim::{Claim, Place, Record};
use crate::field_set::Declares;
use crate::host::{ExclusiveHost, SweepDeferred};
use crate::value::Value;

/// Field `I` of `D` is declared `get_or_attach`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one cell of the field set that they are given, always the same; of field 0 it is the
/// first that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrAttachField<D, const I: usize> {
    /// The declared type.
    type Value: Value;

    /// The field's cell.
    fn cell(set: &Self::Set) -> &GetOrAttach<Self::Value>
    where
        Self: Declares<D>;

    /// The field's cell, exclusively.
    fn cell_mut(set: &mut Self::Set) -> &mut GetOrAttach<Self::Value>
    where
        Self: Declares<D>;
}

/// `peek_f(&self) -> Option<&V>`
#[inline]
pub fn peek<D, const I: usize, H: Declares<D> + GetOrAttachField<D, I> + ?Sized>(host: &H) -> Option<&H::Value> {
    let found = H::find(host)?;
    let cell = H::cell(found.set());
    if const { I == 0 } && found.first_ready() {
        // SAFETY: by N6 the first cell is ready and this thread has acquired it, and of field 0 it is this one.
        Some(unsafe { cell.ready() })
    } else {
        cell.get()
    }
}

/// `f(&self) -> &V` and `get_or_attach_f(&self, impl FnOnce() -> V) -> &V`
///
/// # Panics
///
/// If `init` does, or asks for the field that it initialises.
#[inline]
pub fn get_or_attach<D, const I: usize, H: Declares<D> + GetOrAttachField<D, I> + ?Sized>(
    host: &H,
    init: impl FnOnce() -> H::Value,
) -> &H::Value {
    match get_or_try_attach(host, || Ok::<_, Infallible>(init())) {
        Ok(value) => value,
        Err(never) => match never {},
    }
}

/// `get_or_try_attach_f(&self, impl FnOnce() -> Result<V, E>) -> Result<&V, E>`
///
/// # Errors
///
/// What `init` returns; then nothing is attached.
///
/// # Panics
///
/// If `init` does, or asks for the field that it initialises.
#[inline]
pub fn get_or_try_attach<D, const I: usize, H: Declares<D> + GetOrAttachField<D, I> + ?Sized, E>(
    host: &H,
    init: impl FnOnce() -> Result<H::Value, E>,
) -> Result<&H::Value, E> {
    match peek(host) {
        Some(value) => Ok(value),
        None => initialise(host, init),
    }
}

/// The path of a miss.
#[cold]
fn initialise<D, const I: usize, H, E>(host: &H, init: impl FnOnce() -> Result<H::Value, E>) -> Result<&H::Value, E>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let sweep_deferred = SweepDeferred;
    let attached = claim_and_attach(host, init);
    // Destructors of strangers run when nothing is claimed any more.
    drop(sweep_deferred);
    if attached.is_ok() {
        H::after_attach(host);
    }
    attached
}

/// Claims the field (R3), looks again, runs the initialiser under no lock, and only then makes the place for its value;
/// so a host whose initialisers fail pays for nothing (R6).
fn claim_and_attach<D, const I: usize, H, E>(
    host: &H,
    init: impl FnOnce() -> Result<H::Value, E>,
) -> Result<&H::Value, E>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let field = field::<H, D, I>();
    let (host_is, set, declared) = (H::identity(host), TypeId::of::<H::Set>(), ptr::from_ref(field).addr());
    let record = Record::new(Place::Field { host: host_is, set, index: I, declared });
    loop {
        let claim = Claim::take(&record, field);
        // If there was somebody to wait for, who may have failed, look and claim again.
        if let Some(value) = peek(host) {
            return Ok(value);
        }
        if claim.is_some() {
            return Ok(attach(host, init()?));
        }
    }
}

/// Attaches a value to a field that this thread has claimed, and found empty.
fn attach<D, const I: usize, H>(host: &H, mut value: H::Value) -> &H::Value
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let field = field::<H, D, I>();
    if const { I == 0 } {
        match attach_first(host, value) {
            Ok(attached) => {
                field.attached();
                return attached;
            }
            Err(back) => value = back,
        }
    }
    H::cell(H::find_or_insert(host)).attach(field, value)
}

/// Attaches a value to a host that has no field set yet, or gives it back.
#[inline]
fn attach_first<D, const I: usize, H>(host: &H, value: H::Value) -> Result<&H::Value, H::Value>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let Some(mut new) = H::new_first::<H::Set>(host) else { return Err(value) };
    H::cell_mut(new.set_mut()).fill(value);
    // SAFETY: it is of this host; its first cell, which is that of field 0, was just filled.
    match unsafe { H::insert_first(host, new) } {
        // SAFETY: by P2 it is the set that was filled, by this thread.
        Ok(set) => Ok(unsafe { H::cell(set).ready() }),
        Err(mut back) => Err(H::cell_mut(back.set_mut()).take_back().expect("it was just filled")),
    }
}

/// `f_mut(&mut self) -> &mut V`, once `f` has attached the value.
///
/// # Panics
///
/// If the field is not attached, which the generated accessor rules out.
#[inline]
pub fn get_mut<D, const I: usize, H>(host: &mut H) -> &mut H::Value
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    // SAFETY: the field stays attached, so a first cell that is ready stays so.
    let set = unsafe { H::fields_mut(host).find_mut_marked() };
    set.and_then(|set| H::cell_mut(set).get_mut()).expect("attached by the accessor a moment ago")
}

/// `detach_f(&mut self) -> Option<V>`
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    H::cell_mut(H::fields_mut(host).find_mut()?).detach(field::<H, D, I>())
}
