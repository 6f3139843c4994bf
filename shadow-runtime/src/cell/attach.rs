//! The cell of an `attach` field: written once, by whoever is first; a second attach is refused.
//!
//! In: a value and the place that attaches it. Out: `&V`, for as long as the cell is borrowed (R1, R8).

use std::panic::Location;

use once_cell::sync::OnceCell;

use crate::cell::Cell;
use crate::error::AlreadyAttached;
use crate::registry::Field;
use crate::value::Value;

/// Holds one `attach` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct Attach<V> {
    attached: OnceCell<Attached<V>>,
}

struct Attached<V> {
    value: V,
    /// Where it was attached, for the warning when somebody tries again.
    place: &'static Location<'static>,
}

// SAFETY: by invariant V (`cell/mod.rs`): only `attach` fills the cell, and it asks for `V: Value`. `OnceCell<V>` is
// `Send` for `V: Send`; an empty one holds nothing to send.
unsafe impl<V> Send for Attach<V> {}
// SAFETY: as above; `OnceCell<V>` is `Sync` for `V: Send + Sync`, which every `Value` is.
unsafe impl<V> Sync for Attach<V> {}

impl<V> Attach<V> {
    /// Holds nothing yet.
    #[expect(clippy::new_without_default, reason = "the macros call it by name; nobody else makes cells")]
    #[must_use]
    pub const fn new() -> Self {
        Self { attached: OnceCell::new() }
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        self.attached.get().map(|attached| &attached.value)
    }

    /// Attaches `value`, unless another was first. Waits only while another thread moves its value in.
    pub(crate) fn attach(
        &self,
        field: &'static Field,
        value: V,
        place: &'static Location<'static>,
    ) -> Result<&V, AlreadyAttached<V>>
    where
        V: Value,
    {
        match self.attached.try_insert(Attached { value, place }) {
            Ok(attached) => {
                field.attached();
                Ok(&attached.value)
            }
            Err((first, second)) => Err(AlreadyAttached::refuse(field, second.value, first.place, second.place)),
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.attached.get_mut().map(|attached| &mut attached.value)
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V> {
        let attached = self.attached.take()?;
        field.counts().detached();
        Some(attached.value)
    }
}

impl<V> Cell for Attach<V> {
    fn is_attached(&self) -> bool {
        self.attached.get().is_some()
    }

    fn end(&mut self, field: &'static Field) {
        drop(self.detach(field));
    }
}
