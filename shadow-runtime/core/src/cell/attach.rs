//! The cell of an `attach` field: the first attach writes the value, and later attaches are refused.
//!
//! In: a value and the source location of its attach, the *place*. Out: `&V`, as long as the cell is borrowed (R1, R8).
//! Neighbours: `accessor/attach.rs`; `get_or_attach.rs`, the same without places.
//!
//! # State
//!
//! The word `place` is the state of the cell: null, an empty cell; [`BUSY`], a thread is moving a value in; otherwise
//! the place of the attach, which a refused attach reports.
//!
//! - **O1** While the cell is shared, only the thread that has taken the word, by CAS, from null to `BUSY` writes the
//!   value, once, before the store of the place. While the word is a place, the value is initialised and only read,
//!   until `&mut` access takes the value out.
//!
//! *Reader*: load the word with `Acquire`. If the word is a place, its `Release` store publishes the value. *Attacher*:
//! CAS null to `BUSY`, `Relaxed` on success: no memory was published through null, and the store of the place publishes
//! the value later. On failure, wait while the word is `BUSY`: as long as another thread takes to move a value, under
//! no lock and without user code. Then the word is a place, and stays a place while the cell is shared.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;
use std::panic::Location;
use std::ptr;

use crate::cell::{Cell, drop_value};
use crate::error::AlreadyAttached;
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering, wait_a_moment};
use crate::value::Value;

/// One `attach` field of one host.
///
/// The value is first in memory, so the value of the first cell of a field set is next to the type tag of the node.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(C)]
pub struct Attach<V> {
    value: UnsafeCell<MaybeUninit<V>>,
    place: AtomicPtr<Location<'static>>,
}

type Place = &'static Location<'static>;

/// Sentinel: not null, and below the address of any place.
const BUSY: *mut Location<'static> = ptr::without_provenance_mut(1);

// SAFETY: by V1 (`cell/mod.rs`) only `fill` and `attach` fill the cell. The two methods require `V: Value`, which is
// `Send`. An empty cell holds no value to send.
unsafe impl<V> Send for Attach<V> {}
// SAFETY: by V1 a filled cell has a `V: Value`. By O1 one thread writes the value before its publication, which
// requires `Send`. Then threads only read the value, which requires `Sync`. Every `Value` is `Send` and `Sync`.
unsafe impl<V> Sync for Attach<V> {}

impl<V> Attach<V> {
    /// Initialises an empty cell. Does not touch the memory of the value, however large.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller guarantees that `cell` is valid for writes and aligned, so the place is within an
        // allocation.
        let place = unsafe { &raw mut (*cell).place };
        // SAFETY: the pointer is to a part of `cell`, so valid for writes and aligned. The value is a `MaybeUninit`,
        // and needs no initialisation.
        unsafe { place.write(AtomicPtr::new(ptr::null_mut())) };
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        // Acquire: pairs with the Release of `attach`.
        if self.place.load(Ordering::Acquire) <= BUSY {
            return None;
        }
        // SAFETY: the word is a place, so by O1 the value is initialised as long as `self` is borrowed. The Acquire
        // above has synchronised with the Release of the place.
        Some(unsafe { self.ready() })
    }

    /// Attaches `value` to an empty cell. Waits only while another thread moves its value in.
    ///
    /// # Errors
    ///
    /// If the cell is attached: `value`, with the places of the two attaches.
    pub(crate) fn attach(&self, field: &'static Field, value: V, place: Place) -> Result<&V, AlreadyAttached<V>>
    where
        V: Value,
    {
        // Relaxed: no memory was published through null; see the header.
        if self.place.compare_exchange(ptr::null_mut(), BUSY, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Err(self.refuse(field, value, place));
        }
        let room = self.value.get();
        // SAFETY: by O1 only the thread that has set `BUSY` writes, and no thread reads before the store of the place.
        unsafe { (*room).write(value) };
        // Release: publishes the value. Pairs with the Acquire of `get`.
        self.place.store(ptr::from_ref(place).cast_mut(), Ordering::Release);
        field.attached();
        // From the store on, other threads may use the value, so the exclusive reference that `write` returns is not
        // valid any more.
        // SAFETY: this thread has written the value, so by O1 the value is initialised as long as `self` is borrowed.
        Ok(unsafe { self.ready() })
    }

    #[cold]
    fn refuse(&self, field: &'static Field, value: V, second: Place) -> AlreadyAttached<V> {
        let first = loop {
            // Relaxed: the value is not read. A place is a constant in static memory.
            let first = self.place.load(Ordering::Relaxed);
            if first != BUSY {
                break first;
            }
            wait_a_moment();
        };
        // SAFETY: the word was neither null, since the CAS has failed, nor `BUSY`. So by O1 the word is a
        // `&'static Location` that `attach` or `fill` has stored.
        let first = unsafe { &*first };
        AlreadyAttached::refuse(field, value, first, second)
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell.
    #[inline]
    pub(crate) fn fill(&mut self, value: V, place: Place)
    where
        V: Value,
    {
        self.value.get_mut().write(value);
        // Relaxed, here and below: `self` is `&mut`, so no thread races.
        self.place.store(ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
    }

    /// Takes the value out, without a count.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        self.get()?;
        self.place.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: by O1 the value was initialised. The word is null now, so the value is not read again.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }

    /// The value of a ready cell, without a load of the word.
    ///
    /// # Safety
    ///
    /// The cell is ready: attached as long as the cell is borrowed. This thread has attached the value, or an `Acquire`
    /// of this thread has synchronised with a `Release` after the attach.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> &V {
        // SAFETY: by O1 no thread writes to the value of an attached cell while `self` is borrowed.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the caller guarantees that the cell is attached, so by O1 the value is initialised.
        unsafe { value.assume_init_ref() }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.get()?;
        // SAFETY: `get` has found a value, so by O1 the value is initialised.
        Some(unsafe { self.value.get_mut().assume_init_mut() })
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V> {
        let value = self.take_back()?;
        field.counts().detached();
        Some(value)
    }
}

impl<V> Cell for Attach<V> {
    fn is_attached(&self) -> bool {
        self.get().is_some()
    }

    fn end(&mut self, field: &'static Field, panics: &mut Panics) {
        if self.get().is_none() {
            return;
        }
        // Relaxed: `self` is `&mut`, so no thread races.
        self.place.store(ptr::null_mut(), Ordering::Relaxed);
        field.counts().detached();
        let value = self.value.get_mut().as_mut_ptr();
        // SAFETY: by O1 the value was initialised. The word is null now, so the value is not used after this drop.
        drop_value(field, value, panics, |value| unsafe { value.drop_in_place() });
    }
}
