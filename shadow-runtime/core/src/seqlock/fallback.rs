//! A value behind a mutex, for targets without the inline assembly of `sequence/words.rs`.
//!
//! In: values that are `Copy`. Out: copies of the newest value. Neighbours: `sequence.rs`, which this file replaces,
//! with the same methods; `mod.rs`, which chooses between the two.

use crate::sync::{Mutex, lock};
use crate::value::CopyValue;

/// Whether readers are wait-free, for tests.
pub const IS_WAIT_FREE: bool = false;

/// A value with the number of its updates, behind a mutex.
pub(crate) struct Seqlock<V> {
    value: Mutex<(u64, Option<V>)>,
}

impl<V> Seqlock<V> {
    /// Initialises an empty seqlock.
    ///
    /// # Safety
    ///
    /// `seqlock` is valid for writes of a `Self`, and aligned for it.
    pub(crate) unsafe fn init(seqlock: *mut Self) {
        // SAFETY: by the contract `seqlock` is valid for writes and aligned. The memory has no value yet, so the write
        // drops none.
        unsafe { seqlock.write(Self { value: Mutex::new((0, None)) }) };
    }

    /// Returns the newest value and its version. Locks the mutex.
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: CopyValue,
    {
        let value = lock(&self.value);
        (value.0, value.1.as_ref().map(V::copy_value))
    }

    /// Returns the newest value, when the caller knows that the seqlock has a value. Locks the mutex.
    ///
    /// # Safety
    ///
    /// The value was attached, as the seqlock of `sequence.rs` requires. In this seqlock an empty seqlock causes a
    /// panic.
    ///
    /// # Panics
    ///
    /// If the seqlock is empty.
    pub(crate) unsafe fn read_unchecked(&self) -> V
    where
        V: CopyValue,
    {
        self.read().1.expect("the caller knows that there is one")
    }

    /// Replaces the value and returns the previous value. Locks the mutex.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: CopyValue,
    {
        let mut value = lock(&self.value);
        value.0 += 1;
        value.1.replace(next)
    }

    /// Replaces the value, unless an update came after `version`. Returns whether the value was replaced.
    pub(crate) fn replace_version(&self, version: u64, next: V) -> bool
    where
        V: CopyValue,
    {
        let mut value = lock(&self.value);
        let as_expected = value.0 == version;
        if as_expected {
            *value = (version + 1, Some(next));
        }
        as_expected
    }

    pub(crate) fn is_filled(&self) -> bool {
        lock(&self.value).1.is_some()
    }

    pub(crate) fn get_mut(&mut self) -> Option<&mut V>
    where
        V: CopyValue,
    {
        self.value.get_mut().unwrap_or_else(crate::sync::PoisonError::into_inner).1.as_mut()
    }

    pub(crate) fn empty(&mut self) {
        lock(&self.value).1 = None;
    }
}
