//! The cell of a `get_or_update(copy)` field: the last update wins, and reads copy the value.
//!
//! In: a value, or a closure that makes the next value from the last. Out: copies of the value, the old or the new
//! (R2). Neighbours: `accessor/get_or_update_copy.rs`; `latch/mod.rs`, the latch.
//!
//! A latch holds the value: a seqlock with two copies. Readers take no lock, write to no counter and wait for no thread
//! (but with the latch of `latch/locked.rs`). This file adds the counters of the field, and the order of user code and
//! lock: the closure of an update runs under no lock (R4). A `Copy` type has no destructor, so the cell never drops a
//! value.

use crate::cell::Cell;
use crate::latch::Latch;
use crate::panics::Panics;
use crate::registry::Field;
use crate::value::{Copied, Value};

/// One `get_or_update(copy)` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdateCopy<V> {
    value: Latch<V>,
}

// SAFETY: by V1 (`cell/mod.rs`) only `fill`, `update` and `update_with` fill the cell, and require `V: Value`, which is
// `Send`. A latch owns its value, so a latch is `Send` for `V: Send`. An empty cell holds no value to send.
unsafe impl<V> Send for GetOrUpdateCopy<V> {}
// SAFETY: by V1 a filled cell has a `V: Value`. A shared latch takes values in and gives copies out, and synchronises
// its memory itself. So a latch is `Sync` for `V: Send`, and every `Value` is `Send`.
unsafe impl<V> Sync for GetOrUpdateCopy<V> {}

impl<V> GetOrUpdateCopy<V> {
    /// Initialises an empty cell. Does not touch the memory of the value, except with the latch of `latch/locked.rs`.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: the caller guarantees that `cell` is valid for writes and aligned, so the latch is within an
        // allocation.
        let value = unsafe { &raw mut (*cell).value };
        // SAFETY: the pointer is to a part of `cell`, so valid for writes and aligned.
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

    /// A copy of the newest value of a ready cell, without the test for an empty cell.
    ///
    /// # Safety
    ///
    /// The cell is ready: updated since the last exclusive borrow, and ready as long as the cell is borrowed. This
    /// thread has updated the cell, or an `Acquire` of this thread has synchronised with a `Release` after the update.
    #[inline]
    pub(crate) unsafe fn ready(&self) -> V
    where
        V: Copied,
    {
        // SAFETY: the latch was replaced since it was empty or borrowed mutably, and this thread has acquired the
        // update: the caller guarantees so.
        unsafe { self.value.read_ready() }
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell. The cell must not move afterwards (Q4).
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value + Copied,
    {
        self.value.replace(value);
    }

    /// Takes the value out, without a count.
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

    /// Replaces the value by the result of `next`. Runs `next` again after an update by another thread in the meantime.
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
