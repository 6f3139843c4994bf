//! `shadow_runtime::raw`: fields of any address, named by numbers as in the kernel.
//!
//! A number names its type for the whole process and for good, so every test has numbers of its own.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex, MutexGuard, PoisonError};
use std::{ptr, thread};

use shadow_runtime::raw::{self, AttachError, Id, InitError, TypeMismatch, UpdateId};

use support::{Census, Diary, Life, Noted, fewer, panic_of};

/// An object, used only for its address. The drop detaches the raw fields.
pub(super) struct Object(Box<u64>);

impl Object {
    pub(super) fn new() -> Self {
        Self(Box::new(0))
    }

    pub(super) fn key(&self) -> *const () {
        ptr::from_ref(&*self.0).cast()
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        detach_object(self);
    }
}

// An `Object` detaches its fields on drop, so every object outlives its fields. No test of this file keeps a reference
// to a value over a detach of the field.

pub(super) fn get<V: Send + Sync + 'static>(id: Id<V>, object: &Object) -> Result<Option<&V>, TypeMismatch> {
    // SAFETY: no thread detaches the field while the reference is in use.
    unsafe { id.get(object.key()) }
}

pub(super) fn attach<V: Send + Sync + 'static>(id: Id<V>, object: &Object, value: V) -> Result<&V, AttachError<V>> {
    // SAFETY: an `Object` outlives its fields, and no thread detaches the field while the reference is in use.
    unsafe { id.attach(object.key(), value) }
}

pub(super) fn get_or_attach<V: Send + Sync + 'static, E>(
    id: Id<V>,
    object: &Object,
    init: impl FnOnce() -> Result<V, E>,
) -> Result<&V, InitError<E>> {
    // SAFETY: an `Object` outlives its fields, and no thread detaches the field while the reference is in use.
    unsafe { id.get_or_attach(object.key(), init) }
}

pub(super) fn detach<V: Send + Sync + 'static>(id: Id<V>, object: &Object) -> Result<Option<V>, TypeMismatch> {
    // SAFETY: no thread holds a reference to the value.
    unsafe { id.detach(object.key()) }
}

pub(super) fn update<V: Clone + Send + Sync + 'static>(
    id: UpdateId<V>,
    object: &Object,
    value: V,
) -> Result<Option<V>, TypeMismatch<V>> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.get_or_update(object.key(), value) }
}

pub(super) fn newest<V: Clone + Send + Sync + 'static>(
    id: UpdateId<V>,
    object: &Object,
) -> Result<Option<V>, TypeMismatch> {
    // SAFETY: an `Object` outlives its fields, so the field at this address is a field of this object.
    unsafe { id.get(object.key()) }
}

pub(super) fn detach_newest<V: Clone + Send + Sync + 'static>(
    id: UpdateId<V>,
    object: &Object,
) -> Result<Option<V>, TypeMismatch> {
    // SAFETY: an `Object` outlives its fields, so the field at this address is a field of this object.
    unsafe { id.detach(object.key()) }
}

pub(super) fn detach_object(object: &Object) -> usize {
    // SAFETY: no thread holds a reference to a value of the object.
    unsafe { raw::detach_object(object.key()) }
}

/// Excludes the other tests that use the least and the greatest addresses.
pub(super) fn alone_at_the_ends() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_value_is_attached_once_and_refused_after_that() {
    const SIZE: Id<String> = Id::new(100);
    let object = Object::new();
    assert_eq!(get(SIZE, &object).unwrap(), None);
    let attached = attach(SIZE, &object, "first".to_owned()).unwrap();
    assert_eq!(attached, "first");
    assert!(ptr::eq(get(SIZE, &object).unwrap().unwrap(), attached));
    let refused = attach(SIZE, &object, "second".to_owned()).unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `100` is already attached to this `*const ()`");
    let AttachError::AlreadyAttached(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.field(), refused.host()), ("100", "*const ()"));
    assert_eq!(refused.into_value(), "second");
    assert_eq!(attached, "first");
}

#[test]
fn a_value_is_attached_or_found() {
    const COUNT: Id<AtomicU32> = Id::new(101);
    let object = Object::new();
    let failed = get_or_attach(COUNT, &object, || "x".parse().map(AtomicU32::new)).unwrap_err();
    assert!(matches!(failed, InitError::Init(_)));
    assert_eq!(failed.to_string(), "invalid digit found in string");
    assert!(get(COUNT, &object).unwrap().is_none());
    let made = get_or_attach(COUNT, &object, || "8".parse().map(AtomicU32::new)).unwrap();
    let found = get_or_attach(COUNT, &object, || -> Result<_, ()> { panic!("it is there") }).unwrap();
    assert!(ptr::eq(made, found));
    assert_eq!(found.load(Ordering::Relaxed), 8);
    assert!(attach(COUNT, &object, AtomicU32::new(9)).is_err());
}

#[test]
fn a_detached_field_gives_its_value_back_and_can_be_attached_again() {
    const NAME: Id<String> = Id::new(102);
    let object = Object::new();
    assert_eq!(detach(NAME, &object).unwrap(), None);
    attach(NAME, &object, "first".to_owned()).unwrap();
    assert_eq!(detach(NAME, &object).unwrap().as_deref(), Some("first"));
    assert_eq!(detach(NAME, &object).unwrap(), None);
    assert_eq!(attach(NAME, &object, "second".to_owned()).unwrap(), "second");
}

#[test]
fn an_update_attaches_or_replaces_and_returns_the_previous_value() {
    const ROUTE: UpdateId<Vec<u8>> = UpdateId::new(103);
    let object = Object::new();
    assert_eq!(newest(ROUTE, &object).unwrap(), None);
    assert_eq!(update(ROUTE, &object, vec![1]).unwrap(), None);
    let clone = newest(ROUTE, &object).unwrap();
    assert_eq!(update(ROUTE, &object, vec![2]).unwrap(), Some(vec![1]));
    assert_eq!((clone, newest(ROUTE, &object).unwrap()), (Some(vec![1]), Some(vec![2])));
    assert_eq!(detach_newest(ROUTE, &object).unwrap(), Some(vec![2]));
    assert_eq!((newest(ROUTE, &object).unwrap(), detach_newest(ROUTE, &object).unwrap()), (None, None));
    assert_eq!(update(ROUTE, &object, vec![3]).unwrap(), None);
}

#[test]
fn a_value_that_nobody_reads_comes_back_itself_and_not_a_clone() {
    const LIFE: UpdateId<Life> = UpdateId::new(104);
    let (object, census) = (Object::new(), Census::default());
    assert!(update(LIFE, &object, census.life()).is_ok_and(|before| before.is_none()));
    let previous = update(LIFE, &object, census.life());
    let last = detach_newest(LIFE, &object);
    assert!(previous.is_ok_and(|before| before.is_some()) && last.is_ok_and(|last| last.is_some()));
    assert_eq!((census.made(), census.dropped()), (2, 2));
}

#[test]
fn two_objects_have_fields_of_their_own_and_so_have_two_numbers() {
    const ONE: Id<u8> = Id::new(105);
    const OTHER: Id<u8> = Id::new(106);
    let (object, stranger) = (Object::new(), Object::new());
    attach(ONE, &object, 1).unwrap();
    assert_eq!((get(ONE, &stranger).unwrap(), get(OTHER, &object).unwrap()), (None, None));
    attach(OTHER, &object, 2).unwrap();
    attach(ONE, &stranger, 3).unwrap();
    let found = [get(ONE, &object), get(OTHER, &object), get(ONE, &stranger)].map(|found| *found.unwrap().unwrap());
    assert_eq!(found, [1, 2, 3]);
}

#[test]
fn two_ids_of_one_number_and_type_are_one() {
    const HERE: Id<u8> = Id::new(107);
    const THERE: Id<u8> = Id::new(107);
    let object = Object::new();
    attach(HERE, &object, 1).unwrap();
    assert_eq!(get(THERE, &object).unwrap(), Some(&1));
    assert!(attach(THERE, &object, 2).is_err());
}

#[test]
fn the_first_and_the_last_number_are_numbers_like_others() {
    const FIRST: Id<u8> = Id::new(0);
    const LAST: UpdateId<u8> = UpdateId::new(u64::MAX);
    let object = Object::new();
    attach(FIRST, &object, 1).unwrap();
    update(LAST, &object, 2).unwrap();
    assert_eq!((get(FIRST, &object).unwrap(), newest(LAST, &object).unwrap()), (Some(&1), Some(2)));
    let mismatch = update(UpdateId::<u8>::new(0), &object, 3).unwrap_err();
    assert_eq!((mismatch.id(), mismatch.into_value()), (0, 3));
    let mismatch = get(Id::<u8>::new(u64::MAX), &object).unwrap_err();
    assert_eq!(mismatch.id(), u64::MAX);
    assert!(mismatch.to_string().starts_with("raw id 18446744073709551615 names `UpdateId<u8>`"), "{mismatch}");
    assert_eq!(detach_object(&object), 2);
}

#[test]
fn nothing_looks_behind_an_address() {
    const MARK: Id<&str> = Id::new(108);
    let _alone = alone_at_the_ends();
    let addresses = [0, 1, 7, usize::MAX].map(ptr::without_provenance::<()>);
    for address in addresses {
        // SAFETY: no object exists at these addresses, and no reference to a value is kept.
        unsafe { MARK.attach(address, "nowhere") }.unwrap();
    }
    for address in addresses {
        // SAFETY: no reference to the value is kept.
        assert_eq!(unsafe { MARK.detach(address) }.unwrap(), Some("nowhere"));
    }
}

/// Checks that every use of `number`, which names `known`, is refused as an `Id<V>` on `object`.
pub(super) fn is_refused_as_id<V: Clone + Debug + Send + Sync + 'static>(
    number: u64,
    known: &str,
    object: &Object,
    value: &V,
) {
    let id = Id::<V>::new(number);
    let wanted = format!("Id<{}>", std::any::type_name::<V>());
    let expected = format!("raw id {number} names `{known}` in this process, not `{wanted}`");
    assert_eq!(get(id, object).unwrap_err().to_string(), expected);
    let refused = attach(id, object, value.clone()).unwrap_err();
    assert!(matches!(refused, AttachError::TypeMismatch(_)));
    assert_eq!(refused.to_string(), expected);
    assert_eq!(format!("{:?}", refused.into_value()), format!("{value:?}"));
    let refused = get_or_attach(id, object, || -> Result<V, ()> { panic!("the initialiser runs") }).unwrap_err();
    let InitError::TypeMismatch(refused) = refused else { panic!("{refused:?}") };
    assert_eq!(refused.to_string(), expected);
    assert_eq!(detach(id, object).unwrap_err().to_string(), expected);
    // SAFETY: no reference to a value is kept.
    let refused = unsafe { id.detach_all(|_, _| panic!("there is nothing of this type")) };
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

/// Checks that every use of `number`, which names `known`, is refused as an `UpdateId<V>` on `object`.
pub(super) fn is_refused_as_update_id<V: Clone + Debug + Send + Sync + 'static>(
    number: u64,
    known: &str,
    object: &Object,
    value: &V,
) {
    let id = UpdateId::<V>::new(number);
    let wanted = format!("UpdateId<{}>", std::any::type_name::<V>());
    let expected = format!("raw id {number} names `{known}` in this process, not `{wanted}`");
    assert_eq!(newest(id, object).unwrap_err().to_string(), expected);
    let refused = update(id, object, value.clone()).unwrap_err();
    assert_eq!(refused.to_string(), expected);
    assert_eq!(format!("{:?}", refused.into_value()), format!("{value:?}"));
    assert_eq!(detach_newest(id, object).unwrap_err().to_string(), expected);
    // SAFETY: no reference to a value is kept.
    let refused = unsafe { id.detach_all(|_, _| panic!("there is nothing of this type")) };
    assert_eq!(refused.unwrap_err().to_string(), expected);
}

#[test]
fn a_number_names_one_type_of_one_kind_whatever_the_object() {
    const SIZE: Id<usize> = Id::new(110);
    const NAME: UpdateId<String> = UpdateId::new(111);
    let (object, stranger) = (Object::new(), Object::new());
    attach(SIZE, &object, 8).unwrap();
    update(NAME, &object, "eight".to_owned()).unwrap();
    for object in [&object, &stranger] {
        is_refused_as_id(110, "Id<usize>", object, &8_isize);
        is_refused_as_id(110, "Id<usize>", object, &"eight");
        is_refused_as_update_id(110, "Id<usize>", object, &8_isize);
        is_refused_as_update_id(110, "Id<usize>", object, &8_usize);
        is_refused_as_id(111, "UpdateId<alloc::string::String>", object, &8_usize);
        is_refused_as_id(111, "UpdateId<alloc::string::String>", object, &"eight".to_owned());
        is_refused_as_update_id(111, "UpdateId<alloc::string::String>", object, &8_usize);
    }
    assert_eq!(get(SIZE, &object).unwrap(), Some(&8));
    assert_eq!(newest(NAME, &object).unwrap().as_deref(), Some("eight"));
    assert_eq!(get(SIZE, &stranger).unwrap(), None);
}

#[test]
fn a_number_keeps_its_name_when_nothing_is_attached_by_it_any_more() {
    const SIZE: Id<usize> = Id::new(112);
    let object = Object::new();
    attach(SIZE, &object, 8).unwrap();
    detach(SIZE, &object).unwrap();
    is_refused_as_id(112, "Id<usize>", &object, &8_isize);
    is_refused_as_update_id(112, "Id<usize>", &object, &8_usize);
    attach(SIZE, &object, 9).unwrap();
}

#[test]
fn a_number_names_nothing_before_something_is_attached_by_it() {
    const BYTE: Id<u8> = Id::new(113);
    const WORD: Id<u16> = Id::new(113);
    let object = Object::new();
    assert_eq!(get(BYTE, &object).unwrap(), None);
    assert_eq!(get_or_attach(BYTE, &object, || Err("no")).unwrap_err().to_string(), "no");
    assert_eq!(detach(BYTE, &object).unwrap(), None);
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { BYTE.detach_all(|_, _| ()) }.unwrap(), 0);
    attach(WORD, &object, 1).unwrap();
    is_refused_as_id(113, "Id<u16>", &object, &1_u8);
}

#[test]
fn an_initialiser_that_runs_while_its_number_is_named_otherwise_attaches_nothing() {
    const LIFE: Id<Life> = Id::new(114);
    const WORD: Id<u16> = Id::new(114);
    let (object, stranger, census) = (Object::new(), Object::new(), Census::default());
    let made = get_or_attach(LIFE, &object, || {
        attach(WORD, &stranger, 1).unwrap();
        Ok::<_, ()>(census.life())
    });
    assert!(matches!(made, Err(InitError::TypeMismatch(_))));
    assert_eq!((census.made(), census.dropped()), (1, 1));
    assert_eq!(get(WORD, &object).unwrap(), None);
    attach(WORD, &object, 2).unwrap();
}

#[test]
fn of_two_types_that_race_for_a_number_one_wins() {
    for round in 0..fewer(50, 1) {
        let (byte, word) = (Id::<u8>::new(1000 + round), UpdateId::<u16>::new(1000 + round));
        let (one, other, start) = (Object::new(), Object::new(), Barrier::new(2));
        let (one, other, start) = (&one, &other, &start);
        let (is_byte, is_word) = thread::scope(|scope| {
            let byte = scope.spawn(move || {
                start.wait();
                match attach(byte, one, 1) {
                    Ok(_) => true,
                    Err(AttachError::TypeMismatch(refused)) => refused.into_value() != 1,
                    Err(other) => panic!("{other}"),
                }
            });
            let word = scope.spawn(move || {
                start.wait();
                match update(word, other, 2) {
                    Ok(before) => before.is_none(),
                    Err(refused) => refused.into_value() != 2,
                }
            });
            (byte.join().unwrap(), word.join().unwrap())
        });
        assert_ne!(is_byte, is_word);
        assert_eq!(get(byte, one).is_ok_and(|found| found == Some(&1)), is_byte);
        assert_eq!(newest(word, other).is_ok_and(|found| found == Some(2)), is_word);
    }
}

#[test]
fn all_fields_of_one_object_are_detached_at_once() {
    const NOTED: Id<Noted> = Id::new(120);
    const LIFE: UpdateId<Life> = UpdateId::new(121);
    const SIZE: Id<usize> = Id::new(122);
    let (object, stranger) = (Object::new(), Object::new());
    let (census, diary) = (Census::default(), Diary::default());
    for object in [&object, &stranger] {
        assert!(attach(NOTED, object, Noted::quiet("noted", &diary)).is_ok());
        assert!(update(LIFE, object, census.life()).is_ok());
        attach(SIZE, object, 1).unwrap();
    }
    assert_eq!(detach_object(&object), 3);
    assert_eq!((census.dropped(), diary.read()), (1, vec!["noted"]));
    assert!(get(NOTED, &object).unwrap().is_none());
    assert_eq!(detach_object(&object), 0);
    assert!(get(NOTED, &stranger).unwrap().is_some());
    assert_eq!(get(SIZE, &stranger).unwrap(), Some(&1));
}

#[test]
fn one_field_of_all_objects_is_detached_at_once() {
    const HOSTS: usize = fewer(200, 40);
    const SIZE: Id<usize> = Id::new(123);
    const VERSION: UpdateId<usize> = UpdateId::new(124);
    const OTHER: Id<usize> = Id::new(125);
    let objects: Vec<Object> = (0..HOSTS).map(|_| Object::new()).collect();
    for (number, object) in objects.iter().enumerate() {
        attach(SIZE, object, number).unwrap();
        update(VERSION, object, 1000 + number).unwrap();
        attach(OTHER, object, number).unwrap();
    }
    let expected = |offset: usize| objects.iter().enumerate().map(move |(number, o)| (o.key().addr(), offset + number));
    let mut seen = BTreeSet::new();
    // SAFETY: no reference to a value is kept.
    let count = unsafe { SIZE.detach_all(|object, value| assert!(seen.insert((object.addr(), value)))) };
    assert_eq!((count.unwrap(), seen), (HOSTS, expected(0).collect()));
    let mut seen = BTreeSet::new();
    // SAFETY: the objects are alive, so the fields of this id are fields of the objects.
    let count = unsafe { VERSION.detach_all(|object, value| assert!(seen.insert((object.addr(), value)))) };
    assert_eq!((count.unwrap(), seen), (HOSTS, expected(1000).collect()));
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { SIZE.detach_all(|_, _| ()) }.unwrap(), 0);
    for (number, object) in objects.iter().enumerate() {
        assert_eq!(get(SIZE, object).unwrap(), None);
        assert_eq!(get(OTHER, object).unwrap(), Some(&number));
    }
}

#[test]
fn a_panic_for_one_object_does_not_keep_the_others_from_their_turn() {
    const LIFE: Id<Life> = Id::new(126);
    let census = Census::default();
    let objects: Vec<Object> = (0..50).map(|_| Object::new()).collect();
    for object in &objects {
        assert!(attach(LIFE, object, census.life()).is_ok());
    }
    let mut turns = 0;
    let message = panic_of(|| {
        // SAFETY: no reference to a value is kept.
        unsafe {
            LIFE.detach_all(|_, _life| {
                turns += 1;
                assert_ne!(turns % 20, 0, "turn {turns}");
            })
        }
    });
    assert!(message.contains("turn 20"), "the first panic is raised again: {message}");
    assert_eq!((turns, census.dropped()), (50, 50));
    assert!(objects.iter().all(|object| get(LIFE, object).unwrap().is_none()));
}

#[test]
fn of_many_that_attach_at_once_one_wins() {
    const NAME: Id<String> = Id::new(127);
    const THREADS: usize = 6;
    for _ in 0..fewer(50, 1) {
        let (object, start) = (Object::new(), Barrier::new(THREADS));
        let attach_mine = |number: usize| {
            start.wait();
            match attach(NAME, &object, number.to_string()) {
                Ok(attached) => {
                    assert_eq!(*attached, number.to_string());
                    true
                }
                Err(refused) => {
                    assert_eq!(refused.into_value(), number.to_string());
                    false
                }
            }
        };
        let attach_mine = &attach_mine;
        let won: Vec<bool> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || attach_mine(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winner = won.iter().position(|&won| won).unwrap();
        assert_eq!(won.iter().filter(|&&won| won).count(), 1);
        assert_eq!(*get(NAME, &object).unwrap().unwrap(), winner.to_string());
    }
}

#[test]
fn of_racing_detaches_one_gets_each_value() {
    const NUMBER: Id<usize> = Id::new(128);
    const OBJECTS: usize = fewer(30, 10);
    for _ in 0..fewer(50, 1) {
        let objects: Vec<Object> = (0..OBJECTS).map(|_| Object::new()).collect();
        for (number, object) in objects.iter().enumerate() {
            attach(NUMBER, object, number).unwrap();
        }
        let (objects, start) = (&objects, &Barrier::new(3));
        let mut values: Vec<usize> = thread::scope(|scope| {
            let one_by_one = || {
                start.wait();
                objects.iter().filter_map(|object| detach(NUMBER, object).unwrap()).collect::<Vec<_>>()
            };
            let all_at_once = || {
                start.wait();
                let mut values = Vec::new();
                // SAFETY: no reference to a value is kept.
                let count = unsafe { NUMBER.detach_all(|_, value| values.push(value)) };
                assert_eq!(count.unwrap(), values.len());
                values
            };
            let threads = [scope.spawn(one_by_one), scope.spawn(one_by_one), scope.spawn(all_at_once)];
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        values.sort_unstable();
        assert!(values.into_iter().eq(0..OBJECTS), "each of them, and each of them once");
    }
}

#[test]
fn values_that_are_updated_and_detached_in_a_race_come_out_once() {
    const NEWEST: UpdateId<usize> = UpdateId::new(131);
    const ROUNDS: usize = fewer(500, 3);
    let objects = [(); 3].map(|()| Object::new());
    let (came_out, running) = (Mutex::new(Vec::new()), AtomicUsize::new(2));
    thread::scope(|scope| {
        for thread in 0..2 {
            let (objects, came_out, running) = (&objects, &came_out, &running);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let object = &objects[round % 3];
                    let previous = update(NEWEST, object, thread * ROUNDS + round).unwrap();
                    let detached = (round % 5 == 0).then(|| detach_newest(NEWEST, object).unwrap());
                    came_out.lock().unwrap().extend(previous.into_iter().chain(detached.flatten()));
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while running.load(Ordering::SeqCst) > 0 {
            // SAFETY: the objects are alive, so the fields of this id are fields of the objects.
            unsafe { NEWEST.detach_all(|_, value| came_out.lock().unwrap().push(value)) }.unwrap();
        }
    });
    let mut came_out = came_out.into_inner().unwrap();
    for object in &objects {
        came_out.extend(detach_newest(NEWEST, object).unwrap());
    }
    came_out.sort_unstable();
    assert!(came_out.into_iter().eq(0..2 * ROUNDS), "each of them, and each of them once");
}

#[test]
fn of_racing_updates_each_value_is_the_previous_of_one_other_or_the_last() {
    const NEWEST: UpdateId<usize> = UpdateId::new(129);
    const ROUNDS: usize = fewer(500, 3);
    let object = Object::new();
    let shared = &object;
    let mut returned: Vec<usize> = thread::scope(|scope| {
        let threads: Vec<_> = (0..3)
            .map(|thread| {
                scope.spawn(move || {
                    let values = (0..ROUNDS).map(|round| thread * ROUNDS + round);
                    values.filter_map(|value| update(NEWEST, shared, value).unwrap()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    returned.extend(detach_newest(NEWEST, &object).unwrap());
    assert_eq!(returned.len(), 3 * ROUNDS);
    assert_eq!(returned.into_iter().collect::<BTreeSet<_>>(), (0..3 * ROUNDS).collect());
}

/// Null and the greatest address cannot be keys of a table. The address before the greatest is the key for both.
#[test]
fn every_address_is_an_object_of_its_own() {
    const SIZE: Id<usize> = Id::new(132);
    const VERSION: UpdateId<usize> = UpdateId::new(133);
    let _alone = alone_at_the_ends();
    let addresses = [0, 1, 8, usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX];
    let key = |address: &usize| ptr::without_provenance::<()>(*address);
    // SAFETY: no objects exist at these addresses, and the value is copied at once.
    let size = |at: &usize| unsafe { SIZE.get(key(at)) }.unwrap().copied();
    // SAFETY: no object exists at these addresses, so the fields have no earlier owner.
    let version = |at: &usize| unsafe { VERSION.get(key(at)) }.unwrap();
    let found = || addresses.each_ref().map(|at| (size(at), version(at)));
    for (number, at) in addresses.iter().enumerate() {
        for (other, found) in addresses.iter().zip(found()) {
            assert_eq!(found, if other < at { (Some(*other), Some(!other)) } else { (None, None) }, "{number}");
        }
        // SAFETY: no object exists at this address, and no reference to the value is kept.
        assert_eq!(unsafe { SIZE.attach(key(at), *at) }.unwrap(), at);
        // SAFETY: no object exists at this address, so no object ends before the field.
        assert_eq!(unsafe { VERSION.get_or_update(key(at), !at) }.unwrap(), None);
    }
    // SAFETY: no reference to a value is kept.
    assert_eq!(unsafe { raw::detach_object(key(&usize::MAX)) }, 2);
    assert_eq!((found()[0], found()[5]), ((Some(0), Some(!0)), (None, None)));
    // SAFETY: no object exists at this address, and no reference to the value is kept.
    unsafe { SIZE.attach(key(&usize::MAX), usize::MAX) }.unwrap();
    let mut seen = BTreeSet::new();
    // SAFETY: no reference to a value is kept.
    let count = unsafe { SIZE.detach_all(|at, value| assert!(at.addr() == value && seen.insert(value))) };
    assert_eq!((count.unwrap(), seen), (6, addresses.into_iter().collect()));
    for at in &addresses[..5] {
        // SAFETY: no object exists at this address, so the field has no earlier owner.
        assert_eq!(unsafe { VERSION.detach(key(at)) }.unwrap(), Some(!at));
    }
    assert_eq!(found(), [(None, None); 6]);
}

/// Values that name their objects. The objects gain and lose fields so fast that the fields of one object get the
/// nodes and slots of a second object.
#[test]
fn a_value_that_is_found_is_that_of_its_object_whatever_comes_and_goes() {
    const NAMED: UpdateId<Box<[usize; 4]>> = UpdateId::new(134);
    const OBJECTS: usize = 24;
    const ROUNDS: usize = fewer(20_000, 4);
    let objects = [(); OBJECTS].map(|()| Object::new());
    let (objects, running) = (&objects, &AtomicUsize::new(2));
    thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let index = (round * 7 + thread * 11) % OBJECTS;
                    let object = &objects[index];
                    if let Some(value) = update(NAMED, object, Box::new([index; 4])).unwrap() {
                        assert_eq!(*value, [index; 4]);
                    }
                    if round % 3 != 0 {
                        detach_object(&objects[(round * 5) % OBJECTS]);
                    } else if let Some(value) = detach_newest(NAMED, object).unwrap() {
                        assert_eq!(*value, [index; 4]);
                    }
                }
                running.fetch_sub(1, Ordering::SeqCst);
            });
        }
        for _ in 0..2 {
            scope.spawn(move || {
                while running.load(Ordering::SeqCst) > 0 {
                    for (index, object) in objects.iter().enumerate() {
                        assert!(newest(NAMED, object).unwrap().is_none_or(|value| *value == [index; 4]));
                    }
                }
            });
        }
    });
}

#[test]
fn an_id_says_what_it_is() {
    const SIZE: Id<usize> = Id::new(7);
    const NAME: UpdateId<String> = UpdateId::new(8);
    assert_eq!((SIZE.to_string(), NAME.to_string()), ("raw id 7".to_owned(), "raw id 8".to_owned()));
    let debug = format!("{SIZE:?} {NAME:?}");
    assert_eq!(debug, "Id<usize>(7) UpdateId<alloc::string::String>(8)");
}

#[test]
fn an_id_with_a_name_says_the_name_and_a_description_replaces_the_name() {
    const SIZE: Id<u8> = Id::named(135, "size of \"it\"");
    const OTHER: UpdateId<String> = UpdateId::new(135);
    const NAME: UpdateId<String> = UpdateId::named(136, "name");
    const INIT: Id<u8> = Id::named(137, "init");
    assert_eq!(SIZE.to_string(), r#"raw id 135 "size of \"it\"""#);
    assert_eq!(format!("{SIZE:?}"), r#"Id<u8>(135, "size of \"it\"")"#);
    assert_eq!(format!("{NAME} {NAME:?}"), r#"raw id 136 "name" UpdateId<alloc::string::String>(136, "name")"#);
    let object = Object::new();
    attach(SIZE, &object, 1).unwrap();
    let mismatch = newest(OTHER, &object).unwrap_err().to_string();
    assert!(mismatch.starts_with(r#"raw id 135 "size of \"it\"" names `Id<u8>`"#), "{mismatch}");
    raw::describe(135, raw::Description::new("size"));
    let mismatch = newest(OTHER, &object).unwrap_err().to_string();
    assert!(mismatch.starts_with(r#"raw id 135 "size" names `Id<u8>`"#), "{mismatch}");
    assert_eq!(format!("{SIZE} {OTHER}"), r#"raw id 135 "size" raw id 135 "size""#);
    let init = || get_or_attach(INIT, &object, || Ok::<_, ()>(1)).copied();
    let failed = get_or_attach(INIT, &object, init).unwrap_err();
    let InitError::Init(InitError::Circle(circle)) = failed else { panic!("{failed:?}") };
    assert!(circle.to_string().starts_with(r#"raw id 137 "init" is asked for"#), "{circle}");
}

#[test]
fn the_error_of_an_initialiser_is_the_source_of_nothing_but_itself() {
    use std::error::Error;
    const SIZE: Id<u8> = Id::new(130);
    let object = Object::new();
    let failed = get_or_attach(SIZE, &object, || Err(std::io::Error::other("no disk"))).unwrap_err();
    assert_eq!(failed.to_string(), "no disk");
    let failed: Box<dyn Error> = failed.into();
    assert!(failed.source().is_none(), "it speaks for the inner error, and so does not point at it");
}

#[test]
fn the_source_of_a_failed_initialiser_is_that_of_the_inner_error() {
    use std::error::Error;
    #[derive(Debug)]
    struct Outer(std::fmt::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("outer")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    let failed = InitError::Init(Outer(std::fmt::Error));
    assert!(failed.source().is_some_and(<dyn Error>::is::<std::fmt::Error>));
}

fn try_update<V: Clone + Send + Sync + 'static, E>(
    id: UpdateId<V>,
    object: &Object,
    next: impl FnMut(Option<&V>) -> Result<V, E>,
) -> Result<Option<V>, InitError<E>> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.try_update_with(object.key(), next) }
}

#[test]
fn an_update_can_be_made_of_the_value_before_it_unless_the_closure_refuses() {
    const COUNT: UpdateId<u32> = UpdateId::new(9_150);
    let object = Object::new();
    let refuse = |before: Option<&u32>| Err(before.copied());
    for _ in 0..2 {
        assert!(matches!(try_update(COUNT, &object, refuse), Err(InitError::Init(None))));
        assert_eq!(newest(COUNT, &object).unwrap(), None);
    }
    let add = |before: Option<&u32>| Ok::<_, ()>(before.map_or(1, |before| before + 1));
    assert_eq!(try_update(COUNT, &object, add).unwrap(), None);
    assert!(matches!(try_update(COUNT, &object, refuse), Err(InitError::Init(Some(1)))));
    // SAFETY: an `Object` outlives its fields.
    let previous = unsafe { COUNT.update_with(object.key(), |before| before.map_or(9, |before| before + 1)) };
    assert_eq!(previous.unwrap(), Some(1));
    assert_eq!(detach_newest(COUNT, &object).unwrap(), Some(2));
    // Refused, detached, and of another object: the closure of an empty field gets `None`.
    assert_eq!(try_update(COUNT, &object, add).unwrap(), None);
    assert_eq!(try_update(COUNT, &Object::new(), add).unwrap(), None);
    assert_eq!(detach_object(&object), 1);
}

#[test]
fn a_closure_of_a_raw_update_runs_again_if_another_change_came_between() {
    const NAME: UpdateId<String> = UpdateId::new(9_151);
    let object = Object::new();
    for first in [None, Some("first")] {
        if let Some(first) = first {
            update(NAME, &object, first.to_owned()).unwrap();
        }
        let mut saw = Vec::new();
        let previous = support::never_hangs(|| {
            try_update(NAME, &object, |before| {
                saw.push(before.cloned());
                match saw.len() {
                    1 => drop(support::elsewhere(|| update(NAME, &object, "second".to_owned()))),
                    2 => drop(support::elsewhere(|| detach_newest(NAME, &object))),
                    _ => {}
                }
                Ok::<_, ()>("third".to_owned())
            })
        });
        assert_eq!(previous.unwrap(), None);
        assert_eq!(saw, [first.map(str::to_owned), Some("second".to_owned()), None]);
        assert_eq!(detach_newest(NAME, &object).unwrap().as_deref(), Some("third"));
    }
}

#[test]
fn a_closure_of_a_raw_update_may_not_update_its_own_field() {
    const COUNT: UpdateId<u32> = UpdateId::new(9_152);
    let (object, other) = (Object::new(), Object::new());
    for _ in 0..2 {
        let message = panic_of(|| {
            drop(try_update(COUNT, &object, |_| {
                try_update(COUNT, &object, |_| Ok::<_, ()>(1)).unwrap();
                Ok::<_, ()>(2)
            }));
        });
        assert!(message.contains("is updated by its own closure"), "{message}");
        assert!(message.contains("9152"), "{message}");
        let message = panic_of(|| {
            support::never_hangs(|| {
                drop(try_update(COUNT, &object, |_| {
                    update(COUNT, &object, 1).unwrap();
                    Ok::<_, ()>(2)
                }));
            });
        });
        assert!(message.contains("is updated by its own closure"), "{message}");
    }
    let previous = try_update(COUNT, &object, |_| {
        try_update(COUNT, &other, |_| Ok::<_, ()>(1)).unwrap();
        Ok::<_, ()>(2)
    });
    assert_eq!(previous.unwrap(), Some(1));
    assert_eq!([detach_object(&object), detach_object(&other)], [1, 1]);
}

#[test]
fn of_racing_updates_by_closures_none_is_lost_beside_detaches() {
    const COUNT: UpdateId<Vec<u32>> = UpdateId::new(9_153);
    const THREADS: u32 = 3;
    const ROUNDS: u32 = fewer(500, 4);
    let object = Object::new();
    let (object, start) = (&object, &Barrier::new(THREADS as usize + 1));
    let mut out: Vec<u32> = thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                start.wait();
                for round in 0..ROUNDS {
                    try_update(COUNT, object, |before| {
                        let mut next = before.cloned().unwrap_or_default();
                        next.push(thread * ROUNDS + round);
                        Ok::<_, ()>(next)
                    })
                    .unwrap();
                }
            });
        }
        start.wait();
        (0..ROUNDS).filter_map(|_| detach_newest(COUNT, object).unwrap()).flatten().collect()
    });
    out.extend(detach_newest(COUNT, object).unwrap().into_iter().flatten());
    out.sort_unstable();
    assert_eq!(out, (0..THREADS * ROUNDS).collect::<Vec<_>>());
}
