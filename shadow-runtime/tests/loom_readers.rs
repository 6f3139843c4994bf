//! Loom models of hazard slots alone (`readers/mod.rs`): whether a scan sees an announcement.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime --test loom_readers
//! ```
//!
//! In: readers that announce and withdraw, and writers that scan. Out: an error for a missed hazard, a false hazard, or
//! a data race. Neighbours: `loom_update.rs` and `loom_raw.rs`, with the models of the hazards' users. Each of these,
//! weakened or left out, fails a model:
//!
//! | weakened or left out | model that fails |
//! |---|---|
//! | `announce_lightly`, `announce_by_fence`, the node, `Release` to `Relaxed` | `a_node_is_announced_for_another_cell` |
//! | `announce`, the exchange, `SeqCst` to `Acquire` | `a_node_is_announced_for_another_cell` |
//! | `announce`, its `full_fence` | `a_reader_or_a_writer_sees_the_other` |
//! | `announce_by_fence`, the fence | `a_value_is_read_while_it_is_replaced` of `loom_raw.rs` |
//! | `tell`, `Release` to `Relaxed` | `a_node_is_announced_for_another_cell` |
//! | `is_announced`, the second look at the node | `a_node_is_announced_for_another_cell` |
//! | `is_announced`, the cell, `Acquire` to `Relaxed` | `a_reader_of_two_fields_and_an_update_of_the_first` of `loom_update.rs` |
//! | `is_announced`, the node, `SeqCst` to `Relaxed` | `a_value_is_read_while_it_is_replaced` of `loom_raw.rs` |
//! | `scanned`, the first slot, `SeqCst` to `Relaxed` | `a_reader_or_a_writer_sees_the_other` |
//! | `scanned`, a link, `Acquire` to `Relaxed` | `an_owned_slot_has_one_owner_and_stays_in_the_list` |
//! | `withdraw`, `Release` to `Relaxed`, or `SeqCst` to `Acquire` | `a_reader_or_a_writer_sees_the_other` |
//! | `give_back`, `Release`; `own`, `Acquire`; `take_slot`, `Acquire`; `make_slot`, `Release` | `a_node_is_announced_for_another_cell_by_another_thread` |
//! | `push`, the exchange, `SeqCst` to either half | `a_reader_or_a_writer_sees_the_other` |
//! | `push`, the link, `Release` to `Relaxed` | `an_owned_slot_has_one_owner_and_stays_in_the_list`: a scan that does not end |
//! | `unlink_vacant`, the first slot, `Acquire`; the new link, `Release`; the flag, either; the state, `Release` | `a_reader_or_a_writer_sees_the_other_while_slots_are_unlinked` |
//!
//! Loom models a `SeqCst` operation as `AcqRel`, or as the half that a load or a store can have; the adjacent
//! `full_fence` supplies the rest. So no model can fail if only `SeqCst` is weakened to `AcqRel` or a half.
//! `cell/get_or_update.rs` argues for `SeqCst`, as O5.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use shadow_runtime::__private::modelled_readers::{
    Reader, Way, fence, forbid_barrier, is_announced, scanned, unlink_slots,
};

const WAYS: [Way; 3] = [Way::Lightly, Way::AtOnce, Way::ByFence];

const CELL: usize = 1;
const OTHER_CELL: usize = 2;
const NODE: usize = 128;
const OTHER_NODE: usize = 256;

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
/// the reader withdraws before the scan. The reader's slot is new, or belonged to an earlier reader.
#[test]
fn a_reader_or_a_writer_sees_the_other() {
    let with = WAYS.map(|way| (way, true));
    let without = [(Way::AtOnce, false), (Way::ByFence, false)];
    for (way, has_barrier) in with.into_iter().chain(without) {
        if !has_barrier {
            forbid_barrier();
        }
        for is_slot_there in [false, true] {
            model(3, move || {
                let shared = Arc::new((AtomicUsize::new(NODE), Value::default()));
                if is_slot_there {
                    let last = thread::spawn(move || Reader::default().announce(way, OTHER_CELL, 0));
                    last.join().unwrap();
                }
                let reader = thread::spawn({
                    let shared = Arc::clone(&shared);
                    move || {
                        let (word, value) = &*shared;
                        let reader = Reader::default();
                        reader.announce(way, CELL, NODE);
                        if word.load(Ordering::Acquire) == NODE {
                            value.read();
                        }
                        reader.withdraw();
                    }
                });
                let writer = thread::spawn(move || {
                    let (word, value) = &*shared;
                    word.swap(OTHER_NODE, Ordering::AcqRel);
                    fence(way);
                    if !is_announced(CELL, NODE) {
                        value.end();
                    }
                });
                reader.join().unwrap();
                writer.join().unwrap();
            });
        }
    }
}

/// Outcomes: a scan finds no node announced that no reader of the cell has announced. The reader first announces a node
/// for another cell, and then another node for this cell, or the reverse.
#[test]
fn a_node_is_announced_for_another_cell() {
    for way in WAYS {
        for is_other_first in [false, true] {
            model(3, move || {
                let reader = thread::spawn(move || {
                    let reader = Reader::default();
                    let announce = |is_other| {
                        let (cell, node) = if is_other { (OTHER_CELL, NODE) } else { (CELL, OTHER_NODE) };
                        reader.announce(way, cell, node);
                        reader.withdraw();
                    };
                    announce(is_other_first);
                    announce(!is_other_first);
                });
                let writer = thread::spawn(|| assert!(!is_announced(CELL, NODE)));
                reader.join().unwrap();
                writer.join().unwrap();
            });
        }
    }
}

/// Outcomes: as for `a_node_is_announced_for_another_cell`, with a slot that one reader gives back and the other reader
/// takes. The two threads have no other shared state.
#[test]
fn a_node_is_announced_for_another_cell_by_another_thread() {
    for way in WAYS {
        for is_other_first in [false, true] {
            model(2, move || {
                let reader = |is_other| {
                    thread::spawn(move || {
                        let (cell, node) = if is_other { (OTHER_CELL, NODE) } else { (CELL, OTHER_NODE) };
                        let reader = Reader::default();
                        reader.announce(way, cell, node);
                        reader.withdraw();
                    })
                };
                let readers = [reader(is_other_first), reader(!is_other_first)];
                let writer = thread::spawn(|| assert!(!is_announced(CELL, NODE)));
                for thread in readers.into_iter().chain([writer]) {
                    thread.join().unwrap();
                }
            });
        }
    }
}

/// Makes slots, and gives the slots back.
fn make_slots(count: usize) {
    drop((0..count).map(|_| Reader::default()).collect::<Vec<_>>());
}

/// Outcomes: as for `a_reader_or_a_writer_sees_the_other`, while slots are unlinked, pushed and owned again, and a
/// second writer scans. At the end a scan visits the first slot only.
#[test]
fn a_reader_or_a_writer_sees_the_other_while_slots_are_unlinked() {
    unlink_slots();
    let with = WAYS.map(|way| (way, true));
    let without = [(Way::AtOnce, false), (Way::ByFence, false)];
    for (way, has_barrier) in with.into_iter().chain(without) {
        if !has_barrier {
            forbid_barrier();
        }
        // The reader's slot is the second of the list, is pushed to the front again, or is the first.
        for (are_unlinked, is_one_held) in [(false, true), (true, true), (true, false)] {
            model(2, move || {
                make_slots(2);
                if are_unlinked {
                    assert!(!is_announced(CELL, NODE));
                }
                let held = is_one_held.then(Reader::default);
                let shared = Arc::new((AtomicUsize::new(NODE), Value::default()));
                let reader = thread::spawn({
                    let shared = Arc::clone(&shared);
                    move || {
                        let (word, value) = &*shared;
                        let reader = Reader::default();
                        reader.announce(way, CELL, NODE);
                        if word.load(Ordering::Acquire) == NODE {
                            value.read();
                        }
                        reader.withdraw();
                    }
                });
                let other = thread::spawn(|| assert!(!is_announced(OTHER_CELL, OTHER_NODE)));
                let (word, value) = &*shared;
                word.swap(OTHER_NODE, Ordering::AcqRel);
                fence(way);
                if !is_announced(CELL, NODE) {
                    value.end();
                }
                reader.join().unwrap();
                other.join().unwrap();
                drop(held);
                assert!(!is_announced(CELL, NODE));
                assert_eq!(scanned(), 1);
            });
        }
    }
}

/// Outcomes: two readers take and give back slots, while the readers and a third thread scan. The readers never own the
/// same slot at the same time.
#[test]
fn an_owned_slot_has_one_owner_and_stays_in_the_list() {
    unlink_slots();
    model(2, || {
        make_slots(2);
        let reader = |node| {
            thread::spawn(move || {
                let reader = Reader::default();
                reader.announce(Way::AtOnce, CELL, node);
                assert!(is_announced(CELL, node));
                reader.withdraw();
                drop(reader);
                assert!(!is_announced(CELL, node));
            })
        };
        let threads = [reader(NODE), reader(OTHER_NODE)];
        assert!(!is_announced(OTHER_CELL, NODE));
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!is_announced(CELL, NODE));
        assert_eq!(scanned(), 1);
    });
}
