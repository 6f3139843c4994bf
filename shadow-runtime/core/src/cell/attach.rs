//! The cell of an `attach` field: written once, by whoever is first; a second attach is refused.
//!
//! In: a value and the place that attaches it. Out: `&V`, for as long as the cell is borrowed (R1, R8).
//!
//! # State
//!
//! One word says it all: null, nothing is attached; [`BUSY`], somebody moves a value in; otherwise the place that has
//! attached the value, for the warning when somebody tries again.
//!
//! - **O1** The value is written once, by the one thread that has taken the word from null to `BUSY`, before it sets
//!   the place. While the word is a place, the value is there, and is only read, until `&mut` access takes it out.
//!
//! *Reader*: load the word (`Acquire`); if it is a place, the value is there as it was written, since the place was
//! stored with `Release` after it. *Attacher*: exchange null for `BUSY`. `Relaxed` on success: nothing was published
//! through a null word, and what is published follows with the place. On failure wait while it is `BUSY`, which is as
//! long as another thread takes to move a value, under no lock and with no code of a user; then it is a place, for
//! good.

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

/// Holds one `attach` field of one host.
///
/// The value comes first, so that of the first cell of a field set it is next to the kind of the node.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(C)]
pub struct Attach<V> {
    value: UnsafeCell<MaybeUninit<V>>,
    place: AtomicPtr<Location<'static>>,
}

type Place = &'static Location<'static>;

/// No place is here: it is not null, and less than the address of anything.
const BUSY: *mut Location<'static> = ptr::without_provenance_mut(1);

// SAFETY: by V1 (`cell/mod.rs`): only `fill` and `attach` fill the cell, and they ask for `V: Value`, which
// is `Send`; an empty one holds nothing to send.
unsafe impl<V> Send for Attach<V> {}
// SAFETY: as above. By O1 the value is written by one thread before others may see it, which asks for `Send`, and then
// only read, which asks for `Sync`; every `Value` is both.
unsafe impl<V> Sync for Attach<V> {}

impl<V> Attach<V> {
    /// Makes a cell that holds nothing yet, without touching the memory of its value, however large that is.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller says that there is memory for a cell, of which this is a part.
        let place = unsafe { &raw mut (*cell).place };
        // SAFETY: as above. Any bytes will do for the other part, a `MaybeUninit`.
        unsafe { place.write(AtomicPtr::new(ptr::null_mut())) };
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        // Acquire: pairs with the Release of `attach`.
        if self.place.load(Ordering::Acquire) <= BUSY {
            return None;
        }
        // SAFETY: it is attached, by O1 while `self` is borrowed, and was loaded by `Acquire`.
        Some(unsafe { self.ready() })
    }

    /// Attaches `value`, unless another was first. Waits only while another thread moves its value in.
    pub(crate) fn attach(&self, field: &'static Field, value: V, place: Place) -> Result<&V, AlreadyAttached<V>>
    where
        V: Value,
    {
        // Relaxed: argued in the header.
        if self.place.compare_exchange(ptr::null_mut(), BUSY, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return Err(self.refuse(field, value, place));
        }
        let room = self.value.get();
        // SAFETY: by O1 nobody else writes, and nobody reads yet.
        unsafe { (*room).write(value) };
        // Release: pairs with every Acquire load of the word.
        self.place.store(ptr::from_ref(place).cast_mut(), Ordering::Release);
        field.attached();
        // What `write` returns is exclusive, and would not be any more: from the store on, others may change the value.
        // SAFETY: it is attached, by O1 while `self` is borrowed, and by this thread.
        Ok(unsafe { self.ready() })
    }

    #[cold]
    fn refuse(&self, field: &'static Field, value: V, second: Place) -> AlreadyAttached<V> {
        let first = loop {
            // Relaxed: the place itself is all that is used, and that is a static.
            let first = self.place.load(Ordering::Relaxed);
            if first != BUSY {
                break first;
            }
            wait_a_moment();
        };
        // SAFETY: it is not null any more, and not `BUSY`, so it is a `&'static Location` that `attach` has stored.
        let first = unsafe { &*first };
        AlreadyAttached::refuse(field, value, first, second)
    }

    /// Attaches `value` to a cell that nobody else has, and that is empty. It is counted when the cell is put
    /// somewhere.
    #[inline]
    pub(crate) fn fill(&mut self, value: V, place: Place)
    where
        V: Value,
    {
        self.value.get_mut().write(value);
        // Relaxed, here and below: nobody races, since `self` is `&mut`.
        self.place.store(ptr::from_ref(place).cast_mut(), Ordering::Relaxed);
    }

    /// Takes the value out, without counting.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        self.get()?;
        self.place.store(ptr::null_mut(), Ordering::Relaxed);
        // SAFETY: it was there, by O1, and by the word it is no more.
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
        // SAFETY: by O1 nobody writes to the value while `self` is borrowed.
        let value = unsafe { &*self.value.get() };
        // SAFETY: the caller says that it is there.
        unsafe { value.assume_init_ref() }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.get()?;
        // SAFETY: it is there, by O1.
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
        // Relaxed: nobody races, since `self` is `&mut`.
        self.place.store(ptr::null_mut(), Ordering::Relaxed);
        field.counts().detached();
        let value = self.value.get_mut().as_mut_ptr();
        // SAFETY: it was there, by O1, and by the word it is no more.
        drop_value(field, value, panics, |value| unsafe { value.drop_in_place() });
    }
}
