//! The cell of a `get_or_update` field: replaced by whoever updates last.
//!
//! In: a value, or a closure that makes the next from the last. Out: clones of the value, the old or the new (R2).
//!
//! The value lives in an `Arc` inside an `ArcSwapOption`, whose readers take no lock. `Clone` runs on the `Arc` that
//! the reader holds, under no lock; a replaced value is dropped by the last of its reader and its replacer.
//!
//! **Invariant U** (unique): outside of a call of a method that borrows the cell, the cell holds the only `Arc` of the
//! value that is in it. Readers drop theirs before they return, also when `Clone` panics; what `update` takes out is
//! no longer in it.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

use crate::cell::Cell;
use crate::registry::Field;
use crate::value::{Replaceable, Value};

/// Holds one `get_or_update` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdate<V> {
    value: ArcSwapOption<V>,
}

// SAFETY: by invariant V (`cell/mod.rs`): only `update` and `update_with` fill the cell, and they ask for `V: Value`.
// An `Arc<V>` is `Send` for `V: Send + Sync`; an empty cell holds nothing to send.
unsafe impl<V> Send for GetOrUpdate<V> {}
// SAFETY: as above; `ArcSwapOption<V>` is `Sync` where `Arc<V>` is `Send + Sync`, which it is for every `Value`.
unsafe impl<V> Sync for GetOrUpdate<V> {}

impl<V> GetOrUpdate<V> {
    /// Holds nothing yet.
    #[expect(clippy::new_without_default, reason = "the macros call it by name; nobody else makes cells")]
    #[must_use]
    pub const fn new() -> Self {
        Self { value: ArcSwapOption::const_empty() }
    }

    /// A clone of the newest value.
    #[inline]
    pub(crate) fn get(&self) -> Option<V>
    where
        V: Replaceable,
    {
        self.value.load().as_deref().map(V::duplicate)
    }

    /// Replaces the value and returns the previous one, or a clone of it if a reader still holds it.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        let previous = self.value.swap(Some(Arc::new(value)));
        Self::replaced(field, previous)
    }

    /// Replaces the value by what `next` makes of it; `next` runs again if another update came between.
    pub(crate) fn update_with(&self, field: &'static Field, mut next: impl FnMut(Option<&V>) -> V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        let previous = self.value.rcu(|current| Some(Arc::new(next(current.as_deref()))));
        Self::replaced(field, previous)
    }

    /// Counts the update first: the user's code that hands the previous value out may panic.
    fn replaced(field: &'static Field, previous: Option<Arc<V>>) -> Option<V>
    where
        V: Replaceable,
    {
        if let Some(previous) = previous {
            field.counts().updated();
            Some(V::take(previous))
        } else {
            field.attached();
            None
        }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        let value = Arc::as_ptr(self.value.load().as_ref()?).cast_mut();
        // SAFETY: the pointer comes from the `Arc` in the cell, which keeps its value alive for as long as `&mut self`
        // does; by invariant U that `Arc` is the only one, so nobody else reaches the value meanwhile.
        Some(unsafe { &mut *value })
    }

    /// By invariant U the value itself comes out; the clone is for a compiler that cannot know.
    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V>
    where
        V: Replaceable,
    {
        let value = self.value.swap(None)?;
        field.counts().detached();
        Some(V::take(value))
    }
}

impl<V> Cell for GetOrUpdate<V> {
    fn is_attached(&self) -> bool {
        self.value.load().is_some()
    }

    fn end(&mut self, field: &'static Field) {
        if let Some(value) = self.value.swap(None) {
            field.counts().detached();
            drop(value);
        }
    }
}
