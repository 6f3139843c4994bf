//! An allocator with shadow fields of its own. The allocator may cause counting, although counting allocates once per
//! thread; and it may update a small value, although the thread caches the freed node.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::thread;

use shadow_runtime::{Row, Shadow, ShadowFields, registry};

use support::{fewer, never_hangs};

/// An allocator with fields. On a thread with `WATCHED`, every allocation is counted as a refused attach. The first
/// allocations also attach a field that no thread has attached before, which takes the registry's lock. On a thread
/// with `UPDATES` or `READS`, every allocation and deallocation updates or reads a field, except inside of such an
/// update or read.
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
    /// The bytes allocated by this thread, minus the bytes freed by this thread.
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

// SAFETY: every call is passed on to the system's allocator.
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
        // SAFETY: `GlobalAlloc::alloc` requires a layout with a non-zero size, and so does `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.set(BYTES.get().wrapping_sub(layout.size()));
        update(layout.size());
        read();
        // SAFETY: every block of this allocator comes from `System`, and the caller passes the block's layout.
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
    // A thread allocates its counters during the attach. The first thread also enters two new fields into the registry.
    let threads = never_hangs(|| [(); 4].map(|()| thread::spawn(watched)).map(|thread| thread.join().unwrap()));
    assert!(threads.iter().all(|&allocations| allocations > 0));
    // This thread allocates its counters during a report, which holds the registry's lock.
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
    assert_eq!(row("allocation").refused(), threads.iter().sum::<u64>() + by_report);
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

/// The first read of a thread takes a slot, which allocates. The thread also registers a destructor, which gives the
/// slot back, and the registration may allocate, too.
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
                        for _ in 0..fewer(100, 5) {
                            assert_eq!(host.text().as_deref(), Some("text"));
                        }
                        READS.set(false);
                    });
                }
            });
        }
    });
}
