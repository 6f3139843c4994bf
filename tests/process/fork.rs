//! `fork` without `exec`: the child has a copy of the parent's fields, independent from then on. A field that another
//! thread was initialising at the fork is like a lock held at the fork: in the child, a request for the field waits for
//! ever.
//!
//! `fork` copies the whole process, so the tests run sequentially.
#![cfg(all(unix, not(miri)))]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, mpsc};
use std::{ptr, thread};

use shadow_runtime::{Row, Shadow, ShadowFields, Shadowed, raw, registry, shadow};

use support::{AtEnd, Census, Life, alone, never_hangs};

#[derive(Shadow, Default)]
#[shadow_field(attach owner: u32)]
#[shadow_field(get_or_attach number: AtomicU32)]
#[shadow_field(get_or_update newest: u32)]
#[shadow_field(get_or_update(copy) copied: u32)]
#[shadow_field(attach life: Life)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait OwnedFields for Shadowed<u32> { attach owner: u32; get_or_update newest: u32; }
    trait SharedFields for Arc<u32> {
        attach owner: u32;
        get_or_attach number: AtomicU32;
        get_or_update newest: u32;
        get_or_update(copy) copied: u32;
        attach life: Life;
    }
    trait StaticFields for &'static AtomicU32 { attach owner: u32; get_or_update newest: u32; }
}

const OWNER: raw::Id<u32> = raw::Id::new(940);
const NEWEST: raw::UpdateId<u32> = raw::UpdateId::new(941);
const LATER: raw::Id<u32> = raw::Id::new(942);

static FIXED: AtomicU32 = AtomicU32::new(0);

/// Runs `child` in a forked child process, and returns the exit status.
fn fork(child: impl FnOnce()) -> i32 {
    // SAFETY: the child has only this thread, runs `child`, and exits by `_exit`, without code of the test harness.
    match unsafe { libc::fork() } {
        -1 => panic!("there can be no child"),
        0 => {
            // SAFETY: `alarm` has no precondition. No code handles `SIGALRM`, so the alarm kills a child that hangs.
            unsafe { libc::alarm(20) };
            let result = catch_unwind(AssertUnwindSafe(child));
            // SAFETY: `_exit` has no precondition, and does not return.
            unsafe { libc::_exit(if result.is_ok() { 7 } else { 1 }) }
        }
        pid => {
            let mut status = 0;
            // SAFETY: `status` is valid for a write. `pid` is a child of this process, without a second `waitpid`.
            assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
            status
        }
    }
}

fn ended_well(status: i32) -> bool {
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7
}

fn live(field: &str) -> u64 {
    registry().report().iter().filter(|row| row.host() == "Task" && row.field() == field).map(Row::live).sum()
}

#[test]
fn a_child_has_the_fields_of_its_parent_and_then_its_own() {
    let _alone = alone();
    let (census, mut task, shared, fixed) = (Census::default(), Task::default(), Arc::new(1), &FIXED);
    let (owned, dead) = (Shadowed::new(2), Arc::new(3));
    let key = ptr::from_ref(fixed).cast();
    task.attach_owner(1).unwrap();
    task.number().store(2, Ordering::Relaxed);
    task.update_newest(3);
    task.update_copied(4);
    shared.attach_owner(5).unwrap();
    shared.update_newest(6);
    owned.attach_owner(7).unwrap();
    fixed.attach_owner(8).unwrap();
    // SAFETY: the object is a static, and no thread detaches the field during the call.
    unsafe { OWNER.attach(key, 9) }.unwrap();
    assert!(dead.attach_life(census.life()).is_ok());
    drop(dead);

    let status = fork(|| {
        let found = (task.owner(), task.number().load(Ordering::Relaxed), task.newest(), task.copied());
        assert_eq!(found, (Some(&1), 2, Some(3), Some(4)));
        assert_eq!((shared.owner(), shared.newest()), (Some(&5), Some(6)));
        assert_eq!((owned.owner(), fixed.owner()), (Some(&7), Some(&8)));
        // SAFETY: no reference to the value exists.
        assert_eq!(unsafe { OWNER.detach(key) }.unwrap(), Some(9));
        // Operations work as in every process.
        assert!(task.attach_owner(10).is_err() && shared.attach_owner(10).is_err());
        assert_eq!((task.update_newest(11), task.update_copied(12)), (Some(3), Some(4)));
        assert_eq!(shared.update_newest_with(|before| before.unwrap() + 1), Some(6));
        assert_eq!(task.detach_owner(), Some(1));
        for number in 0..1000 {
            assert_eq!(Arc::new(number).update_copied(number), None);
            Task::default().number();
        }
        assert!(registry().sweep() > 0);
        assert_eq!(census.dropped(), 1);
        assert_eq!((live("owner"), live("newest")), (0, 1));
        // Operations on threads of the child.
        let counted = thread::scope(|scope| {
            let threads = [(); 2].map(|()| scope.spawn(|| shared.number().fetch_add(1, Ordering::Relaxed)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert_eq!(counted.iter().sum::<u32>(), 1);
    });
    assert!(ended_well(status), "{status:#x}");

    // The operations of the child have not changed the parent.
    assert_eq!((task.owner(), task.newest(), task.copied()), (Some(&1), Some(3), Some(4)));
    assert_eq!((shared.newest(), shared.peek_number().is_none(), census.dropped()), (Some(6), true, 0));
    // SAFETY: no reference to the value exists.
    assert_eq!(unsafe { OWNER.detach(key) }.unwrap(), Some(9));
    assert_eq!((live("owner"), registry().sweep(), census.dropped()), (1, 1, 1));
}

#[test]
fn a_child_can_read_whatever_other_threads_of_its_parent_were_doing() {
    let _alone = alone();
    never_hangs(|| {
        let (task, done) = (Task::default(), AtomicBool::new(false));
        // 1,000 hosts are in every shard of the table, so in every shard that the second thread locks.
        let hosts: Vec<_> = (0..1000).map(Arc::new).collect();
        task.attach_owner(1).unwrap();
        task.update_copied(3);
        for host in &hosts {
            host.attach_owner(2).unwrap();
            host.update_copied(4);
        }
        thread::scope(|scope| {
            let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
            scope.spawn(|| {
                // Inserts, sweeps and updates, which take locks.
                let mut number = 0;
                while !done.load(Ordering::Relaxed) {
                    let crowd: Vec<_> = (0..50).map(Arc::new).collect();
                    for host in &crowd {
                        host.update_newest(number);
                    }
                    drop(crowd);
                    registry().sweep();
                    task.update_copied(3);
                    hosts[0].update_copied(4);
                    number += 1;
                }
            });
            for _ in 0..100 {
                let status = fork(|| {
                    // A read takes no lock. A lock of the second thread is held for ever in the child.
                    assert_eq!((task.owner(), task.copied()), (Some(&1), Some(3)));
                    for host in &hosts {
                        assert_eq!((host.owner(), host.copied()), (Some(&2), Some(4)));
                        assert!(host.peek_number().is_none());
                    }
                });
                assert!(ended_well(status), "{status:#x}");
            }
        });
    });
}

#[test]
fn a_child_can_read_raw_objects_whatever_other_threads_of_its_parent_were_doing() {
    let _alone = alone();
    never_hangs(|| {
        let (objects, done) = ([0_u64; 100], AtomicBool::new(false));
        let key = |index: usize| ptr::from_ref(&objects[index]).cast();
        for index in 0..50 {
            // SAFETY: all fields are detached before the end of the objects, and the reference ends here.
            unsafe { OWNER.attach(key(index), 5) }.unwrap();
            // SAFETY: all fields are detached before the end of the objects.
            unsafe { NEWEST.get_or_update(key(index), 6) }.unwrap();
        }
        thread::scope(|scope| {
            let _end = AtEnd(|| done.store(true, Ordering::Relaxed));
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for index in 0..100 {
                        // SAFETY: all fields are detached before the end of the objects.
                        unsafe { NEWEST.get_or_update(key(index), 6) }.unwrap();
                        // SAFETY: only this thread uses `LATER`, and the reference ends here.
                        unsafe { LATER.attach(key(index), 7) }.unwrap();
                    }
                    for index in 0..50 {
                        // SAFETY: only this thread uses `LATER`, and no reference to the value exists.
                        unsafe { LATER.detach(key(index)) }.unwrap();
                        // SAFETY: only `NEWEST` and `LATER` are attached, and no reference to a value exists.
                        assert_eq!(unsafe { raw::detach_object(key(50 + index)) }, 2);
                    }
                }
            });
            for _ in 0..100 {
                let status = fork(|| {
                    for index in 0..50 {
                        // SAFETY: `OWNER` is not detached before the end of the scope.
                        let owner = unsafe { OWNER.get(key(index)) }.unwrap();
                        // SAFETY: the objects live until the end of the test.
                        assert_eq!((owner, unsafe { NEWEST.get(key(index)) }.unwrap()), (Some(&5), Some(6)));
                        // SAFETY: the objects live until the end of the test.
                        assert!(unsafe { NEWEST.get(key(50 + index)) }.unwrap().is_none_or(|newest| newest == 6));
                    }
                });
                assert!(ended_well(status), "{status:#x}");
            }
        });
        // SAFETY: no thread holds a reference to a value.
        assert_eq!((0..100).map(|index| unsafe { raw::detach_object(key(index)) }).sum::<usize>(), 100);
    });
}

#[test]
fn a_field_that_another_thread_was_initialising_stays_so_in_the_child() {
    let _alone = alone();
    never_hangs(|| {
        let (task, other) = (Task::default(), Task::default());
        let (begun, wait_for_it) = mpsc::channel();
        let (end, wait_for_end) = mpsc::channel::<()>();
        thread::scope(|scope| {
            scope.spawn(|| {
                task.get_or_attach_number(move || {
                    begun.send(()).unwrap();
                    wait_for_end.recv().unwrap();
                    AtomicU32::new(1)
                });
            });
            wait_for_it.recv().unwrap();
            let status = fork(|| {
                assert!(task.peek_number().is_none());
                task.attach_owner(1).unwrap();
                other.number().store(2, Ordering::Relaxed);
                assert_eq!(other.number().load(Ordering::Relaxed), 2);
            });
            // In a child, a request for the field waits until the alarm.
            let asked = fork(|| {
                let soon = libc::timeval { tv_sec: 0, tv_usec: 200_000 };
                let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
                // SAFETY: the new timer is valid for a read, and a null pointer for the old timer is allowed.
                unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const once, ptr::null_mut()) };
                task.number();
            });
            end.send(()).unwrap();
            assert!(ended_well(status), "{status:#x}");
            assert!(libc::WIFSIGNALED(asked) && libc::WTERMSIG(asked) == libc::SIGALRM, "{asked:#x}");
        });
        assert_eq!(task.number().load(Ordering::Relaxed), 1);
    });
}

/// The child has the guard of a background sweep, but not the thread. Attaches do not sweep until the guard is dropped.
#[test]
fn a_child_may_sweep_and_drop_the_guard_of_a_background_sweep() {
    let _alone = alone();
    let census = Census::default();
    let attach = |number: usize| {
        for _ in 0..number {
            assert!(Arc::new(5_u32).attach_life(census.life()).is_ok());
        }
    };
    attach(1);
    let mut guard = Some(registry().sweep_in_background(std::time::Duration::from_secs(3600)).unwrap());
    // Waits for the first sweep of the thread, and then for the end of the sweep, which may hold a lock.
    while census.dropped() == 0 {
        thread::yield_now();
    }
    thread::sleep(std::time::Duration::from_millis(50));
    let status = fork(|| {
        attach(100);
        assert_eq!(census.dropped(), 1);
        assert_eq!((registry().sweep(), census.dropped()), (100, 101));
        drop(guard.take());
        attach(100);
        assert!(census.dropped() > 150);
    });
    assert!(ended_well(status), "{status}");
    drop(guard);
    registry().sweep();
}
