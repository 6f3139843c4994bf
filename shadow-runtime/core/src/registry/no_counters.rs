//! The stand-in for `counters.rs` without the feature `counts`: no counters, so an event costs nothing.
//!
//! In: the first attach of a field, which enters the field into the registry. Out: zeros. Neighbours: `field.rs`, which
//! holds the [`Counts`] of a field; `mod.rs`, the registry's list and lock.

use super::Field;
use crate::sync::Ordering;
use crate::sync::plain::AtomicBool;

/// An atomic flag: whether the field is in the registry's list. The flag publishes no memory, and changes under the
/// registry's lock, so `Relaxed` suffices.
#[derive(Debug)]
pub(crate) struct Counts {
    entered: AtomicBool,
}

/// No counters.
pub(super) struct CounterBlocks;

impl Field {
    /// Enters the field into the registry at the first attach.
    #[inline]
    pub(crate) fn attached(&'static self) {
        if !self.counts().is_entered() {
            super::enter(self);
        }
    }
}

#[expect(clippy::unused_self, reason = "the signatures of `counters.rs`")]
impl Counts {
    pub(super) const fn new() -> Self {
        Self { entered: AtomicBool::new(false) }
    }

    #[inline]
    pub(super) fn is_entered(&self) -> bool {
        self.entered.load(Ordering::Relaxed)
    }

    pub(super) fn enter(&self, _number: usize) {
        self.entered.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn detached(&self) {}

    #[inline]
    pub(crate) fn updated(&self) {}

    #[inline]
    pub(crate) fn refused(&self) {}

    pub(super) fn read(&self, _blocks: &CounterBlocks) -> [u64; 4] {
        [0; 4]
    }
}

impl CounterBlocks {
    pub(super) const fn new() -> Self {
        Self
    }
}
