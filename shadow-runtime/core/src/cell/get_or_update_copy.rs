//! The cell of a `get_or_update(copy)` field: replaced by whoever updates last, and read by copying.
//!
//! In: a value, or a closure that makes the next from the last. Out: copies of the value, the old or the new (R2).
//!
//! The value is in a latch (`latch/mod.rs`), whose readers take no lock, touch no count and wait for nobody. This file
//! adds what every cell has: the counts, and that code of the user, here the closure of an update, runs under no lock
//! (R4). A `Copy` type has no destructor, so there is nothing to drop.

use crate::cell::Cell;
use crate::latch::Latch;
use crate::panics::Panics;
use crate::registry::Field;
use crate::value::{Copied, Value};

/// Holds one `get_or_update(copy)` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdateCopy<V> {
    value: Latch<V>,
}

// SAFETY: by V1 (`cell/mod.rs`): only `fill`, `update` and `update_with` fill the cell, and they ask
// for `V: Value`. A latch owns its value, so it is `Send` for `V: Send`; an empty one holds nothing to send.
unsafe impl<V> Send for GetOrUpdateCopy<V> {}
// SAFETY: as above; a latch that is shared takes values in and gives copies out, and handles its memory by its own
// rules, so it is `Sync` for `V: Send`, which every `Value` is.
unsafe impl<V> Sync for GetOrUpdateCopy<V> {}

impl<V> GetOrUpdateCopy<V> {
    /// Makes a cell that holds nothing yet, without touching the memory of its value where the latch allows that.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned for it.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller says that there is memory for a cell, of which this is a part.
        let value = unsafe { &raw mut (*cell).value };
        // SAFETY: as above.
        unsafe { Latch::init(value) };
    }

    /// A copy of the newest value.
    #[inline]
    pub(crate) fn get(&self) -> Option<V>
    where
        V: Copied,
    {
        self.value.read().1
    }

    /// The same, for who knows that the cell is ready: updated since it was last borrowed exclusively.
    ///
    /// # Safety
    ///
    /// It is, and stays so while the cell is borrowed; and what this thread has seen of that was an `Acquire` of a
    /// `Release` after it.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> V
    where
        V: Copied,
    {
        // SAFETY: the caller's promise is the same.
        unsafe { self.value.read_ready() }
    }

    /// Attaches `value` to a cell that nobody else has, and that is empty. It is counted when others can see the cell,
    /// which does not move any more (Q4).
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value + Copied,
    {
        self.value.replace(value);
    }

    /// Takes the value out, without counting.
    pub(crate) fn take_back(&mut self) -> Option<V>
    where
        V: Copied,
    {
        let value = self.value.read().1;
        self.value.empty();
        value
    }

    /// Replaces the value and returns the previous one.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + Copied,
    {
        let previous = self.value.replace(value);
        Self::replaced(field, previous.is_some());
        previous
    }

    /// Replaces the value by what `next` makes of it; `next` runs again if another update came between.
    pub(crate) fn update_with(&self, field: &'static Field, mut next: impl FnMut(Option<&V>) -> V) -> Option<V>
    where
        V: Value + Copied,
    {
        loop {
            let (version, last) = self.value.read();
            if self.value.replace_version(version, next(last.as_ref())) {
                Self::replaced(field, last.is_some());
                return last;
            }
        }
    }

    fn replaced(field: &'static Field, was_attached: bool) {
        if was_attached { field.counts().updated() } else { field.attached() }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V>
    where
        V: Copied,
    {
        self.value.get_mut()
    }

    pub(crate) fn detach(&mut self, field: &'static Field) -> Option<V>
    where
        V: Copied,
    {
        let value = self.take_back()?;
        field.counts().detached();
        Some(value)
    }
}

impl<V> Cell for GetOrUpdateCopy<V> {
    fn is_attached(&self) -> bool {
        self.value.is_filled()
    }

    fn end(&mut self, field: &'static Field, _: &mut Panics) {
        if self.value.is_filled() {
            self.value.empty();
            field.counts().detached();
        }
    }
}
