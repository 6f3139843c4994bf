//! The registry counts by thread. The counts are exact when no thread is active, whenever a thread counts, also at its
//! end, and never decrease. `memory/r07_bounded_memory.rs` has the threads that come and go.
//!
//! A field attached by a test has a row in later reports of other tests, so the tests run sequentially.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::{ptr, thread};

use shadow_runtime::{Row, Shadow, ShadowFields, raw, registry};

use support::memory::{Counting, bytes};
use support::{AtEnd, alone, fewer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn find(host: &str, field: &str) -> Option<Row> {
    registry().report().into_iter().find(|row| row.host() == host && row.field() == field)
}

/// Live, attached, detached, updates, refused. Zeros before the first attach.
fn counts(host: &str, field: &str) -> [u64; 5] {
    find(host, field).map_or([0; 5], |row| numbers(&row))
}

fn numbers(row: &Row) -> [u64; 5] {
    [row.live(), row.attached(), row.detached(), row.updates(), row.refused()]
}

/// The first ids of two tests. The ids have eight digits.
const FIRST_SCOPED: u64 = 10_000_000;
const FIRST_OF_MANY: u64 = 20_000_000;

/// Attaches values by ids made at run time, in place of as many declarations, and replaces every value.
fn use_ids(numbers: impl Iterator<Item = u64>, object: &u8) {
    let object = ptr::from_ref(object).cast();
    for number in numbers {
        let id = raw::UpdateId::new(number);
        // SAFETY: the object outlives its fields, which `detach_ids` detaches.
        assert_eq!(unsafe { id.get_or_update(object, 1_u8) }.unwrap(), None);
        // SAFETY: the object outlives its fields, which `detach_ids` detaches.
        assert_eq!(unsafe { id.get_or_update(object, 2) }.unwrap(), Some(1));
    }
}

fn detach_ids(object: &u8) -> usize {
    // SAFETY: an `UpdateId` returns no references, so no thread holds a reference to a value.
    unsafe { raw::detach_object(ptr::from_ref(object).cast()) }
}

#[test]
fn values_that_end_on_another_thread_are_counted_exactly() {
    const ROUNDS: u32 = fewer(1000, 2);
    const ALL: u64 = 4 * ROUNDS as u64;
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u32)]
    #[shadow_field(get_or_update version: u32)]
    struct Passed {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let (send, receive) = mpsc::channel::<Passed>();
    let receive = Mutex::new(receive);
    thread::scope(|scope| {
        for _ in 0..4 {
            let send = send.clone();
            scope.spawn(move || {
                for number in 0..ROUNDS {
                    let host = Passed::default();
                    host.attach_serial(number).unwrap();
                    host.update_version(number);
                    send.send(host).unwrap();
                }
            });
        }
        drop(send);
        for _ in 0..4 {
            scope.spawn(|| {
                let next = || receive.lock().unwrap().recv();
                while let Ok(mut host) = next() {
                    assert!(host.attach_serial(0).is_err());
                    host.update_version(0);
                    host.detach_serial();
                }
            });
        }
    });
    assert_eq!(counts("Passed", "serial"), [0, ALL, ALL, 0, ALL]);
    assert_eq!(counts("Passed", "version"), [0, ALL, ALL, ALL, 0]);
}

#[test]
fn counts_of_joined_threads_are_exact() {
    const EACH: u32 = fewer(100, 2);
    const ALL: u64 = 8 * (EACH as u64 + 1);
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u32)]
    struct Joined {
        shadow: ShadowFields,
    }
    let _alone = alone();
    for round in 1..=fewer(50, 1) {
        let threads = [(); 8].map(|()| {
            thread::spawn(|| {
                for number in 0..EACH {
                    Joined::default().attach_serial(number).unwrap();
                }
                let kept = Joined::default();
                kept.attach_serial(0).unwrap();
                kept
            })
        });
        let kept = threads.map(|thread| thread.join().unwrap());
        assert_eq!(counts("Joined", "serial"), [8, round * ALL, round * ALL - 8, 0, 0]);
        drop(kept);
        assert_eq!(counts("Joined", "serial"), [0, round * ALL, round * ALL, 0, 0]);
    }
}

/// At the end of a scope, threads of the scope may still be ending, and may just be giving back the counters of the
/// fields.
#[test]
fn a_report_right_after_a_scope_is_exact() {
    const FIELDS: u64 = fewer(1000, 3);
    let _alone = alone();
    let objects = [0_u8; 2];
    for round in 1..=fewer(50, 1) {
        thread::scope(|scope| {
            for object in &objects {
                scope.spawn(|| {
                    use_ids(FIRST_SCOPED..FIRST_SCOPED + FIELDS, object);
                    detach_ids(object);
                });
            }
        });
        for _ in 0..5 {
            let report = registry().report();
            let ids = report.iter().filter(|row| row.host() == "*const ()" && row.value_type() == "u8");
            let scoped = ids.filter(|row| row.field() < "20000000" && row.field() >= "10000000");
            let sum = scoped.map(numbers).reduce(|sum, row| std::array::from_fn(|count| sum[count] + row[count]));
            assert_eq!(sum, Some([0, 1, 1, 1, 0].map(|count| count * round * 2 * FIELDS)));
        }
    }
}

#[derive(Shadow, Default)]
#[shadow_field(attach serial: u32)]
struct Local {
    shadow: ShadowFields,
}

/// Attaches a field at the end of a thread. No other code attaches the field.
#[derive(Shadow, Default)]
#[shadow_field(attach last_words: u32)]
struct Late {
    shadow: ShadowFields,
}

impl Drop for Late {
    fn drop(&mut self) {
        self.attach_last_words(1).unwrap();
    }
}

#[test]
fn what_the_destructors_of_thread_locals_do_is_counted() {
    thread_local! {
        static EARLY: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
        static FIRST: Late = Late::default();
        static AFTER: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
        static LAST: Late = Late::default();
    }
    let _alone = alone();
    for round in 1..=fewer(20, 1) {
        thread::spawn(|| {
            // The thread makes two thread-locals before its first count, and two after. In any order of the
            // destructors, some destructors run before the thread gives back its counters, and some after.
            EARLY.with_borrow(Vec::len);
            FIRST.with(|_| ());
            let hosts = [(); 6].map(|()| Local::default());
            assert!(hosts.iter().all(|host| host.attach_serial(1).is_ok()));
            AFTER.with_borrow(Vec::len);
            LAST.with(|_| ());
            let [one, two, three, four, five, six] = hosts;
            EARLY.with_borrow_mut(|early| early.extend([one, two, three]));
            AFTER.with_borrow_mut(|after| after.extend([four, five, six]));
        })
        .join()
        .unwrap();
        assert_eq!(counts("Local", "serial"), [0, round * 6, round * 6, 0, 0]);
        assert_eq!(counts("Late", "last_words"), [0, round * 2, round * 2, 0, 0]);
    }
}

#[test]
fn counts_never_go_back_while_threads_work_come_and_go() {
    const EACH: u32 = fewer(50, 2);
    const ROUNDS: u64 = fewer(200, 2);
    const ALL: u64 = 3 * ROUNDS * EACH as u64;
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u32)]
    #[shadow_field(get_or_update version: u32)]
    struct Watched {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let done = AtomicBool::new(false);
    let work = || {
        for number in 0..EACH {
            let host = Watched::default();
            host.attach_serial(number).unwrap();
            assert!(host.attach_serial(number).is_err());
            host.update_version(number);
            host.update_version(number);
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut before = [[0; 5]; 2];
            while !done.load(Ordering::Relaxed) {
                let now = ["serial", "version"].map(|field| counts("Watched", field));
                for ([live, now @ ..], [_, before @ ..]) in now.iter().zip(&before) {
                    assert!(now.iter().zip(before).all(|(now, before)| now >= before), "{before:?} then {now:?}");
                    assert!(live <= &now[0], "{live} of {now:?}");
                }
                before = now;
            }
        });
        let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
        let long = scope.spawn(|| (0..ROUNDS).for_each(|_| work()));
        for _ in 0..ROUNDS {
            for thread in [(); 2].map(|()| thread::spawn(work)) {
                thread.join().unwrap();
            }
        }
        long.join().unwrap();
    });
    assert_eq!(counts("Watched", "serial"), [0, ALL, ALL, 0, ALL]);
    assert_eq!(counts("Watched", "version"), [0, ALL, ALL, ALL, 0]);
}

#[test]
fn thousands_of_fields_are_counted() {
    const FIELDS: u64 = fewer(5000, 6);
    const END: u64 = FIRST_OF_MANY + FIELDS;
    let _alone = alone();
    let objects = [0_u8; 3];
    thread::scope(|scope| {
        let [up, down, both] = &objects;
        // In rising order, a thread needs longer and longer counters; in falling order, the longest counters at once.
        scope.spawn(|| use_ids(FIRST_OF_MANY..END, up));
        scope.spawn(|| use_ids((FIRST_OF_MANY..END).rev(), down));
        scope.spawn(|| use_ids((0..FIELDS / 2).flat_map(|step| [FIRST_OF_MANY + step, END - 1 - step]), both));
    });
    let check = |expected: [u64; 5]| {
        let report = registry().report();
        let rows: HashMap<&str, &Row> = report.iter().map(|row| (row.field(), row)).collect();
        for number in FIRST_OF_MANY..END {
            assert_eq!(numbers(rows[&*number.to_string()]), expected, "{number}");
        }
    };
    check([3, 3, 0, 3, 0]);
    thread::scope(|scope| {
        for object in &objects {
            scope.spawn(|| assert_eq!(detach_ids(object) as u64, FIELDS));
        }
    });
    check([0, 3, 3, 3, 0]);
}

#[test]
fn a_thread_that_counts_nothing_allocates_nothing_for_it() {
    #[derive(Shadow, Default)]
    #[shadow_field(attach serial: u32)]
    struct Read {
        shadow: ShadowFields,
    }
    let _alone = alone();
    let host = Read::default();
    host.attach_serial(1).unwrap();
    let kept = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let before = bytes();
            assert_eq!(host.serial(), Some(&1));
            bytes() - before
        });
        reader.join().unwrap()
    });
    assert_eq!(kept, 0);
}
