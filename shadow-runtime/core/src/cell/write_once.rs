//! A cell whose value is written once: the storage of `attach` and `get_or_attach` fields.
//!
//! In: a value, and the mark that the policy stores with the value. Out: `&V`, as long as the cell is borrowed (R1,
//! R8). Neighbours: `attach.rs` and `get_or_attach.rs`, the two policies; each has its state word, a [`State`].
//!
//! # State
//!
//! The state word is *empty*, *busy* while a thread is moving a value in, or *attached*.
//!
//! - **O1** While the cell is shared, only the thread that has taken the state, by CAS, from empty to busy writes the
//!   value, once, before the store of attached. While the state is attached, the value is initialised and only read,
//!   until `&mut` access takes the value out.
//!
//! *Reader*: load the state with `Acquire`; the `Release` store of attached publishes the value. *Writer*: CAS empty to
//! busy, `Relaxed` on success: no memory was published through empty, and the store of attached publishes the value
//! later. On failure, wait while the state is busy: as long as another thread takes to move a value, under no lock and
//! without user code. Then the state is attached, and stays attached while the cell is shared.

use std::cell::UnsafeCell;
use std::mem::{self, MaybeUninit};

use crate::cell::FieldCell;
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::yield_now;
use crate::value::Value;

/// A write-once cell of one field of one host.
///
/// The value is first in memory, so the value of the first cell of a field set is next to the type tag of the node.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(C)]
pub struct WriteOnce<V, S> {
    value: UnsafeCell<MaybeUninit<V>>,
    pub(super) state: S,
}

/// The state word of a write-once cell.
///
/// # Safety
///
/// The implementation is a single atomic word, and the methods behave as documented.
pub unsafe trait State: Send + Sync {
    /// The content of the attached state.
    type Mark: Copy;

    /// A new word in the state empty.
    fn empty() -> Self;

    /// Takes the state from empty to busy, by a `Relaxed` CAS. Returns whether this call did so.
    fn begin(&self) -> bool;

    /// Stores the state attached, with `Release`: publishes the value. Pairs with the `Acquire` of `is_attached`.
    fn publish(&self, mark: Self::Mark);

    /// Whether the state is attached, by an `Acquire` load. Pairs with the `Release` of `publish`.
    fn is_attached(&self) -> bool;

    /// The mark of the attached state.
    fn mark(&self) -> Option<Self::Mark>;
}

// SAFETY: by V1 (`cell/mod.rs`) a filled cell has a `V: Value`, which is `Send`. An empty cell holds no value to send.
// A `State` is `Send`.
unsafe impl<V, S: State> Send for WriteOnce<V, S> {}
// SAFETY: by V1 a filled cell has a `V: Value`. By O1 one thread writes the value before its publication, which
// requires `Send`. Then threads only read the value, which requires `Sync`. Every `Value` is `Send` and `Sync`, and a
// `State` is `Sync`.
unsafe impl<V, S: State> Sync for WriteOnce<V, S> {}

impl<V, S: State> WriteOnce<V, S> {
    /// Initialises an empty cell. Does not touch the memory of the value, however large.
    ///
    /// # Safety
    ///
    /// `cell` is valid for writes of a `Self`, and aligned.
    #[inline]
    pub unsafe fn init(cell: *mut Self) {
        // SAFETY: by the contract `cell` points to memory of a `Self`, so the state is within an allocation.
        let state = unsafe { &raw mut (*cell).state };
        // SAFETY: by the contract `cell` is valid for writes and aligned, and so is its part. The value is a
        // `MaybeUninit`, and needs no initialisation.
        unsafe { state.write(S::empty()) };
    }

    #[inline]
    pub(crate) fn get(&self) -> Option<&V> {
        // SAFETY: the state is attached, so by O1 the value is initialised as long as `self` is borrowed. The Acquire
        // of `is_attached` has synchronised with the Release of the attach.
        self.state.is_attached().then(|| unsafe { self.get_unchecked() })
    }

    /// The value of a filled cell, without a load of the state.
    ///
    /// # Safety
    ///
    /// The cell is attached as long as the cell is borrowed. This thread has attached the value, or an `Acquire` of
    /// this thread has synchronised with a `Release` after the attach.
    #[inline]
    pub(crate) unsafe fn get_unchecked(&self) -> &V {
        // SAFETY: by O1 no thread writes to the value of an attached cell while `self` is borrowed.
        let value = unsafe { &*self.value.get() };
        // SAFETY: by the contract the cell is attached, so by O1 the value is initialised; and the write of the value
        // happens before this read, as this thread has attached the value or acquired the attach.
        unsafe { value.assume_init_ref() }
    }

    /// Attaches `value` to an empty cell, and counts the attach. Returns `value` if the cell is busy or attached.
    pub(super) fn write(&self, field: &'static Field, value: V, mark: S::Mark) -> Result<&V, V>
    where
        V: Value,
    {
        if !self.state.begin() {
            return Err(value);
        }
        let room = self.value.get();
        // SAFETY: by O1 only the thread that has taken the state to busy writes, and no thread reads before `publish`.
        unsafe { (*room).write(value) };
        self.state.publish(mark);
        field.attached();
        // From `publish` on, other threads may use the value, so the exclusive reference that `write` returns is not
        // valid any more.
        // SAFETY: this thread has written the value, so by O1 the value is initialised as long as `self` is borrowed.
        Ok(unsafe { self.get_unchecked() })
    }

    /// The value of a cell that is busy or attached. Waits while another thread moves its value in.
    pub(super) fn wait(&self) -> &V {
        loop {
            if let Some(value) = self.get() {
                return value;
            }
            yield_now();
        }
    }

    /// Fills an empty cell, which the caller alone owns. The caller counts the attach after the publication of the
    /// cell.
    #[inline]
    pub(crate) fn fill(&mut self, value: V, mark: S::Mark)
    where
        V: Value,
    {
        self.fill_as(value, mark);
    }

    /// As [`fill`](Self::fill); by V1 the caller has a value of a filled cell of this type, if `V` has no bound.
    #[inline]
    fn fill_as(&mut self, value: V, mark: S::Mark) {
        self.value.get_mut().write(value);
        self.state.publish(mark);
    }

    /// Fills the empty cell that `to` returns with a clone of the value and with the same mark, and counts an attach.
    /// `clone` makes the clone. An empty or busy cell is not cloned, and neither function runs.
    pub fn clone_into<'new>(
        &self,
        clone: impl FnOnce(&V) -> V,
        field: &'static Field,
        to: impl FnOnce() -> &'new mut Self,
    ) where
        Self: 'new,
    {
        let Some((value, mark)) = self.get().zip(self.state.mark()) else { return };
        // The clone, which is user code, precedes `to`, which allocates.
        let value = clone(value);
        to().fill_as(value, mark);
        field.attached();
    }

    /// Takes the value out, without a count.
    pub(crate) fn take_back(&mut self) -> Option<V> {
        self.get()?;
        self.state = S::empty();
        // SAFETY: by O1 the value was initialised. The state is empty now, so the value is not read again.
        Some(unsafe { self.value.get_mut().assume_init_read() })
    }

    #[inline]
    pub(crate) fn get_mut(&mut self) -> Option<&mut V> {
        self.get()?;
        // SAFETY: `get` has found a value, so by O1 the value is initialised.
        Some(unsafe { self.value.get_mut().assume_init_mut() })
    }
}

impl<V, S: State> FieldCell for WriteOnce<V, S> {
    fn is_attached(&self) -> bool {
        self.state.is_attached()
    }

    /// Drops the value in place: a move before the drop would use stack space of the caller, which may be a sweep on a
    /// small stack.
    fn destroy(&mut self, field: &'static Field, panics: &mut Panics) {
        if !self.state.is_attached() {
            return;
        }
        self.state = S::empty();
        field.counts().detached();
        if mem::needs_drop::<V>() {
            // SAFETY: by O1 the value was initialised. The state is empty now, so the value is not used after this
            // drop.
            panics.contain(field, || unsafe { self.value.get_mut().assume_init_drop() });
        }
    }
}
