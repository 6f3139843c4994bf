//! Hazards without cells, for the models of `tests/loom_readers.rs`.
//!
//! In: cells and nodes, as numbers. Out: whether a node is announced. Compiled under loom only.
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    reason = "for the models"
)]

use std::cell::Cell;
use std::ptr;

use super::{Taken, Unshown, barrier};

/// The kind of an announcement.
#[derive(Clone, Copy)]
pub enum Way {
    /// For a cold cell.
    Lightly,
    /// For a hot cell.
    AtOnce,
    /// For a table of `raw`.
    ByFence,
}

/// A slot of one read, given back on drop. No thread keeps the slot: a model's thread ends before the destructors of
/// its thread-locals.
pub struct Reader(Taken);

impl Default for Reader {
    fn default() -> Self {
        Self(Taken { slot: super::take_slot(), unshown: Some(Unshown::begin()) })
    }
}

impl Reader {
    pub fn announce(&self, way: Way, cell: usize, node: usize) {
        let node = ptr::without_provenance_mut(node);
        match way {
            Way::Lightly => self.0.slot().announce_lightly(cell, node),
            Way::AtOnce => self.0.slot().announce(cell, node),
            Way::ByFence => self.0.slot().announce_by_fence(cell, node),
        }
    }

    pub fn withdraw(&self) {
        self.0.slot().withdraw();
    }
}

thread_local! {
    /// Of the thread that runs a model, which also runs all threads of the model.
    static UNLINKS: Cell<bool> = const { Cell::new(false) };
}

/// Scans unlink vacant slots in models of this thread from now on.
pub fn unlink_slots() {
    UNLINKS.set(true);
}

pub(super) fn slots_are_unlinked() -> bool {
    UNLINKS.get()
}

/// The number of slots that a scan visits.
pub fn scanned() -> usize {
    super::scanned().count()
}

pub fn is_announced(cell: usize, node: usize) -> bool {
    super::is_announced(cell, ptr::without_provenance_mut(node))
}

/// Models of this thread have no process-wide barrier from now on.
pub fn forbid_barrier() {
    barrier::forbid();
}

/// The fence of a writer before the scan.
pub fn fence(way: Way) {
    match way {
        Way::Lightly => assert!(barrier::heavy()),
        Way::AtOnce | Way::ByFence => crate::sync::fence(crate::sync::Ordering::SeqCst),
    }
}
