//! The cell of a `get_or_attach` field: the initialiser of the first request writes the value, once.
//!
//! In: the value that an initialiser has made. Out: `&V`, the same for all threads, as long as the cell is borrowed
//! (R1, R8). Neighbours: `accessor/get_or_attach.rs`; `attach.rs`, the same with places.
//!
//! `accessor/get_or_attach.rs` runs the initialiser, under a claim on the field (`claim.rs`), on which other threads
//! wait. The cell need not exist before the initialiser returns (R6). By the claim, no thread finds the state `BUSY`;
//! but the soundness of the cell does not rely on claims.
//!
//! - **O2** While the cell is shared, only the thread that has taken the state, by CAS, from `EMPTY` to `BUSY` writes
//!   the value, once, before the store of `ATTACHED`. While the state is `ATTACHED`, the value is initialised and only
//!   read, until `&mut` access takes the value out.
//!
//! *Reader*: load the state with `Acquire`; the `Release` store of `ATTACHED` publishes the value. *Writer*: CAS
//! `EMPTY` to `BUSY`, `Relaxed`: no memory was published through `EMPTY`, and the store of `ATTACHED` publishes the
//! value later.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use crate::cell::{Cell, drop_value};
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicU8, Ordering, wait_a_moment};
use crate::value::Value;

/// One `get_or_attach` field of one host.
///
/// The value is first in memory, so the value of the first cell of a field set is next to the type tag of the node.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(C)]
pub struct GetOrAttach<V> {
    value: UnsafeCell<MaybeUninit<V>>,
    state: AtomicU8,
}

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const ATTACHED: u8 = 2;

// SAFETY: by V1 (`cell/mod.rs`) only `fill` and `attach` fill the cell. The two methods require `V: Value`, which is
// `Send`. An empty cell holds no value to send.
unsafe impl<V> Send for GetOrAttach<V> {}
// SAFETY: by V1 a filled cell has a `V: Value`. By O2 one thread writes the value before its publication, which
// requires `Send`. Then threads only read the value, which requires `Sync`. Every `Value` is `Send` and `Sync`.
unsafe impl<V> Sync for GetOrAttach<V> {}

impl<V> GetOrAttach<V> {
    /// Initialises an empty cell. Does not touch the memory of the value, however large.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller guarantees that `cell` is valid for writes and aligned, so the state is within an
        // allocation.
        let state = unsafe { &raw mut (*cell).state };
        // SAFETY: the pointer is to a part of `cell`, so valid for writes and aligned. The value is a `MaybeUninit`,
        // and needs no initialisation.
        unsafe { state.write(AtomicU8::new(EMPTY)) };
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        // Acquire: pairs with the Release of `attach`.
        if self.state.load(Ordering::Acquire) != ATTACHED {
            return None;
        }
        // SAFETY: the state is `ATTACHED`, so by O2 the value is initialised as long as `self` is borrowed. The Acquire
        // above has synchronised with the Release of `ATTACHED`.
        Some(unsafe { self.ready() })
    }

    /// Attaches `value`. The caller has claimed the field and found the field empty. If the cell is attached in spite
    /// of the claim, drops `value` and returns the attached value.
    pub(crate) fn attach(&self, field: &'static Field, value: V) -> &V
    where
        V: Value,
    {
        // Relaxed: no memory was published through `EMPTY`; see the header.
        if self.state.compare_exchange(EMPTY, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return self.found();
        }
        let room = self.value.get();
        // SAFETY: by O2 only the thread that has set `BUSY` writes, and no thread reads before the store of `ATTACHED`.
        unsafe { (*room).write(value) };
        // Release: publishes the value. Pairs with the Acquire of `get`.
        self.state.store(ATTACHED, Ordering::Release);
        field.attached();
        // From the store on, other threads may use the value, so the exclusive reference that `write` returns is not
        // valid any more.
        // SAFETY: this thread has written the value, so by O2 the value is initialised as long as `self` is borrowed.
        unsafe { self.ready() }
    }

    #[cold]
    fn found(&self) -> &V {
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            wait_a_moment();
        }
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell.
    #[inline]
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value,
    {
        self.value.get_mut().write(value);
        // Relaxed, here and below: `self` is `&mut`, so no thread races.
        self.state.store(ATTACHED, Ordering::Relaxed);
    }

    /// Takes the value out, without a count.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        self.get()?;
        self.state.store(EMPTY, Ordering::Relaxed);
        // SAFETY: by O2 the value was initialised. The state is `EMPTY` now, so the value is not read again.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }

    /// The value of a ready cell, without a load of the state.
    ///
    /// # Safety
    ///
    /// The cell is ready: attached as long as the cell is borrowed. This thread has attached the value, or an `Acquire`
    /// of this thread has synchronised with a `Release` after the attach.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> &V {
        // SAFETY: by O2 no thread writes to the value of an attached cell while `self` is borrowed.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the caller guarantees that the cell is attached, so by O2 the value is initialised.
        unsafe { value.assume_init_ref() }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.get()?;
        // SAFETY: `get` has found a value, so by O2 the value is initialised.
        Some(unsafe { self.value.get_mut().assume_init_mut() })
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V> {
        let value = self.take_back()?;
        field.counts().detached();
        Some(value)
    }
}

impl<V> Cell for GetOrAttach<V> {
    fn is_attached(&self) -> bool {
        self.get().is_some()
    }

    fn end(&mut self, field: &'static Field, panics: &mut Panics) {
        if self.get().is_none() {
            return;
        }
        // Relaxed: `self` is `&mut`, so no thread races.
        self.state.store(EMPTY, Ordering::Relaxed);
        field.counts().detached();
        let value = self.value.get_mut().as_mut_ptr();
        // SAFETY: by O2 the value was initialised. The state is `EMPTY` now, so the value is not used after this drop.
        drop_value(field, value, panics, |value| unsafe { value.drop_in_place() });
    }
}
