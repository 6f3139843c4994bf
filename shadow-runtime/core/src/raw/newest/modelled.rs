//! The values of one kind, for the models of `tests/loom_raw.rs`, without a number and without lists of kinds.
//!
//! In: objects and values. Out: the results of readers. A build under loom alone compiles this module.
#![allow(
    missing_debug_implementations,
    missing_docs,
    clippy::must_use_candidate,
    clippy::missing_panics_doc,
    reason = "for the models"
)]

use super::{Kept, Newest, Node, Values as _};

/// A table of values. One writer at a time changes the field of an object.
pub struct Values<V: 'static> {
    newest: Newest<V>,
}

impl<V: Clone + Send + Sync> Default for Values<V> {
    fn default() -> Self {
        Self { newest: Newest::none() }
    }
}

impl<V: Clone + Send + Sync> Values<V> {
    pub fn get(&self, object: usize) -> Option<V> {
        self.newest.get(object)
    }

    pub fn update(&self, object: usize, value: V) -> Option<V> {
        let node = Node::make(Kept { object, value });
        let Some(previous) = self.newest.table.replace(object, node) else {
            self.newest.table.insert(object, node);
            return None;
        };
        // SAFETY: `replace` has just taken the node out of the table, so by F1 this thread owns the node.
        Some(unsafe { self.newest.hand_over(object, previous) })
    }

    pub fn detach(&self, object: usize) -> Option<V> {
        let node = self.newest.table.remove(object)?;
        // SAFETY: `remove` has just taken the node out of the table, so by F1 this thread owns the node.
        Some(unsafe { self.newest.hand_over(object, node) })
    }

    pub fn is_anything_retired(&self) -> bool {
        !self.newest.retired.is_empty()
    }
}

impl<V> Drop for Values<V> {
    fn drop(&mut self) {
        // SAFETY: `&mut self` excludes other users of the table, and a model removes every node before the drop.
        unsafe { self.newest.table.free() };
    }
}
