//! The latch where nothing is known of how to make a value's bytes readable as words: a value behind a lock.

use crate::sync::{Mutex, lock};
use crate::value::Copied;

/// A value, and how often it was replaced.
pub(crate) struct Latch<V> {
    value: Mutex<(u64, Option<V>)>,
}

impl<V> Latch<V> {
    /// Makes a latch without a value.
    ///
    /// # Safety
    ///
    /// `latch` is valid for writes of a `Self`, and aligned for it.
    pub(crate) unsafe fn init(latch: *mut Self) {
        // SAFETY: the caller says so.
        unsafe { latch.write(Self { value: Mutex::new((0, None)) }) };
    }

    /// The newest value, and its version.
    pub(crate) fn read(&self) -> (u64, Option<V>)
    where
        V: Copied,
    {
        let value = lock(&self.value);
        (value.0, value.1.as_ref().map(V::copied))
    }

    /// The newest value, for who knows that there is one.
    ///
    /// # Safety
    ///
    /// As the other latch asks; here it would panic.
    pub(crate) unsafe fn read_ready(&self) -> V
    where
        V: Copied,
    {
        self.read().1.expect("the caller knows that there is one")
    }

    /// Replaces the value and returns the previous one.
    pub(crate) fn replace(&self, next: V) -> Option<V>
    where
        V: Copied,
    {
        let mut value = lock(&self.value);
        value.0 += 1;
        value.1.replace(next)
    }

    /// Replaces the value, unless it is no longer the one of that version.
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
