//! The cell of a `get_or_attach` field: written once, by the initialiser of whoever asks first.
//!
//! In: an initialiser. Out: `&V`, the same for everybody, for as long as the cell is borrowed (R1, R8).
//!
//! A hit is one `Acquire` load in `once_cell`. What runs the initialiser, and keeps others waiting meanwhile, is
//! `accessor/get_or_attach.rs`, by a claim on the field; so the cell is filled by one thread at a time.

use once_cell::sync::OnceCell;

use crate::cell::Cell;
use crate::registry::Field;
use crate::value::Value;

/// Holds one `get_or_attach` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrAttach<V> {
    value: OnceCell<V>,
}

// SAFETY: by invariant V (`cell/mod.rs`): only `attach` fills the cell, and it asks for `V: Value`.
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

    /// Attaches `value`, for the one thread that has claimed the field and found it empty. A second value would be
    /// dropped.
    pub(crate) fn attach(&self, field: &'static Field, value: V) -> &V
    where
        V: Value,
    {
        match self.value.try_insert(value) {
            Ok(value) => {
                field.attached();
                value
            }
            Err((first, _)) => first,
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
