//! The cell of a `get_or_attach` field: written once, by the initialiser of whoever asks first.
//!
//! In: the value that an initialiser has made. Out: `&V`, the same for everybody, for as long as the cell is borrowed
//! (R1, R8).
//!
//! What runs the initialiser, and keeps others waiting meanwhile, is `accessor/get_or_attach.rs`, by a claim on the
//! field (`claim.rs`): the cell need not exist before there is a value for it (R6). So nobody finds it busy; but that
//! the cell is sound does not rest on it.
//!
//! - **O2** The value is written once, by the one thread that has taken the state from `EMPTY` to `BUSY`, before it
//!   sets it to `ATTACHED`. While it is `ATTACHED`, the value is there, and is only read, until `&mut` access takes it
//!   out.
//!
//! *Reader*: load the state (`Acquire`); `ATTACHED` was stored with `Release` after the value. *Writer*: exchange
//! `EMPTY` for `BUSY`, `Relaxed`: nothing was published through it, and what is published follows with `ATTACHED`.

use std::cell::UnsafeCell;
use std::mem::MaybeUninit;

use crate::cell::{Cell, drop_value};
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicU8, Ordering, wait_a_moment};
use crate::value::Value;

/// Holds one `get_or_attach` field of one host.
///
/// The value comes first, so that of the first cell of a field set it is next to the kind of the node.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(C)]
pub struct GetOrAttach<V> {
    value: UnsafeCell<MaybeUninit<V>>,
    state: AtomicU8,
}

const EMPTY: u8 = 0;
const BUSY: u8 = 1;
const ATTACHED: u8 = 2;

// SAFETY: by V1 (`cell/mod.rs`): only `fill` and `attach` fill the cell, and they ask for `V: Value`, which
// is `Send`; an empty one holds nothing to send.
unsafe impl<V> Send for GetOrAttach<V> {}
// SAFETY: as above. By O2 the value is written by one thread before others may see it, which asks for `Send`, and then
// only read, which asks for `Sync`; every `Value` is both.
unsafe impl<V> Sync for GetOrAttach<V> {}

impl<V> GetOrAttach<V> {
    /// Makes a cell that holds nothing yet, without touching the memory of its value, however large that is.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller says that there is memory for a cell, of which this is a part.
        let state = unsafe { &raw mut (*cell).state };
        // SAFETY: as above. Any bytes will do for the other part, a `MaybeUninit`.
        unsafe { state.write(AtomicU8::new(EMPTY)) };
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        // Acquire: pairs with the Release of `attach`.
        if self.state.load(Ordering::Acquire) != ATTACHED {
            return None;
        }
        // SAFETY: it is attached, by O2 while `self` is borrowed, and was loaded by `Acquire`.
        Some(unsafe { self.ready() })
    }

    /// Attaches `value`, for the one thread that has claimed the field and found it empty. A second value would be
    /// dropped.
    pub(crate) fn attach(&self, field: &'static Field, value: V) -> &V
    where
        V: Value,
    {
        // Relaxed: argued in the header.
        if self.state.compare_exchange(EMPTY, BUSY, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return self.found();
        }
        let room = self.value.get();
        // SAFETY: by O2 nobody else writes, and nobody reads yet.
        unsafe { (*room).write(value) };
        // Release: pairs with every Acquire load of the state.
        self.state.store(ATTACHED, Ordering::Release);
        field.attached();
        // What `write` returns is exclusive, and would not be any more: from the store on, others may change the value.
        // SAFETY: it is attached, by O2 while `self` is borrowed, and by this thread.
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

    /// Attaches `value` to a cell that nobody else has, and that is empty. It is counted when the cell is put
    /// somewhere.
    #[inline]
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value,
    {
        self.value.get_mut().write(value);
        // Relaxed, here and below: nobody races, since `self` is `&mut`.
        self.state.store(ATTACHED, Ordering::Relaxed);
    }

    /// Takes the value out, without counting.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        self.get()?;
        self.state.store(EMPTY, Ordering::Relaxed);
        // SAFETY: it was there, by O2, and by the word it is no more.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }

    /// The value, for who knows that the cell is ready: attached.
    ///
    /// # Safety
    ///
    /// It is, and stays so while the cell is borrowed; and what this thread has seen of that was an `Acquire` of a
    /// `Release` after it.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> &V {
        // SAFETY: by O2 nobody writes to the value while `self` is borrowed.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the caller says that it is there.
        unsafe { value.assume_init_ref() }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.get()?;
        // SAFETY: it is there, by O2.
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
        // Relaxed: nobody races, since `self` is `&mut`.
        self.state.store(EMPTY, Ordering::Relaxed);
        field.counts().detached();
        let value = self.value.get_mut().as_mut_ptr();
        // SAFETY: it was there, by O2, and by the word it is no more.
        drop_value(field, value, panics, |value| unsafe { value.drop_in_place() });
    }
}
