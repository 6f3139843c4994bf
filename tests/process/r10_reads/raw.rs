//! Rule R10 for raw objects: reads take no lock. A thread stopped inside of an operation on the same field, on a second
//! field or on a number blocks no reader.
//!
//! A number names its type for the whole process and for good, so every test has numbers of its own.

use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use shadow_runtime::raw::{self, Id, PointerId, UpdateId};

use support::never_hangs;

/// The number of an object. No memory exists at the object's address.
type Object = usize;

fn key(object: Object) -> *const () {
    ptr::without_provenance(16 * object)
}

// The objects of this file are addresses without memory, so no object ends before its fields. No test keeps a reference
// to a value over a detach of the field, and no thread looks up a field of an `Id` during a detach of the field.

fn get<V: Send + Sync + 'static>(id: Id<V>, object: Object) -> Option<&'static V> {
    // SAFETY: no thread detaches the field while the reference is in use.
    unsafe { id.get(key(object)) }.unwrap()
}

fn attach<V: Send + Sync + 'static>(id: Id<V>, object: Object, value: V) -> bool {
    // SAFETY: no object exists at this address, and no thread detaches the field during the call.
    unsafe { id.attach(key(object), value) }.is_ok()
}

fn get_or_attach<V: Copy + Send + Sync + 'static>(id: Id<V>, object: Object, init: impl FnOnce() -> V) -> V {
    // SAFETY: no object exists at this address, and no thread detaches the field before the copy of the value.
    *unsafe { id.get_or_attach(key(object), || Ok::<_, ()>(init())) }.unwrap()
}

fn detach<V: Send + Sync + 'static>(id: Id<V>, object: Object) -> Option<V> {
    // SAFETY: no thread holds a reference to the value.
    unsafe { id.detach(key(object)) }.unwrap()
}

fn newest<V: Clone + Send + Sync + 'static>(id: UpdateId<V>, object: Object) -> Option<V> {
    // SAFETY: no object exists at this address, so the field has no earlier owner.
    unsafe { id.get(key(object)) }.unwrap()
}

fn newest_or_attach<V: Clone + Send + Sync + 'static>(id: UpdateId<V>, object: Object, init: impl FnOnce() -> V) -> V {
    // SAFETY: no object exists at this address, so no object ends before the field.
    unsafe { id.get_or_attach(key(object), || Ok::<_, ()>(init())) }.unwrap()
}

fn update<V: Clone + Send + Sync + 'static>(id: UpdateId<V>, object: Object, value: V) -> Option<V> {
    // SAFETY: no object exists at this address, so no object ends before the field.
    unsafe { id.get_or_update(key(object), value) }.unwrap_or_else(|refused| panic!("{refused}"))
}

fn detach_newest<V: Clone + Send + Sync + 'static>(id: UpdateId<V>, object: Object) -> Option<V> {
    // SAFETY: no object exists at this address, so the field has no earlier owner.
    unsafe { id.detach(key(object)) }.unwrap()
}

fn detach_object(object: Object) -> usize {
    // SAFETY: no thread holds a reference to a value of the object.
    unsafe { raw::detach_object(key(object)) }
}

#[test]
fn a_field_can_be_looked_at_while_its_initialiser_runs() {
    const MADE: Id<u32> = Id::new(1);
    const ONCE: Id<u32> = Id::new(2);
    const OBJECT: Object = 1;
    assert!(attach(ONCE, OBJECT, 1));
    never_hangs(|| {
        let (arrive, arrived) = mpsc::channel();
        let (go_on, may_go_on) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let maker = scope.spawn(move || {
                get_or_attach(MADE, OBJECT, || {
                    arrive.send(()).unwrap();
                    may_go_on.recv().unwrap();
                    3
                })
            });
            arrived.recv().unwrap();
            assert_eq!((get(MADE, OBJECT), get(ONCE, OBJECT)), (None, Some(&1)));
            assert_eq!((detach(ONCE, OBJECT), get(ONCE, OBJECT)), (Some(1), None));
            go_on.send(()).unwrap();
            assert_eq!(maker.join().unwrap(), 3);
        });
    });
    assert_eq!((get(MADE, OBJECT).copied(), detach_object(OBJECT)), (Some(3), 1));
}

/// Tests every operation that takes a value away during a clone of the value.
#[test]
fn a_field_can_be_read_replaced_and_detached_while_somebody_clones_it() {
    const SLOW: UpdateId<Slow> = UpdateId::new(3);
    const OBJECT: Object = 2;
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    static STAY: Mutex<Option<(mpsc::Sender<()>, mpsc::Receiver<()>)>> = Mutex::new(None);
    /// The first clone blocks until the test sends a message.
    struct Slow(u32);
    impl Clone for Slow {
        fn clone(&self) -> Self {
            let stay = STAY.lock().unwrap().take();
            if let Some((arrive, may_go_on)) = stay {
                arrive.send(()).unwrap();
                may_go_on.recv().unwrap();
            }
            Self(self.0)
        }
    }
    impl Drop for Slow {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, Ordering::SeqCst);
            self.0 = u32::MAX;
        }
    }
    let number = |slow: Option<Slow>| slow.map(|slow| slow.0);
    let ways: [&dyn Fn(); 4] = [
        &|| {
            assert_eq!(number(update(SLOW, OBJECT, Slow(2))), Some(1));
            assert_eq!(number(newest(SLOW, OBJECT)), Some(2));
            assert_eq!(number(update(SLOW, OBJECT, Slow(3))), Some(2));
        },
        &|| assert_eq!(number(detach_newest(SLOW, OBJECT)), Some(1)),
        // SAFETY: no objects exist at the addresses, so the fields of this id have no earlier owners.
        &|| assert_eq!(unsafe { SLOW.detach_all(|_, slow| assert_eq!(slow.0, 1)) }.unwrap(), 1),
        &|| assert_eq!(detach_object(OBJECT), 1),
    ];
    for take_away in ways {
        assert!(update(SLOW, OBJECT, Slow(1)).is_none());
        never_hangs(|| {
            let (arrive, arrived) = mpsc::channel();
            let (go_on, may_go_on) = mpsc::channel();
            *STAY.lock().unwrap() = Some((arrive, may_go_on));
            thread::scope(|scope| {
                let reader = scope.spawn(|| newest(SLOW, OBJECT).unwrap().0);
                arrived.recv().unwrap();
                take_away();
                let before = DROPPED.load(Ordering::SeqCst);
                go_on.send(()).unwrap();
                assert_eq!(reader.join().unwrap(), 1);
                // The reader drops its clone and the value, as the last holder of the value.
                assert_eq!(DROPPED.load(Ordering::SeqCst), before + 2);
            });
        });
        detach_object(OBJECT);
    }
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
mod stopping {
    use std::ptr::NonNull;

    use super::*;
    use support::stopping::stopped_anywhere;

    const ONCE: Id<u64> = Id::new(10);
    const NEWEST: UpdateId<[u64; 2]> = UpdateId::new(11);
    /// Attached and detached repeatedly, on the read object and on further objects.
    const PASSING: UpdateId<[u64; 2]> = UpdateId::new(12);
    /// Attached and detached repeatedly, on further objects.
    const ELSEWHERE: Id<u64> = Id::new(13);
    const OWNED: PointerId<Box<u64>> = PointerId::new(14);
    /// Attached and detached repeatedly, on the read object and on further objects.
    const PASSING_OWNED: PointerId<Box<u64>> = PointerId::new(15);
    /// The first of many numbers, which are named one after another.
    const FRESH: u64 = 1000;

    const OBJECT: Object = 10;
    const OTHERS: Object = 1000;

    /// Every operation on raw objects, except the detach of the values that must stay.
    fn work(round: u64) {
        let number = usize::try_from(round).unwrap();
        update(NEWEST, OBJECT, [round; 2]);
        update(PASSING, OBJECT, [round; 2]);
        assert!(attach_pointer(PASSING_OWNED, OBJECT) && !attach_pointer(OWNED, OBJECT));
        // In some rounds the further objects are many, so that tables grow.
        let others = || (0..number % 300).map(|other| OTHERS + number + other);
        for other in others() {
            assert!(attach(ELSEWHERE, other, 9) && update(PASSING, other, [9; 2]).is_none());
            assert!(attach_pointer(PASSING_OWNED, other));
        }
        others().for_each(|other| assert_eq!(detach_object(other), 3));
        assert!(!attach(ONCE, OBJECT, 9));
        if round < 3000 {
            let fresh = Id::new(FRESH + round);
            assert!(attach(fresh, OBJECT, round) && detach(fresh, OBJECT) == Some(round));
        }
        assert_eq!(detach_newest(PASSING, OBJECT), Some([round; 2]));
        // SAFETY: no object exists at this address, so the field has no earlier owner.
        assert!(unsafe { PASSING_OWNED.detach(key(OBJECT)) }.unwrap().is_some());
    }

    /// Attaches a box, unless the field has one.
    fn attach_pointer(id: PointerId<Box<u64>>, object: Object) -> bool {
        // SAFETY: no object exists at this address, so no object ends before the field.
        unsafe { id.attach_with(key(object), || Ok::<_, ()>(Box::new(9))) }.is_ok()
    }

    /// The pointer of the object, which a detach may end at any time.
    fn pointer(id: PointerId<Box<u64>>, object: Object) -> Option<NonNull<u64>> {
        // SAFETY: no object exists at this address, so the field has no earlier owner.
        unsafe { id.get(key(object)) }.unwrap()
    }

    /// Every way to read, with and without a value.
    fn read() {
        assert_eq!((get(ONCE, OBJECT), get_or_attach(ONCE, OBJECT, || 8)), (Some(&7), 7));
        assert_eq!((get(ONCE, OTHERS), get(ELSEWHERE, OBJECT)), (None, None));
        assert!(newest(NEWEST, OBJECT).is_some_and(|[one, other]| one == other));
        let [one, other] = newest_or_attach(NEWEST, OBJECT, || panic!("it is attached"));
        assert_eq!(one, other);
        assert!(newest(PASSING, OBJECT).is_none_or(|[one, other]| one == other));
        for other in OTHERS..OTHERS + 300 {
            assert!(newest(PASSING, other).is_none_or(|value| value == [9; 2]));
        }
        // SAFETY: no object exists at this address, so no object ends before the field.
        let hit = unsafe { OWNED.get_or_attach(key(OBJECT), || Err(())) };
        assert!(pointer(OWNED, OBJECT).is_some_and(|there| hit.is_ok_and(|hit| hit == there)));
        assert!(pointer(OWNED, OTHERS).is_none());
        for object in (OTHERS..OTHERS + 300).chain([OBJECT]) {
            let _ = pointer(PASSING_OWNED, object);
        }
        // SAFETY: the number names a second type, so the call returns no reference.
        assert!(unsafe { Id::<u8>::new(10).get(key(OBJECT)) }.is_err());
    }

    #[test]
    fn a_thread_that_is_stopped_anywhere_keeps_nobody_from_reading() {
        assert!(attach(ONCE, OBJECT, 7) && attach(ELSEWHERE, OTHERS, 0));
        update(NEWEST, OBJECT, [0; 2]);
        update(PASSING, OBJECT, [0; 2]);
        assert!(attach_pointer(OWNED, OBJECT));
        detach_object(OTHERS);
        let mut rounds = 0..;
        let work = || {
            rounds.next().into_iter().for_each(work);
            read();
        };
        stopped_anywhere(work, read);
        assert_eq!(detach_object(OBJECT), 3);
    }
}
