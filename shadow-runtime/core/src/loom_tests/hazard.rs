//! Loom models of hazard slots alone (`hazard/mod.rs`): whether a scan sees a hazard.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime-core --lib hazard::loom_tests
//! ```
//!
//! In: readers that protect nodes and clear hazards, and writers that scan. Out: an error for a missed hazard, a false
//! hazard, or a data race. Neighbours: `loom_update.rs` and `update_table.rs`, with the models of the hazards' users.
//! Each of these, weakened or left out, fails a model:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | `protect`, the node, `Release` to `Relaxed` | `a_node_is_protected_for_another_cell` |
//! | `protect`, the exchange of `SeqCst`, `SeqCst` to `Acquire` | `a_node_is_protected_for_another_cell` |
//! | `protect`, its `full_fence` | `a_reader_or_a_writer_sees_the_other` |
//! | `protect`, the fence of `Full` | `a_value_is_read_while_it_is_replaced` of `update_table.rs` |
//! | `protect`, the cell, `Release` to `Relaxed` | `a_node_is_protected_for_another_cell` |
//! | `protects`, the second look at the node | `a_node_is_protected_for_another_cell` |
//! | `protects`, the cell, `Acquire` to `Relaxed` | `a_reader_of_two_fields_and_an_update_of_the_first` of `loom_update.rs` |
//! | `protects`, the node, `SeqCst` to `Relaxed` | `a_value_is_read_while_it_is_replaced` of `update_table.rs` |
//! | `scanned`, the first slot, `SeqCst` to `Relaxed` | `a_reader_or_a_writer_sees_the_other` |
//! | `scanned`, a link, `Acquire` to `Relaxed` | `an_owned_slot_has_one_owner_and_stays_in_the_list` |
//! | `clear`, `Release` to `Relaxed`, or `SeqCst` to `Acquire` | `a_reader_or_a_writer_sees_the_other` |
//! | `release`, `Release`; `own`, `Acquire`; `try_acquire`, `Acquire`; `try_make`, `Release` | `a_node_is_protected_for_another_cell_by_another_thread` |
//! | `push`, the exchange, `SeqCst` to either half | `a_reader_or_a_writer_sees_the_other` |
//! | `push`, the link, `Release` to `Relaxed` | `an_owned_slot_has_one_owner_and_stays_in_the_list`: a scan that does not end |
//! | `unlink_vacant`, the first slot, `Acquire`; the new link, `Release`; the flag, either; the state, `Release` | `a_reader_or_a_writer_sees_the_other_while_slots_are_unlinked` |
//!
//! Loom models a `SeqCst` operation as `AcqRel`, or as the half that a load or a store can have; the adjacent
//! `full_fence` supplies the rest. So no model can fail if only `SeqCst` is weakened to `AcqRel` or a half.
//! `cell/bias.rs` argues for `SeqCst`, as O5.

use std::ptr;

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::hazard::barrier::{self, forbid};
use crate::hazard::scan_list::{self, UNLINKS};
use crate::hazard::{self, Fence, HazardSlot};
use crate::sync;

const FENCES: [Fence; 3] = [Fence::Light, Fence::SeqCst, Fence::Full];

const CELL: usize = 1;
const OTHER_CELL: usize = 2;
const NODE: usize = 128;
const OTHER_NODE: usize = 256;

/// A slot of one read, released on drop. No thread keeps the slot: a model's thread ends before the destructors of its
/// thread-locals.
struct Reader(&'static HazardSlot);

impl Reader {
    fn new() -> Self {
        Self(scan_list::try_acquire().expect("there is memory"))
    }

    fn protect(&self, order: Fence, cell: usize, node: usize) {
        self.0.protect(order, cell, ptr::without_provenance_mut(node));
    }

    fn clear(&self) {
        self.0.clear();
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.listing.release();
    }
}

fn is_protected(cell: usize, node: usize) -> bool {
    hazard::is_protected(cell, ptr::without_provenance_mut(node))
}

/// The fence of a writer before the scan.
fn order_scan(order: Fence) {
    match order {
        Fence::Light => assert!(barrier::heavy()),
        Fence::SeqCst | Fence::Full => sync::fence(Ordering::SeqCst),
    }
}

fn model(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 50_000;
    builder.check(run);
}

/// A value that a reader reads and a writer drops.
#[derive(Default)]
struct Value(UnsafeCell<usize>);

// SAFETY: no thread writes to the cell while other threads use it. The models check this claim: loom reports every data
// race.
unsafe impl Sync for Value {}

impl Value {
    fn read(&self) {
        // SAFETY: no thread writes during the read; loom reports a violation.
        self.0.with(|number| assert_eq!(unsafe { *number }, 0));
    }

    fn end(&self) {
        // SAFETY: no thread reads during the write; loom reports a violation.
        self.0.with_mut(|number| unsafe { *number = 1 });
    }
}

/// Outcomes: the reader sees the replacement, and does not read; or the writer sees the hazard, and does not drop; or
/// the reader clears the hazard before the scan. The reader's slot is new, or belonged to an earlier reader.
#[test]
fn a_reader_or_a_writer_sees_the_other() {
    let with = FENCES.map(|order| (order, true));
    let without = [(Fence::SeqCst, false), (Fence::Full, false)];
    for (order, has_barrier) in with.into_iter().chain(without) {
        if !has_barrier {
            forbid();
        }
        for is_slot_there in [false, true] {
            model(3, move || {
                let shared = Arc::new((AtomicUsize::new(NODE), Value::default()));
                if is_slot_there {
                    let last = thread::spawn(move || Reader::new().protect(order, OTHER_CELL, 0));
                    last.join().unwrap();
                }
                let reader = thread::spawn({
                    let shared = Arc::clone(&shared);
                    move || {
                        let (word, value) = &*shared;
                        let reader = Reader::new();
                        reader.protect(order, CELL, NODE);
                        if word.load(Ordering::Acquire) == NODE {
                            value.read();
                        }
                        reader.clear();
                    }
                });
                let writer = thread::spawn(move || {
                    let (word, value) = &*shared;
                    word.swap(OTHER_NODE, Ordering::AcqRel);
                    order_scan(order);
                    if !is_protected(CELL, NODE) {
                        value.end();
                    }
                });
                reader.join().unwrap();
                writer.join().unwrap();
            });
        }
    }
}

/// Outcomes: a scan finds no node protected that no reader of the cell has protected. The reader first protects a node
/// for another cell, and then another node for this cell, or the reverse.
#[test]
fn a_node_is_protected_for_another_cell() {
    for order in FENCES {
        for is_other_first in [false, true] {
            model(3, move || {
                let reader = thread::spawn(move || {
                    let reader = Reader::new();
                    let protect = |is_other| {
                        let (cell, node) = if is_other { (OTHER_CELL, NODE) } else { (CELL, OTHER_NODE) };
                        reader.protect(order, cell, node);
                        reader.clear();
                    };
                    protect(is_other_first);
                    protect(!is_other_first);
                });
                let writer = thread::spawn(|| assert!(!is_protected(CELL, NODE)));
                reader.join().unwrap();
                writer.join().unwrap();
            });
        }
    }
}

/// Outcomes: as for `a_node_is_protected_for_another_cell`, with a slot that one reader releases and the other reader
/// takes. The two threads have no other shared state.
#[test]
fn a_node_is_protected_for_another_cell_by_another_thread() {
    for order in FENCES {
        for is_other_first in [false, true] {
            model(2, move || {
                let reader = |is_other| {
                    thread::spawn(move || {
                        let (cell, node) = if is_other { (OTHER_CELL, NODE) } else { (CELL, OTHER_NODE) };
                        let reader = Reader::new();
                        reader.protect(order, cell, node);
                        reader.clear();
                    })
                };
                let readers = [reader(is_other_first), reader(!is_other_first)];
                let writer = thread::spawn(|| assert!(!is_protected(CELL, NODE)));
                for thread in readers.into_iter().chain([writer]) {
                    thread.join().unwrap();
                }
            });
        }
    }
}

/// Makes slots, and releases the slots.
fn make_slots(count: usize) {
    drop((0..count).map(|_| Reader::new()).collect::<Vec<_>>());
}

/// Outcomes: as for `a_reader_or_a_writer_sees_the_other`, while slots are unlinked, pushed and owned again, and a
/// second writer scans. At the end a scan visits the first slot only.
#[test]
fn a_reader_or_a_writer_sees_the_other_while_slots_are_unlinked() {
    UNLINKS.set(true);
    let with = FENCES.map(|order| (order, true));
    let without = [(Fence::SeqCst, false), (Fence::Full, false)];
    for (order, has_barrier) in with.into_iter().chain(without) {
        if !has_barrier {
            forbid();
        }
        // The reader's slot is the second of the list, is pushed to the front again, or is the first.
        for (are_unlinked, is_one_held) in [(false, true), (true, true), (true, false)] {
            model(2, move || {
                make_slots(2);
                if are_unlinked {
                    assert!(!is_protected(CELL, NODE));
                }
                let held = is_one_held.then(Reader::new);
                let shared = Arc::new((AtomicUsize::new(NODE), Value::default()));
                let reader = thread::spawn({
                    let shared = Arc::clone(&shared);
                    move || {
                        let (word, value) = &*shared;
                        let reader = Reader::new();
                        reader.protect(order, CELL, NODE);
                        if word.load(Ordering::Acquire) == NODE {
                            value.read();
                        }
                        reader.clear();
                    }
                });
                let other = thread::spawn(|| assert!(!is_protected(OTHER_CELL, OTHER_NODE)));
                let (word, value) = &*shared;
                word.swap(OTHER_NODE, Ordering::AcqRel);
                order_scan(order);
                if !is_protected(CELL, NODE) {
                    value.end();
                }
                reader.join().unwrap();
                other.join().unwrap();
                drop(held);
                assert!(!is_protected(CELL, NODE));
                assert_eq!(scan_list::scanned().count(), 1);
            });
        }
    }
}

/// Outcomes: two readers take and give back slots, while the readers and a third thread scan. The readers never own the
/// same slot at the same time.
#[test]
fn an_owned_slot_has_one_owner_and_stays_in_the_list() {
    UNLINKS.set(true);
    model(2, || {
        make_slots(2);
        let reader = |node| {
            thread::spawn(move || {
                let reader = Reader::new();
                reader.protect(Fence::SeqCst, CELL, node);
                assert!(is_protected(CELL, node));
                reader.clear();
                drop(reader);
                assert!(!is_protected(CELL, node));
            })
        };
        let threads = [reader(NODE), reader(OTHER_NODE)];
        assert!(!is_protected(OTHER_CELL, NODE));
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!is_protected(CELL, NODE));
        assert_eq!(scan_list::scanned().count(), 1);
    });
}
