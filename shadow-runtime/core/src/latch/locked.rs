//! Fallback latch behind a mutex, for targets without the inline assembly of `sequence/words.rs`.

use crate::sync::{Mutex, lock};
use crate::value::Copied;

/// A value with the number of its updates, behind a mutex.
pub(crate) struct Latch<V> {
    value: Mutex<(u64, Option<V>)>,
}

impl<V> Latch<V> {
    /// Initialises an empty latch.
    ///
    /// # Safety
    ///
    /// `latch` is valid for writes of a `Self`, and aligned for it.
    pub(crate) unsafe fn init(latch: *mut Self) {
        // SAFETY: `latch` is valid for writes and aligned, as this function requires.
        unsafe { latch.write(Self { value: Mutex::new((0, None)) }) };
    }

    /// Returns the newest value and its version. Locks the mutex.
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: Copied,
    {
        let value = lock(&self.value);
        (value.0, value.1.as_ref().map(V::copied))
    }

    /// Returns the newest value, when the caller knows that the latch has a value. Locks the mutex.
    ///
    /// # Safety
    ///
    /// The value was attached, as the seqlock of `sequence.rs` requires. In this latch an empty latch causes a panic.
    ///
    /// # Panics
    ///
    /// If the latch is empty.
    pub(crate) unsafe fn read_ready(&self) -> V
    where
        V: Copied,
    {
        self.read().1.expect("the caller knows that there is one")
    }

    /// Replaces the value and returns the previous value. Locks the mutex.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: Copied,
    {
        let mut value = lock(&self.value);
        value.0 += 1;
        value.1.replace(next)
    }

    /// Replaces the value, unless an update came after `version`. Returns whether the value was replaced.
    pub(crate) fn replace_version(&self, version: u64, next: V) -> bool
    where
        V: Copied,
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
        V: Copied,
    {
        self.value.get_mut().unwrap_or_else(crate::sync::PoisonError::into_inner).1.as_mut()
    }

    pub(crate) fn empty(&mut self) {
        lock(&self.value).1 = None;
    }
}
