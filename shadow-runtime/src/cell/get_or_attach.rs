//! The cell of a `get_or_attach` field: written once, by the initialiser of whoever asks first.
//!
//! In: an initialiser. Out: `&V`, the same for everybody, for as long as the cell is borrowed (R1, R8).
//!
//! A hit is one `Acquire` load in `once_cell`. On a miss the caller first takes the cell's claim (`claim.rs`), which is
//! where losers wait and circles are found (R3); `once_cell` then runs the initialiser and keeps a failed or panicking
//! one from filling the cell. Nobody ever waits inside `once_cell`, because only the holder of the claim gets there.

use once_cell::sync::OnceCell;

use crate::cell::Cell;
use crate::claim::{Claim, Place};
use crate::registry::Field;
use crate::value::Value;

/// Holds one `get_or_attach` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrAttach<V> {
    value: OnceCell<V>,
}

// SAFETY: by invariant V (`cell/mod.rs`): only `get_or_try_attach` fills the cell, and it asks for `V: Value`.
// `OnceCell<V>` is `Send` for `V: Send`; an empty one holds nothing to send.
unsafe impl<V> Send for GetOrAttach<V> {}
// SAFETY: as above; `OnceCell<V>` is `Sync` for `V: Send + Sync`, which every `Value` is.
unsafe impl<V> Sync for GetOrAttach<V> {}

impl<V> GetOrAttach<V> {
    /// Holds nothing yet.
    #[expect(clippy::new_without_default, reason = "the macros call it by name; nobody else makes cells")]
    #[must_use]
    pub const fn new() -> Self {
        Self { value: OnceCell::new() }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        self.value.get()
    }

    /// The value that is there, or the one that `init` makes. See R3 in the crate's documentation.
    ///
    /// # Panics
    ///
    /// If `init` does, and if `init` asks for this very field, itself or in a circle of threads.
    pub(crate) fn get_or_try_attach<E>(
        &self,
        field: &'static Field,
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<&V, E>
    where
        V: Value,
    {
        loop {
            if let Some(value) = self.value.get() {
                return Ok(value);
            }
            // The cell is borrowed for as long as the claim is held, so its address is nobody else's meanwhile.
            let Some(_claim) = Claim::take(Place::of_cell(self), field) else { continue };
            return self.value.get_or_try_init(|| init().inspect(|_| field.attached()));
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.value.get_mut()
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V> {
        let value = self.value.take()?;
        field.counts().detached();
        Some(value)
    }
}

impl<V> Cell for GetOrAttach<V> {
    fn is_attached(&self) -> bool {
        self.value.get().is_some()
    }

    fn end(&mut self, field: &'static Field) {
        drop(self.detach(field));
    }
}
