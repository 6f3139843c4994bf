//! Accessors of `get_or_attach` fields.
//!
//! `f` and `get_or_attach_f` are one function with different initialisers; `f_mut` is `f` and then [`get_mut`].

use std::any::TypeId;
use std::convert::Infallible;

use crate::accessor::{field, first};
use crate::cell::GetOrAttach;
use crate::claim::{Claim, Place, Record};
use crate::field_set::Declares;
use crate::host::{ExclusiveHost, sweep_deferred};
use crate::value::Value;

/// Field `I` of `D` is declared `get_or_attach`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one member of the field set, always the same; of field 0 it is the first.
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
    // SAFETY: it is ready.
    ready(host).map(|set| unsafe { H::cell(set).ready() })
}

/// The field set of `host`, if the field's cell is ready.
#[inline]
fn ready<D, const I: usize, H: Declares<D> + GetOrAttachField<D, I> + ?Sized>(host: &H) -> Option<&H::Set> {
    first::ready::<H, D, I>(host, |set| H::cell(set).get().is_some())
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
    let set = match ready(host) {
        Some(set) => set,
        None => initialise(host, init)?,
    };
    // SAFETY: it is ready, or attached by now.
    Ok(unsafe { H::cell(set).ready() })
}

/// The path of a miss. Returns the field set, whose cell is attached, and that is where the path of a hit has come to, too.
#[cold]
fn initialise<D, const I: usize, H, E>(host: &H, init: impl FnOnce() -> Result<H::Value, E>) -> Result<&H::Set, E>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let attached = claim_and_attach(host, init);
    // What strangers' destructors do is done when nothing is claimed any more.
    sweep_deferred();
    if attached.is_ok() {
        H::after_attach(host);
    }
    attached
}

/// Claims the field (R3), looks again, runs the initialiser under no lock, and only then makes the place for its value;
/// so a host whose initialisers fail pays for nothing (R6).
fn claim_and_attach<D, const I: usize, H, E>(host: &H, init: impl FnOnce() -> Result<H::Value, E>) -> Result<&H::Set, E>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let record = Record::new(Place::Field { host: H::identity(host), set: TypeId::of::<H::Set>(), index: I });
    let field = field::<H, D, I>();
    loop {
        let claim = Claim::take(&record, field);
        // If there was somebody to wait for, who may have failed, look and claim again.
        if let Some(set) = ready(host) {
            return Ok(set);
        }
        if claim.is_some() {
            return Ok(attach(host, init()?));
        }
    }
}

/// Attaches a value to a field that this thread has claimed, and found empty. Returns the field set.
fn attach<D, const I: usize, H>(host: &H, mut value: H::Value) -> &H::Set
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let field = field::<H, D, I>();
    if const { I == 0 } && H::is_bare(host) {
        let fill = |set: &mut H::Set, value| H::cell_mut(set).fill(value);
        // SAFETY: the first cell is ready then, since that is this one, and it is attached.
        match unsafe { first::start(host, value, fill, |set| H::cell_mut(set).take_back()) } {
            Ok(set) => {
                field.attached();
                return set;
            }
            Err(back) => value = back,
        }
    }
    let set = H::reach(host);
    H::cell(set).attach(field, value);
    set
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
    let set = unsafe { H::fields_mut(host).look_mut_marked() };
    set.and_then(|set| H::cell_mut(set).get_mut()).expect("attached by the accessor a moment ago")
}

/// `detach_f(&mut self) -> Option<V>`
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
{
    H::cell_mut(H::fields_mut(host).look_mut()?).detach(field::<H, D, I>())
}
