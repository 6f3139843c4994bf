//! Accessors of `get_or_attach` fields.
//!
//! In: a host, and an initialiser. Out: `&V`. Neighbours: `mod.rs`, the way of every accessor; `cell/get_or_attach.rs`,
//! the cell; `init_lock/mod.rs`, the lock under which the initialiser runs.
//!
//! `f` and `get_or_attach_f` are one function with different initialisers. `f_mut` calls `f`, and then [`get_mut`].

use std::any::TypeId;
use std::convert::Infallible;

use crate::accessor::field;
use crate::cell::GetOrAttach;
use crate::host::Declares;
use crate::host::SweepDeferred;
use crate::init_lock::{InitGuard, InitKey, Request};
use crate::value::Value;

/// Field `I` of `D` is declared `get_or_attach`.
///
/// # Safety
///
/// `cell` and `cell_mut` return the same cell of the given field set at each call. For field 0, the cell is the first
/// cell that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrAttachField<D, const I: usize> {
    /// The declared type.
    type Value: Value;

    /// The cell of the field.
    fn cell(set: &Self::Set) -> &GetOrAttach<Self::Value>
    where
        Self: Declares<D>;

    /// The cell of the field, by an exclusive borrow.
    fn cell_mut(set: &mut Self::Set) -> &mut GetOrAttach<Self::Value>
    where
        Self: Declares<D>;
}

/// `peek_f(&self) -> Option<&V>`: borrows the value, and never attaches one.
#[inline]
pub fn peek<D, const I: usize, H: Declares<D> + GetOrAttachField<D, I> + ?Sized>(host: &H) -> Option<&H::Value> {
    let found = H::find(host)?;
    let cell = H::cell(found.set());
    if const { I == 0 } && found.first_ready() {
        // SAFETY: by N6 the first cell is ready and the attach happens before this read; field 0 has the first cell.
        Some(unsafe { cell.get_unchecked() })
    } else {
        cell.get()
    }
}

/// `f(&self) -> &V` and `get_or_attach_f(&self, impl FnOnce() -> V) -> &V`
///
/// # Panics
///
/// If `init` panics, or requests the field that `init` initialises.
#[inline]
#[track_caller]
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
/// If `init` returns an error. Then no value is attached.
///
/// # Panics
///
/// If `init` panics, or requests the field that `init` initialises.
#[inline]
#[track_caller]
pub fn get_or_try_attach<D, const I: usize, H: Declares<D> + GetOrAttachField<D, I> + ?Sized, E>(
    host: &H,
    init: impl FnOnce() -> Result<H::Value, E>,
) -> Result<&H::Value, E> {
    match peek(host) {
        Some(value) => Ok(value),
        None => initialise(host, init),
    }
}

/// The slow path, for a field that is not attached.
#[cold]
#[track_caller]
fn initialise<D, const I: usize, H, E>(host: &H, init: impl FnOnce() -> Result<H::Value, E>) -> Result<&H::Value, E>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let sweep_deferred = SweepDeferred;
    let attached = lock_and_attach(host, init);
    // Destructors of dead hosts may run from here on, since this thread has released its init lock.
    drop(sweep_deferred);
    if attached.is_ok() {
        H::after_attach(host);
    }
    attached
}

/// Acquires the init lock of the field (R3), searches again, and runs the initialiser under no lock. Only a successful
/// initialiser leads to an allocation of the field set, so a host whose initialisers fail costs no memory (R6).
#[track_caller]
fn lock_and_attach<D, const I: usize, H, E>(
    host: &H,
    init: impl FnOnce() -> Result<H::Value, E>,
) -> Result<&H::Value, E>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let field = field::<H, D, I>();
    let (host_is, set) = (H::identity(host), TypeId::of::<H::Set>());
    let request = Request::new(InitKey::Field { host: host_is, set, index: I, declared: field });
    loop {
        // SAFETY: no earlier call has returned a guard. The guard is a local variable, which the loop drops.
        let guard = match unsafe { InitGuard::acquire(&request) } {
            Ok(guard) => guard,
            Err(circle) => circle.raise(),
        };
        // Without the lock, this thread has waited for another initialiser, which may have failed: search again, and
        // request the lock again.
        if let Some(value) = peek(host) {
            return Ok(value);
        }
        if guard.is_some() {
            return Ok(attach(host, init()?));
        }
    }
}

/// Attaches a value to a field that this thread has locked and found empty.
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

/// Publishes the first field set of the host, with the attached value. Returns the value if the host has a field set.
#[inline]
fn attach_first<D, const I: usize, H>(host: &H, value: H::Value) -> Result<&H::Value, H::Value>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    let Some(mut new) = H::new_first::<H::Set>(host) else { return Err(value) };
    H::cell_mut(new.set_mut()).fill(value, ());
    // SAFETY: `new` comes from `new_first` of this host. The first cell, which is the cell of field 0, was just filled.
    match unsafe { H::insert_first(host, new) } {
        // SAFETY: by P2 `set` is the filled set, and this thread has filled the cell.
        Ok(set) => Ok(unsafe { H::cell(set).get_unchecked() }),
        Err(mut back) => Err(H::cell_mut(back.set_mut()).take_back().expect("it was just filled")),
    }
}

/// `f_mut(&mut self) -> &mut V`, after `f` has attached the value.
///
/// # Panics
///
/// If the field is not attached, which the generated accessor rules out.
#[inline]
pub fn get_mut<D, const I: usize, H>(host: &mut H) -> &mut H::Value
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    // SAFETY: the field stays attached during the borrow, so a ready first cell stays ready.
    let set = H::fields_mut(host).and_then(|fields| unsafe { fields.find_mut_keeping_first() });
    set.and_then(|set| H::cell_mut(set).get_mut()).expect("attached by the accessor a moment ago")
}

/// `detach_f(&mut self) -> Option<V>`: moves the value out of the cell, without a drop.
#[inline]
pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
where
    H: Declares<D> + GetOrAttachField<D, I> + ?Sized,
{
    H::cell_mut(H::fields_mut(host)?.find_mut()?).take_back().inspect(|_| field::<H, D, I>().counts().detached())
}
