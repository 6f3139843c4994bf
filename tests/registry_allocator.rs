//! An allocator with shadow fields of its own. The allocator may cause counting, although counting allocates once per
//! thread; and it may update a small value, although the thread caches the freed node.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;

use shadow_runtime::{Row, Shadow, ShadowFields, registry};

mod common;

use common::{fewer, never_hangs};

/// An allocator that counts its allocations as refused attaches, in threads that have asked for it. The first few also
/// attach a field that nobody has attached before, which takes the registry's lock. In threads that have asked for
/// that, it updates a field at every allocation, and wherever something is freed, but not inside of such an update.
struct Instrumented;

#[global_allocator]
static ALLOCATOR: Instrumented = Instrumented;

#[derive(Shadow)]
#[shadow_field(attach allocation: u8)]
#[shadow_field(attach first: u64)]
#[shadow_field(attach second: u64)]
#[shadow_field(attach third: u64)]
#[shadow_field(attach fourth: u64)]
#[shadow_field(get_or_update size: [usize; 3])]
struct Heap {
    shadow: ShadowFields,
}

static HEAP: Heap = Heap { shadow: ShadowFields::new() };

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    static UPDATES: Cell<bool> = const { Cell::new(false) };
    static READS: Cell<bool> = const { Cell::new(false) };
    /// What is allocated, by this thread, less what it has freed.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn update(size: usize) {
    if UPDATES.replace(false) {
        HEAP.update_size([size; 3]);
        UPDATES.set(true);
    }
}

fn read() {
    if READS.replace(false) {
        assert!(HEAP.size().is_some());
        READS.set(true);
    }
}

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Instrumented {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if WATCHED.get() {
            let count = ALLOCATIONS.get() + 1;
            ALLOCATIONS.set(count);
            // Only the first thread is not refused.
            let _ = match count {
                1 => HEAP.attach_first(count).is_ok(),
                2 => HEAP.attach_second(count).is_ok(),
                3 => HEAP.attach_third(count).is_ok(),
                _ => HEAP.attach_fourth(count).is_ok(),
            };
            assert!(HEAP.attach_allocation(1).is_err());
        }
        BYTES.set(BYTES.get().wrapping_add(layout.size()));
        update(layout.size());
        read();
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get().wrapping_sub(layout.size()));
        update(layout.size());
        read();
        // SAFETY: the caller keeps to the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn an_allocator_may_count_while_counters_and_reports_are_made() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach one: u8)]
    #[shadow_field(attach two: u8)]
    struct Host {
        shadow: ShadowFields,
    }
    let watched = || {
        WATCHED.set(true);
        let host = Host::default();
        host.attach_one(1).unwrap();
        host.attach_two(2).unwrap();
        drop(host);
        WATCHED.set(false);
        ALLOCATIONS.get()
    };
    HEAP.attach_allocation(1).unwrap();
    // The first makes its counters in the middle of the attach; it meets two fields that nobody has attached before.
    let threads = never_hangs(|| [(); 4].map(|()| thread::spawn(watched)).map(|thread| thread.join().unwrap()));
    assert!(threads.iter().all(|&allocations| allocations > 0));
    // This one makes its counters in the middle of a report, which takes the registry's lock.
    let reporting = || {
        WATCHED.set(true);
        let report = registry().report();
        WATCHED.set(false);
        drop(report);
        ALLOCATIONS.get()
    };
    let by_report = never_hangs(|| thread::spawn(reporting).join().unwrap());
    assert!(by_report > 0);
    let report = registry().report();
    let row = |field| report.iter().find(|row: &&Row| row.field() == field).unwrap();
    assert_eq!(row("allocation").duplicates(), threads.iter().sum::<u64>() + by_report);
    assert_eq!(["one", "two"].map(|field| (row(field).attached(), row(field).live())), [(4, 0); 2]);
}

#[test]
fn an_allocator_may_update_small_values_where_others_are_replaced() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update pair: [u64; 2])]
    #[shadow_field(get_or_update four: [u64; 4])]
    struct Host {
        shadow: ShadowFields,
    }
    let updates = || {
        let host = Host::default();
        UPDATES.set(true);
        let kept = [(); 3].map(|()| {
            for number in 0..fewer(100, 5) {
                host.update_pair([number; 2]);
                host.update_four([number; 4]);
                assert_eq!((host.pair(), host.four()), (Some([number; 2]), Some([number; 4])));
            }
            BYTES.get()
        });
        UPDATES.set(false);
        kept
    };
    for kept in never_hangs(|| [(); 3].map(|()| thread::spawn(updates)).map(|thread| thread.join().unwrap())) {
        assert!(kept[2] <= kept[0], "bytes that are kept: {kept:?}");
    }
}

/// The first read of a thread takes a slot, which allocates, and has the thread give the slot back, which may allocate,
/// too.
#[test]
fn an_allocator_may_read_where_others_read() {
    #[derive(Shadow, Default)]
    #[shadow_field(get_or_update text: String)]
    struct Host {
        shadow: ShadowFields,
    }
    HEAP.update_size([1; 3]);
    let host = Host::default();
    host.update_text("text".into());
    never_hangs(|| {
        for _ in 0..3 {
            thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        READS.set(true);
                        for _ in 0..100 {
                            assert_eq!(host.text().as_deref(), Some("text"));
                        }
                        READS.set(false);
                    });
                }
            });
        }
    });
}
