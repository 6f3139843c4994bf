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

use std::ptr;
use std::sync::Arc;

use arc_swap::{ArcSwapOption, Guard};

use crate::cell::{Cell, drop_value};
use crate::panics::{Held, Panics};
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
        let current = Held::new(self.value.load());
        let clone = current.get().and_then(|current| current.as_deref()).map(V::duplicate);
        // While the clone is a local: what is returned already would leak if a destructor panics.
        current.release();
        clone
    }

    /// Replaces the value and returns the previous one, or a clone of it if a reader still holds it.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        let previous = self.value.swap(Some(Arc::new(value)));
        Self::replaced(field, previous.is_some());
        previous.map(V::take)
    }

    /// Replaces the value by what `next` makes of it; `next` runs again if another update came between.
    ///
    /// Whatever is dropped here may be the last to hold its value, so it is dropped one by one, and not inside of
    /// `compare_and_swap`, which a panic of a destructor must not cut short.
    pub(crate) fn update_with(&self, field: &'static Field, mut next: impl FnMut(Option<&V>) -> V) -> Option<V>
    where
        V: Value + Replaceable,
    {
        loop {
            let current = Held::new(self.value.load_full());
            let last = current.get().and_then(Option::as_ref);
            let attempt = Held::new(Arc::new(next(last.map(|last| &**last))));
            // `current` keeps the last value's address from being used again, so the same pointer is the same value.
            let last_pointer = last.map_or(ptr::null(), Arc::as_ptr);
            let found = self.value.compare_and_swap(last_pointer, attempt.get().cloned());
            let found = Held::new(Guard::into_inner(found));
            let replaced = found.get().and_then(Option::as_ref).map_or(ptr::null(), Arc::as_ptr) == last_pointer;
            if replaced {
                Self::replaced(field, last.is_some());
            }
            attempt.release();
            found.release();
            if replaced {
                return current.into_inner().flatten().map(V::take);
            }
            current.release();
        }
    }

    /// Counts an update, before the previous value is handed out by code of the user, which may panic.
    fn replaced(field: &'static Field, was_attached: bool) {
        if was_attached { field.counts().updated() } else { field.attached() }
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

    fn end(&mut self, field: &'static Field, panics: &mut Panics) {
        if let Some(value) = self.value.swap(None) {
            field.counts().detached();
            drop_value(value, panics);
        }
    }
}
