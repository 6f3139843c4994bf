//! The cell of a `get_or_update(copy)` field: the last update wins, and reads copy the value.
//!
//! In: a value, or a closure that makes the next value from the last. Out: copies of the value, the old or the new
//! (R2). Neighbours: `accessor/get_or_update_copy.rs`; `seqlock/mod.rs`, the seqlock.
//!
//! A seqlock holds the value. Readers take no lock, write to no counter and wait for no thread, except with the seqlock
//! of `seqlock/fallback.rs`. This file adds the counters of the field, and the order of
//! user code and lock: the closure of an update runs under no lock (R4). A `Copy` type has no destructor, so the cell
//! never drops a value.
//!
//! A shared cell never becomes empty again: this policy has no take. A reader of a ready cell of one word (N4 of
//! `fields/mod.rs`) loads the word alone, and any word may be a value. So a take would have to clear the first-ready
//! flag of a shared node, and each reader of the first field would load the tag atomically: 13 instructions instead of
//! 12 for a read of a `u64`, since x86-64 compilers do not compare with an atomic in memory.

use crate::cell::FieldCell;
use crate::panics::Panics;
use crate::registry::Field;
use crate::seqlock::Seqlock;
use crate::value::{CopyValue, Value};

/// One `get_or_update(copy)` field of one host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct GetOrUpdateCopy<V> {
    value: Seqlock<V>,
}

// SAFETY: by V1 (`cell/mod.rs`) a filled cell has a `V: Value`, which is `Send`. A seqlock owns its value, so a seqlock
// is `Send` for `V: Send`. An empty cell holds no value to send.
unsafe impl<V> Send for GetOrUpdateCopy<V> {}
// SAFETY: by V1 a filled cell has a `V: Value`. A shared seqlock takes values in and gives copies out, and synchronises
// its memory itself. So a seqlock is `Sync` for `V: Send`, and every `Value` is `Send`.
unsafe impl<V> Sync for GetOrUpdateCopy<V> {}

impl<V> GetOrUpdateCopy<V> {
    /// Initialises an empty cell. Does not touch the memory of the value, except with the seqlock of
    /// `seqlock/fallback.rs`.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: by the contract `cell` points to memory of a `Self`, so the seqlock is within an allocation.
        let value = unsafe { &raw mut (*cell).value };
        // SAFETY: by the contract `cell` is valid for writes and aligned, and so is its part, the seqlock.
        unsafe { Seqlock::init(value) };
    }

    /// A copy of the newest value.
    #[inline]
    pub(crate) fn get(&self) -> Option<V>
    where
        V: CopyValue,
    {
        self.value.read().1
    }

    /// A copy of the newest value of a ready cell (N4 of `fields/mod.rs`), without the test for an empty cell. Never
    /// `None`: a value of this policy is not taken from a shared cell.
    ///
    /// # Safety
    ///
    /// The cell was updated since the last exclusive borrow, and stays attached as long as the cell is borrowed. This
    /// thread has updated the cell, or an `Acquire` of this thread has synchronised with a `Release` after the update.
    #[inline]
    #[expect(clippy::unnecessary_wraps, reason = "the cells of both kinds have one interface for the accessors")]
    pub(crate) unsafe fn get_unchecked(&self) -> Option<V>
    where
        V: CopyValue,
    {
        // SAFETY: each update of the cell is a replacement of the seqlock's value. By the contract such an update came
        // after the last exclusive borrow, so after the seqlock was last empty or borrowed mutably; and this thread has
        // made or acquired the update.
        Some(unsafe { self.value.read_unchecked() })
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell. The cell must not move afterwards (Q4).
    pub(crate) fn fill(&mut self, value: V)
    where
        V: Value + CopyValue,
    {
        self.value.replace(value);
    }

    /// Fills the empty cell that `to` returns with a copy of the newest value, and counts an attach. An empty cell is
    /// not copied, and `to` does not run. The filled cell must not move afterwards (Q4). `_clone` is not called: the
    /// cells of all policies have one interface.
    pub fn clone_into<'new>(
        &self,
        _clone: impl FnOnce(&V) -> V,
        field: &'static Field,
        to: impl FnOnce() -> &'new mut Self,
    ) where
        V: CopyValue + 'new,
    {
        if let Some(value) = self.get() {
            to().value.replace(value);
            field.attached();
        }
    }

    /// Takes the value out, without a count.
    pub(crate) fn take_back(&mut self) -> Option<V>
    where
        V: CopyValue,
    {
        let value = self.value.read().1;
        self.value.empty();
        value
    }

    /// Replaces the value and returns the previous one.
    pub(crate) fn update(&self, field: &'static Field, value: V) -> Option<V>
    where
        V: Value + CopyValue,
    {
        let previous = self.value.replace(value);
        Self::replaced(field, previous.is_some());
        previous
    }

    /// Replaces the value by the result of `next`, unless `next` fails. Runs `next` again after an update by another
    /// thread in the meantime.
    pub(crate) fn try_update_with<E>(
        &self,
        field: &'static Field,
        mut next: impl FnMut(Option<&V>) -> Result<V, E>,
    ) -> Result<Option<V>, E>
    where
        V: Value + CopyValue,
    {
        loop {
            let (version, last) = self.value.read();
            if self.value.replace_version(version, next(last.as_ref())?) {
                Self::replaced(field, last.is_some());
                return Ok(last);
            }
        }
    }

    fn replaced(field: &'static Field, was_attached: bool) {
        if was_attached { field.counts().updated() } else { field.attached() }
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V>
    where
        V: CopyValue,
    {
        self.value.get_mut()
    }
}

impl<V> FieldCell for GetOrUpdateCopy<V> {
    fn is_attached(&self) -> bool {
        self.value.is_filled()
    }

    fn destroy(&mut self, field: &'static Field, _: &mut Panics) {
        if self.value.is_filled() {
            self.value.empty();
            field.counts().detached();
        }
    }
}
