//! The iterators of `raw`: the objects of a field, a field of all objects, and the fields of an object.
//!
//! Every test has numbers of its own, as in `raw.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use shadow_runtime::raw::{Drain, DrainObject, Id, Pointer, PointerId, UpdateId};
use shadow_runtime::registry;

use super::raw::{Object, alone_at_the_ends, attach, detach, detach_object, get, newest, update};
use super::raw_pointer::pointer_or;
use support::{AtEnd, Census, Diary, Life, Noted, fewer, never_hangs, panic_of, without_backtraces};

// An `Object` outlives its fields, and no test keeps a reference to a value over a detach of the field.

fn drain<V: Send + Sync + 'static>(id: Id<V>) -> Drain<V> {
    // SAFETY: no thread holds a reference to a value of the id.
    unsafe { id.drain() }.unwrap()
}

fn drain_newest<V: Clone + Send + Sync + 'static>(id: UpdateId<V>) -> Drain<V> {
    // SAFETY: an `Object` outlives its fields, so each field at the address is a field of the `Object`.
    unsafe { id.drain() }.unwrap()
}

fn drain_pointers<P: Pointer>(id: PointerId<P>) -> Drain<P> {
    // SAFETY: an `Object` outlives its fields, so each field at the address is a field of the `Object`.
    unsafe { id.drain() }.unwrap()
}

fn drain_object<V: Send + Sync + 'static>(object: &Object) -> DrainObject<V> {
    // SAFETY: no thread holds a reference to a value of the object.
    unsafe { Id::<V>::drain_object(object.key()) }
}

fn drain_newest_of<V: Clone + Send + Sync + 'static>(object: &Object) -> DrainObject<V> {
    // SAFETY: an `Object` outlives its fields, so each field at the address is a field of the `Object`.
    unsafe { UpdateId::<V>::drain_object(object.key()) }
}

fn drain_pointers_of<P: Pointer>(object: &Object) -> DrainObject<P> {
    // SAFETY: an `Object` outlives its fields, so each field at the address is a field of the `Object`.
    unsafe { PointerId::<P>::drain_object(object.key()) }
}

fn boxed<T>(value: T) -> impl FnOnce() -> Result<Box<T>, ()> {
    || Ok(Box::new(value))
}

#[test]
fn the_objects_of_a_field_come_once_whatever_its_kind_and_their_addresses() {
    const ONCE: Id<usize> = Id::new(3000);
    const NEWEST: UpdateId<usize> = UpdateId::new(3001);
    const POINTER: PointerId<Box<usize>> = PointerId::new(3002);
    let _alone = alone_at_the_ends();
    let listed = || [ONCE.objects(), NEWEST.objects(), POINTER.objects()].map(|objects| sorted(objects.unwrap()));
    assert_eq!(listed(), [const { Vec::<usize>::new() }; 3], "no number is bound");
    let ends = [0, 1, usize::MAX - 1, usize::MAX];
    let addresses: BTreeSet<usize> = ends.into_iter().chain((1..fewer(500, 30)).map(|index| 16 * index)).collect();
    for &address in &addresses {
        let key = ptr::without_provenance::<()>(address);
        // SAFETY: no object is at the address, and the test does not keep the reference.
        assert!(unsafe { ONCE.attach(key, address) }.is_ok());
        // SAFETY: no object is at the address.
        assert_eq!(unsafe { NEWEST.get_or_update(key, address) }.unwrap(), None);
        // SAFETY: no object is at the address.
        assert!(unsafe { POINTER.get_or_attach(key, boxed(address)) }.is_ok());
    }
    let all: Vec<usize> = addresses.iter().copied().collect();
    assert_eq!(listed(), [all.clone(), all.clone(), all.clone()]);
    let drained = [
        sorted(drain(ONCE).map(own_value)),
        sorted(drain_newest(NEWEST).map(own_value)),
        sorted(drain_pointers(POINTER).map(|(object, value)| own_value((object, *value)))),
    ];
    assert_eq!(drained, [all.clone(), all.clone(), all]);
    assert_eq!(listed(), [const { Vec::<usize>::new() }; 3]);
    let mut end = drain(ONCE);
    assert!(end.next().is_none() && end.next().is_none());
}

fn sorted(objects: impl Iterator<Item = *const ()>) -> Vec<usize> {
    let mut addresses: Vec<_> = objects.map(<*const ()>::addr).collect();
    addresses.sort_unstable();
    addresses
}

fn own_value((object, value): (*const (), usize)) -> *const () {
    assert_eq!(object.addr(), value);
    object
}

#[test]
fn a_number_of_another_type_is_refused() {
    const ONCE: Id<u8> = Id::new(3003);
    const NEWEST: UpdateId<u8> = UpdateId::new(3003);
    const POINTER: PointerId<Box<u8>> = PointerId::new(3003);
    let object = Object::new();
    attach(ONCE, &object, 1).unwrap();
    let refused = [NEWEST.objects().unwrap_err(), POINTER.objects().unwrap_err()];
    assert!(refused.iter().all(|refused| refused.id() == 3003));
    // SAFETY: nothing is detached.
    assert_eq!(unsafe { NEWEST.drain() }.unwrap_err().id(), 3003);
    // SAFETY: nothing is detached.
    assert_eq!(unsafe { POINTER.drain() }.unwrap_err().id(), 3003);
    assert!(drain_newest_of::<u8>(&object).next().is_none() && drain_pointers_of::<Box<u8>>(&object).next().is_none());
    assert!(drain_object::<u16>(&object).next().is_none());
    assert_eq!(get(ONCE, &object).unwrap(), Some(&1));
}

#[test]
fn a_drain_detaches_one_object_after_the_other_and_its_drop_the_rest() {
    const LIFE: Id<Life> = Id::new(3004);
    const NEWEST: UpdateId<Life> = UpdateId::new(3005);
    const POINTER: PointerId<Box<Life>> = PointerId::new(3006);
    const OBJECTS: usize = fewer(100, 12);
    let (objects, census) = ([(); OBJECTS].map(|()| Object::new()), Census::default());
    for object in &objects {
        attach(LIFE, object, census.life()).map(drop).unwrap();
        assert!(update(NEWEST, object, census.life()).is_ok());
        pointer_or(POINTER, object, boxed(census.life())).unwrap();
    }
    let left = || [LIFE.objects(), NEWEST.objects(), POINTER.objects()].map(|objects| objects.unwrap().count());
    let (mut once, mut newest, mut pointers) = (drain(LIFE), drain_newest(NEWEST), drain_pointers(POINTER));
    for step in 0..5 {
        assert_eq!((left(), census.dropped()), ([OBJECTS - step; 3], 3 * step));
        assert!(once.next().is_some() && newest.next().is_some() && pointers.next().is_some());
    }
    drop(once);
    assert_eq!((left(), census.dropped()), ([0, OBJECTS - 5, OBJECTS - 5], OBJECTS + 10));
    drop((newest, pointers));
    assert_eq!((left(), census.made(), census.dropped()), ([0; 3], 3 * OBJECTS, 3 * OBJECTS));
}

#[test]
fn a_drain_counts_the_detaches() {
    const NUMBER: Id<u8> = Id::new(3007);
    let objects = [(); 6].map(|()| Object::new());
    let counts = || {
        let report = registry().report();
        let row = report.iter().find(|row| row.number() == Some(3007)).unwrap();
        (row.attached(), row.detached())
    };
    assert!(objects.iter().all(|object| attach(NUMBER, object, 1).is_ok()));
    assert_eq!(drain_object::<u8>(&objects[0]).count(), 1);
    assert_eq!(counts(), (6, 1));
    drop(drain_object::<u8>(&objects[1]));
    assert_eq!(counts(), (6, 2));
    let mut rest = drain(NUMBER);
    assert!(rest.next().is_some());
    assert_eq!(counts(), (6, 3));
    drop(rest);
    assert_eq!(counts(), (6, 6));
}

/// The loop attaches the field to the current object again, and to new objects, so the table grows.
#[test]
fn a_drain_returns_each_object_once_while_its_loop_attaches_the_field() {
    const NUMBER: Id<usize> = Id::new(3008);
    const OBJECTS: usize = fewer(40, 9);
    let objects: Vec<Object> = (0..40 * OBJECTS).map(|_| Object::new()).collect();
    let (first, mut others) = (&objects[..OBJECTS], objects[OBJECTS..].iter());
    for object in first {
        attach(NUMBER, object, 1).unwrap();
    }
    let mut seen = BTreeSet::new();
    for (object, value) in drain(NUMBER) {
        assert!(seen.insert(object), "an object comes twice");
        // SAFETY: the object outlives its field.
        assert!(value == 3 || unsafe { NUMBER.attach(object, 2) }.is_ok());
        for other in others.by_ref().take(3) {
            attach(NUMBER, other, 3).unwrap();
        }
    }
    assert!(first.iter().all(|object| seen.contains(&object.key()) && get(NUMBER, object).unwrap() == Some(&2)));
    assert!(seen.len() > OBJECTS, "an object that gets the field ahead comes, too");
}

#[test]
fn an_object_whose_field_is_detached_by_the_loop_does_not_come() {
    const NUMBER: Id<usize> = Id::new(3009);
    const OBJECTS: usize = fewer(100, 12);
    let objects = [(); OBJECTS].map(|()| Object::new());
    for (index, object) in objects.iter().enumerate() {
        attach(NUMBER, object, index).unwrap();
    }
    let mut seen = BTreeSet::new();
    for (_, index) in drain(NUMBER) {
        let gone = detach(NUMBER, &objects[(index + 1) % OBJECTS]).unwrap();
        assert!(gone.is_none_or(|gone| seen.insert(gone)) && seen.insert(index), "it comes twice");
    }
    assert_eq!(seen.len(), OBJECTS);
}

#[test]
fn after_panics_the_drop_of_an_iterator_ends_the_rest_and_raises_the_first() {
    const NOTED: Id<Noted> = Id::new(3010);
    const NEWEST: UpdateId<Option<Life>> = UpdateId::new(3011);
    without_backtraces();
    let (objects, diary, census) = ([(); 6].map(|()| Object::new()), Diary::default(), Census::default());
    let attach_all = || {
        for (index, object) in objects.iter().enumerate() {
            let noted = if index < 2 { Noted::panicking("one", &diary) } else { Noted::quiet("quiet", &diary) };
            attach(NOTED, object, noted).map(drop).unwrap();
        }
    };
    attach_all();
    assert_eq!(panic_of(|| drop(drain(NOTED))), "the destructor of one panics");
    assert_eq!((diary.read().len(), NOTED.objects().unwrap().count()), (6, 0));
    // The panic of the loop continues, and the log gets the panics of the destructors.
    attach_all();
    let mut first = None;
    let loop_panics = || {
        let mut fields = drain(NOTED);
        first = fields.next();
        panic!("the loop panics");
    };
    assert_eq!(panic_of(loop_panics), "the loop panics");
    assert_eq!((diary.read().len(), NOTED.objects().unwrap().count()), (11, 0));
    // The destructor may panic.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(first)));
    assert_eq!(diary.read().len(), 12);
    // The fields of one object.
    for number in [3012, 3013, 3014] {
        attach(Id::new(number), &objects[0], Noted::panicking("one", &diary)).map(drop).unwrap();
    }
    assert_eq!(panic_of(|| drop(drain_object::<Noted>(&objects[0]))), "the destructor of one panics");
    assert_eq!((diary.read().len(), detach_object(&objects[0])), (15, 0));
    // A panic in a destructor between two steps.
    for object in &objects {
        assert!(update(NEWEST, object, Some(census.life())).is_ok());
    }
    let message = panic_of(|| drain_newest(NEWEST).for_each(|_| assert_eq!(census.dropped(), 6, "boom")));
    assert!(message.contains("boom"), "{message}");
    assert_eq!((census.made(), census.dropped()), (6, 6));
}

/// The order of the attaches differs, so each field is once the first field in the list of the object.
#[test]
fn the_fields_of_one_type_leave_their_object_at_once_and_the_others_stay() {
    type Attach = fn(&Object, &Census);
    const ATTACHES: [Attach; 7] = [
        |object, census| assert!(attach(Id::new(3020), object, census.life()).is_ok()),
        |object, census| assert!(attach(Id::new(3021), object, census.life()).is_ok()),
        |object, _| assert!(attach(Id::new(3022), object, 1_u16).is_ok()),
        |object, census| assert!(update(UpdateId::new(3023), object, census.life()).is_ok()),
        |object, census| assert!(update(UpdateId::new(3024), object, census.life()).is_ok()),
        |object, census| assert!(pointer_or(PointerId::new(3025), object, boxed(census.life())).is_ok()),
        |object, census| assert!(pointer_or(PointerId::new(3026), object, boxed(census.life())).is_ok()),
    ];
    let census = Census::default();
    // More objects than shards of the lists of numbers.
    let objects: Vec<Object> = (0..fewer(210, 14)).map(|_| Object::new()).collect();
    for (index, object) in objects.iter().enumerate() {
        for step in 0..7 {
            ATTACHES[(index + step) % 7](object, &census);
        }
    }
    for (index, object) in objects.iter().enumerate() {
        let before = census.dropped();
        let mut out = match index % 3 {
            0 => numbers(drain_object::<Life>(object)),
            1 => numbers(drain_newest_of::<Life>(object)),
            _ => numbers(drain_pointers_of::<Box<Life>>(object)),
        };
        out.sort_unstable();
        assert_eq!(out, [[3020, 3021], [3023, 3024], [3025, 3026]][index % 3]);
        assert_eq!(census.dropped(), before + 2);
        // A drop without a step. All fields are gone before the drop.
        let rest = drain_object::<Life>(object);
        assert_eq!(get(Id::<Life>::new(3020), object).map(|life| life.is_some()).ok(), Some(false));
        drop(rest);
        assert_eq!(get(Id::new(3022), object).unwrap(), Some(&1_u16));
        assert_eq!(census.dropped(), before + if index % 3 == 0 { 2 } else { 4 });
        let left = if index % 3 == 0 { 5 } else { 3 };
        assert_eq!((detach_object(object), detach_object(object)), (left, 0));
    }
    assert_eq!(census.made(), census.dropped());
}

fn numbers<V>(fields: DrainObject<V>) -> Vec<u64> {
    fields.map(|(number, _)| number).collect()
}

#[test]
fn an_object_is_listed_once_while_others_come_and_go() {
    const NUMBER: PointerId<Box<usize>> = PointerId::new(3030);
    const STAYING: usize = fewer(200, 6);
    const ROUNDS: usize = fewer(200, 3);
    never_hangs(|| {
        let staying: Vec<Object> = (0..STAYING).map(|_| Object::new()).collect();
        let transient: Vec<Object> = (0..fewer(4000, 10)).map(|_| Object::new()).collect();
        for object in &staying {
            pointer_or(NUMBER, object, boxed(1)).unwrap();
        }
        let expected: BTreeSet<_> = staying.iter().map(Object::key).collect();
        let running = AtomicBool::new(true);
        thread::scope(|scope| {
            // The number of transient objects grows from round to round, so the table grows during the lists.
            scope.spawn(|| {
                for round in (1..).take_while(|_| running.load(Ordering::Relaxed)) {
                    let count = transient.len().min(2 * round);
                    for object in &transient[..count] {
                        pointer_or(NUMBER, object, boxed(2)).unwrap();
                    }
                    for object in &transient[..count] {
                        assert_eq!(detach_object(object), 1);
                    }
                    thread::yield_now();
                }
            });
            let _stop = AtEnd(|| running.store(false, Ordering::Relaxed));
            for _ in 0..ROUNDS {
                let mut seen = BTreeMap::<_, usize>::new();
                NUMBER.objects().unwrap().for_each(|object| *seen.entry(object).or_default() += 1);
                assert!(expected.iter().all(|object| seen.get(object) == Some(&1)));
                assert!(seen.values().all(|count| *count == 1), "another object comes twice");
                thread::yield_now();
            }
        });
    });
}

/// Threads that attach, drain the field, drain objects, and detach. One thread gets each value.
#[test]
fn in_races_of_drains_every_value_comes_out_once() {
    const ONE: UpdateId<Life> = UpdateId::new(3031);
    const OTHER: UpdateId<Life> = UpdateId::new(3032);
    const ROUNDS: usize = fewer(2000, 4);
    never_hangs(|| {
        let (objects, census) = ([(); 3].map(|()| Object::new()), Census::default());
        let (attached, out) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let came_out = |count: usize| out.fetch_add(count, Ordering::Relaxed);
        let step = |thread: usize, round: usize| {
            let object = &objects[round % 3];
            match thread {
                0 | 1 => {
                    let id = if round / 3 % 2 == 0 { ONE } else { OTHER };
                    let previous = update(id, object, census.life()).ok().unwrap();
                    attached.fetch_add(usize::from(previous.is_none()), Ordering::Relaxed);
                    assert!(newest(id, object).is_ok());
                }
                2 => _ = came_out(drain_newest(ONE).count()),
                3 => _ = came_out(numbers(drain_newest_of::<Life>(object)).len()),
                _ => _ = came_out(detach_object(object)),
            }
            // Without the yield, a thread would run all rounds in one time slice.
            thread::yield_now();
        };
        thread::scope(|scope| {
            let step = &step;
            for thread in 0..5 {
                scope.spawn(move || (0..ROUNDS).for_each(|round| step(thread, round)));
            }
        });
        let left: usize = objects.iter().map(detach_object).sum();
        assert_eq!(attached.into_inner(), out.into_inner() + left);
        drop(objects);
        assert!(census.made() >= ROUNDS);
        assert_eq!(census.made(), census.dropped());
    });
}
