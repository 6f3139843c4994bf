//! Hazards: a reader protects a value before the use, and a writer scans the hazards before the drop.
//!
//! In: a reader's cell and node. Out: whether a node is protected. These are hazard pointers (M. M. Michael, "Hazard
//! Pointers", IEEE TPDS 15/6, 2004) in slots of single threads, so readers write to no shared memory. In this module, a
//! *cell* is a `get_or_update` cell or a table of `raw`.
//!
//! `slot.rs` has the slot of a hazard; `scan_list.rs` the list of slots that a writer visits; `guard.rs` the protocol
//! of a read; `barrier.rs` the process-wide barrier in place of a reader's fence; `node.rs` the memory of a value;
//! `retired.rs` the drop of a value that was protected when a writer replaced the value. Neighbours: `cell/bias.rs` and
//! `raw/update_table.rs`, which argue that a scan sees the hazards of all readers of a replaced node.

pub(crate) mod barrier;
pub(crate) mod guard;
#[cfg(all(test, loom))]
#[path = "../loom_tests/hazard.rs"]
mod loom_tests;
pub(crate) mod node;
mod node_cache;
pub(crate) mod retired;
mod scan_list;
pub(crate) mod slot;

pub(crate) use scan_list::is_protected;
pub(crate) use slot::{Fence, HazardSlot, any_slot, is_in_clone, own_slot, second_slot, try_any_slot};
