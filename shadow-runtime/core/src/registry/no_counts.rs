//! What stands in for `counts.rs` without the feature `counts`: it counts nothing, and costs nothing.
//!
//! In: the first attach of a field, which enters it into the registry. Out: zeros. Neighbours: as of `counts.rs`.

use super::Field;
use crate::sync::Ordering;
use crate::sync::plain::AtomicBool;

/// Whether a field is entered.
#[derive(Debug)]
pub(crate) struct Counts {
    entered: AtomicBool,
}

/// No blocks of counters.
pub(super) struct Blocks;

impl Field {
    /// The first attach enters the field into the registry.
    #[inline]
    pub(crate) fn attached(&'static self) {
        if !self.counts().is_entered() {
            super::enter(self);
        }
    }
}

#[expect(clippy::unused_self, reason = "as of the counts that count")]
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
    pub(crate) fn duplicate(&self) {}

    pub(super) fn read(&self, _blocks: &Blocks) -> [u64; 4] {
        [0; 4]
    }
}

impl Blocks {
    pub(super) const fn new() -> Self {
        Self
    }
}
