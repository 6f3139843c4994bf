//! The cell of an `attach` field: the first attach writes the value, and later attaches are refused.
//!
//! In: a value and the source location of its attach, the *place*. Out: `&V`, or an error with the places of both
//! attaches. Neighbours: `write_once.rs`, the storage; `accessor/attach.rs`.

use std::panic::Location;
use std::ptr;

use crate::cell::write_once::{State, WriteOnce};
use crate::error::AlreadyAttached;
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering};
use crate::value::Value;

/// One `attach` field of one host.
pub type Attach<V> = WriteOnce<V, PlaceWord>;

/// The state word: null, an empty cell; [`BUSY`]; otherwise attached, and the place of the attach.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct PlaceWord(AtomicPtr<Location<'static>>);

type Place = &'static Location<'static>;

/// Sentinel: not null, and below the address of any place.
const BUSY: *mut Location<'static> = ptr::without_provenance_mut(1);

// SAFETY: one atomic word. The three states have different values, and each method has the documented ordering.
unsafe impl State for PlaceWord {
    type Mark = Place;

    #[inline]
    fn empty() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    fn begin(&self) -> bool {
        // Relaxed: see *Writer* in the header of `write_once.rs`.
        self.0.compare_exchange(ptr::null_mut(), BUSY, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    #[inline]
    fn publish(&self, place: Place) {
        // Release: publishes the value; pairs with the Acquire of `is_attached`.
        self.0.store(ptr::from_ref(place).cast_mut(), Ordering::Release);
    }

    #[inline]
    fn is_attached(&self) -> bool {
        // Acquire: pairs with the Release of `publish`.
        self.0.load(Ordering::Acquire) > BUSY
    }

    fn mark(&self) -> Option<Place> {
        // Relaxed: the place is a static.
        let word = self.0.load(Ordering::Relaxed);
        // SAFETY: a word above `BUSY` is a `&'static Location` that `publish` has stored.
        (word > BUSY).then(|| unsafe { &*word })
    }
}

impl<V: Value> Attach<V> {
    /// Attaches `value` to an empty cell. Waits only while another thread moves its value in.
    ///
    /// # Errors
    ///
    /// If the cell is attached: `value`, with the places of the two attaches.
    pub(crate) fn attach(&self, field: &'static Field, value: V, place: Place) -> Result<&V, AlreadyAttached<V>> {
        self.write(field, value, place).map_err(|value| self.refuse(field, value, place))
    }

    #[cold]
    fn refuse(&self, field: &'static Field, value: V, second: Place) -> AlreadyAttached<V> {
        self.wait();
        // `wait` has found the state attached, which does not change while the cell is shared.
        AlreadyAttached::refuse(field, value, self.state.mark(), second)
    }
}
