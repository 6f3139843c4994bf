//! `raw::PointerId`: fields whose values are owning pointers, which a lookup copies beside a detach.
//!
//! Every test has numbers of its own, as in `raw.rs`. Tests that all kinds of ids share are in `raw_init.rs` (cycles of
//! initialisers) and in `tests/it/rule`.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::Duration;
use std::{mem, thread};

use shadow_runtime::raw::{self, Id, InitError, Pointer, PointerId, TypeMismatch, UpdateId};
use shadow_runtime::{Policy, Row, registry};

use super::raw::{Object, alone_at_the_ends, attach, detach_object, is_refused_as_id, is_refused_as_update_id, update};
use support::{
    AtEnd, Census, Diary, Life, Noted, Random, capture, fewer, forever, never_hangs, panic_of, without_backtraces,
};

/// A copy of a pointer, with the errors of a lookup.
type Found<P> = Result<Option<NonNull<<P as Pointer>::Target>>, TypeMismatch>;
/// A copy of a pointer, with the errors of an attach.
type Made<P, E> = Result<NonNull<<P as Pointer>::Target>, InitError<E>>;

fn get<P: Pointer>(id: PointerId<P>, object: &Object) -> Found<P> {
    // SAFETY: an `Object` outlives its fields, so the field at the address is a field of the object.
    unsafe { id.get(object.key()) }
}

pub(super) fn pointer_or<P: Pointer, E>(
    id: PointerId<P>,
    object: &Object,
    init: impl FnOnce() -> Result<P, E>,
) -> Made<P, E> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.get_or_attach(object.key(), init) }
}

pub(super) fn attach_pointer_with<P: Pointer, E>(
    id: PointerId<P>,
    object: &Object,
    init: impl FnOnce() -> Result<P, E>,
) -> Made<P, E> {
    // SAFETY: an `Object` outlives its fields.
    unsafe { id.attach_with(object.key(), init) }
}

fn detach<P: Pointer>(id: PointerId<P>, object: &Object) -> Result<Option<P>, TypeMismatch> {
    // SAFETY: an `Object` outlives its fields, so the field at the address is a field of the object.
    unsafe { id.detach(object.key()) }
}

/// Calls `look` with the pointee, under the lock of the object at the address.
fn inspect<P: Pointer, R>(
    id: PointerId<P>,
    object: *const (),
    look: impl FnOnce(&P::Target) -> R,
) -> Result<Option<R>, TypeMismatch> {
    let look = |pointer: NonNull<P::Target>| {
        // SAFETY: the pointee stays during the call of `inspect`, and no thread writes to a pointee.
        look(unsafe { pointer.as_ref() })
    };
    // SAFETY: the closures of the tests copy a number. The field belongs to the object: an `Object` outlives its
    // fields, and no object exists at the fixed addresses.
    unsafe { id.inspect(object, look) }
}

/// A copy of the pointee.
pub(super) fn copy<T: Copy + Send + Sync + 'static>(
    id: PointerId<Box<T>>,
    object: &Object,
) -> Result<Option<T>, TypeMismatch> {
    inspect(id, object.key(), |pointee| *pointee)
}

/// An initialiser that makes a box.
fn boxed<T>(value: T) -> impl FnOnce() -> Result<Box<T>, Infallible> {
    move || Ok(Box::new(value))
}

/// An initialiser that must not run.
fn never<P>() -> Result<P, Infallible> {
    panic!("the initialiser runs")
}

/// Checks a refusal, and its message.
fn is_refused<P, E>(result: Result<P, InitError<E>>, number: u64) {
    let Err(InitError::AlreadyAttached(refused)) = result else { panic!("it is not refused") };
    assert_eq!(refused.to_string(), format!("shadow field `{number}` is already attached to this `*const ()`"));
    assert_eq!((refused.field(), refused.host()), (number.to_string().as_str(), "*const ()"));
}

/// A pointee that stays for ever, so that every copy of a pointer may be dereferenced. Counts its owners.
#[derive(Default)]
struct Mark {
    object: usize,
    /// The numbers of owners made, of calls of `into_raw`, of calls of `from_raw`, and of drops of an owner.
    counts: [AtomicUsize; 4],
}

impl Mark {
    fn of(object: usize) -> &'static Self {
        forever(Self { object, ..Self::default() })
    }

    fn owner(&'static self) -> Owner {
        self.count(0);
        Owner(self)
    }

    fn count(&self, index: usize) {
        self.counts[index].fetch_add(1, Ordering::SeqCst);
    }

    fn counts(&self) -> [usize; 4] {
        self.counts.each_ref().map(|count| count.load(Ordering::SeqCst))
    }
}

/// A pointer type of a user.
struct Owner(&'static Mark);

// SAFETY: a `Mark` is never freed. An owner has no other resource, and `into_raw` forgets the owner.
unsafe impl Pointer for Owner {
    type Target = Mark;

    fn into_raw(self) -> NonNull<Mark> {
        self.0.count(1);
        NonNull::from(mem::ManuallyDrop::new(self).0)
    }

    unsafe fn from_raw(pointer: NonNull<Mark>) -> Self {
        // SAFETY: by the contract the pointer comes from `into_raw`, so from a `&'static Mark`.
        let mark = unsafe { pointer.as_ref() };
        mark.count(2);
        Self(mark)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.count(3);
    }
}

#[test]
fn a_pointer_is_attached_found_and_detached() {
    const COUNT: PointerId<Box<u32>> = PointerId::new(200);
    let object = Object::new();
    assert_eq!((get(COUNT, &object).unwrap(), copy(COUNT, &object).unwrap()), (None, None));
    assert_eq!(detach(COUNT, &object).unwrap(), None);
    let failed = pointer_or(COUNT, &object, || "x".parse().map(Box::new)).unwrap_err();
    assert!(matches!(failed, InitError::Init(_)));
    assert_eq!(failed.to_string(), "invalid digit found in string");
    assert_eq!(get(COUNT, &object).unwrap(), None);
    let made = pointer_or(COUNT, &object, boxed(8)).unwrap();
    assert_eq!(pointer_or(COUNT, &object, never).unwrap(), made);
    assert_eq!((get(COUNT, &object).unwrap(), copy(COUNT, &object).unwrap()), (Some(made), Some(8)));
    is_refused(attach_pointer_with(COUNT, &object, never), 200);
    let out = detach(COUNT, &object).unwrap().unwrap();
    assert_eq!((NonNull::from(&*out), *out), (made, 8), "it is the same box");
    assert_eq!((get(COUNT, &object).unwrap(), detach(COUNT, &object).unwrap()), (None, None));
    let failed = attach_pointer_with(COUNT, &object, || Err("no")).unwrap_err();
    assert!(matches!(failed, InitError::Init("no")));
    let again = attach_pointer_with(COUNT, &object, boxed(9)).unwrap();
    assert_eq!((get(COUNT, &object).unwrap(), copy(COUNT, &object).unwrap()), (Some(again), Some(9)));
    assert_eq!(pointer_or(COUNT, &object, never).unwrap(), again);
}

#[test]
fn a_pointer_of_the_users_own_type_goes_in_and_comes_out_by_its_two_functions_alone() {
    const OWNER: PointerId<Owner> = PointerId::new(201);
    let (object, mark) = (Object::new(), Mark::of(1));
    let init = || Ok::<_, Infallible>(mark.owner());
    // Each way out, with the counts after the way: of those made, given up, taken back and dropped.
    let ways_out: [&dyn Fn(); 4] = [
        &|| drop(detach(OWNER, &object).unwrap()),
        // SAFETY: the object is alive, so the field is a field of the object.
        &|| assert_eq!(unsafe { OWNER.detach_all(|_, _| ()) }.unwrap(), 1),
        // SAFETY: as above.
        &|| unsafe { OWNER.detach_all(|_, owner| assert_eq!(owner.0.counts()[3], 2)) }.map(drop).unwrap(),
        &|| assert_eq!(detach_object(&object), 1),
    ];
    for (times, way_out) in ways_out.into_iter().enumerate() {
        let made =
            if times % 2 == 0 { pointer_or(OWNER, &object, init) } else { attach_pointer_with(OWNER, &object, init) };
        assert_eq!(made.unwrap(), NonNull::from(mark));
        assert_eq!(get(OWNER, &object).unwrap(), Some(NonNull::from(mark)));
        let number = inspect(OWNER, object.key(), |mark| mark.object);
        assert_eq!(number.unwrap(), Some(1));
        assert_eq!(mark.counts(), [times + 1, times + 1, times, times], "a lookup owns nothing");
        way_out();
        assert_eq!(mark.counts(), [times + 1; 4]);
    }
    pointer_or(OWNER, &object, init).unwrap();
    let out = detach(OWNER, &object).unwrap();
    assert_eq!(mark.counts(), [5, 5, 5, 4], "what is detached is the caller's");
    drop(out);
}

#[test]
fn a_pointee_of_no_size_or_of_a_large_alignment_is_a_pointee_like_others() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(align(128))]
    struct Wide(u8);
    const NOTHING: PointerId<Box<()>> = PointerId::new(202);
    const WIDE: PointerId<Box<Wide>> = PointerId::new(203);
    let objects = [(); 3].map(|()| Object::new());
    for object in &objects {
        pointer_or(NOTHING, object, boxed(())).unwrap();
        assert!(pointer_or(WIDE, object, boxed(Wide(7))).unwrap().is_aligned());
    }
    for object in &objects[1..] {
        assert_eq!((copy(NOTHING, object).unwrap(), copy(WIDE, object).unwrap()), (Some(()), Some(Wide(7))));
        assert_eq!(detach(NOTHING, object).unwrap(), Some(Box::new(())));
        assert_eq!((get(NOTHING, object).unwrap(), detach_object(object)), (None, 1));
    }
    assert!(get(NOTHING, &objects[0]).unwrap().is_some());
}

#[test]
fn two_objects_have_pointers_of_their_own_and_so_have_two_numbers_and_two_ids_of_one_number_are_one() {
    const ONE: PointerId<Box<u8>> = PointerId::new(204);
    const OTHER: PointerId<Box<u8>> = PointerId::new(205);
    const SAME: PointerId<Box<u8>> = PointerId::named(204, "the same");
    let (object, stranger) = (Object::new(), Object::new());
    pointer_or(ONE, &object, boxed(1)).unwrap();
    assert_eq!((get(ONE, &stranger).unwrap(), get(OTHER, &object).unwrap()), (None, None));
    pointer_or(OTHER, &object, boxed(2)).unwrap();
    pointer_or(ONE, &stranger, boxed(3)).unwrap();
    let found = [copy(ONE, &object), copy(OTHER, &object), copy(SAME, &stranger)].map(Result::unwrap);
    assert_eq!(found, [Some(1), Some(2), Some(3)]);
    is_refused(attach_pointer_with(SAME, &object, never), 204);
    // The two ids have one init lock, too.
    detach(ONE, &object).unwrap();
    let made = pointer_or(ONE, &object, || pointer_or(SAME, &object, never).map(|_| Box::new(4)));
    assert!(matches!(made, Err(InitError::Init(InitError::Circle(_)))));
}

/// Null and the greatest address cannot be keys of a table. The address before the greatest is the key for both.
#[test]
fn every_address_is_an_object_of_its_own() {
    const NUMBER: PointerId<Box<usize>> = PointerId::new(206);
    let _alone = alone_at_the_ends();
    let addresses = [0, 1, 8, usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX];
    let key = |address: &usize| ptr::without_provenance::<()>(*address);
    let copy = |at: &usize| inspect(NUMBER, key(at), |number| *number).unwrap();
    // SAFETY: no object exists at the address.
    let is_found = |at: &usize| unsafe { NUMBER.get(key(at)) }.unwrap().is_some();
    for attached in 0..addresses.len() {
        for (index, at) in addresses.iter().enumerate() {
            assert_eq!((copy(at), is_found(at)), ((index < attached).then_some(*at), index < attached));
        }
        let at = &addresses[attached];
        // SAFETY: no object exists at the address.
        unsafe { NUMBER.attach_with(key(at), boxed(*at)) }.unwrap();
        // SAFETY: no object exists at the address.
        assert_eq!(unsafe { NUMBER.get_or_attach(key(at), never) }.ok(), unsafe { NUMBER.get(key(at)) }.unwrap());
    }
    // SAFETY: no object exists at the address.
    assert_eq!(unsafe { raw::detach_object(key(&usize::MAX)) }, 1);
    assert_eq!((copy(&usize::MAX), copy(&(usize::MAX - 1)), copy(&0)), (None, Some(usize::MAX - 1), Some(0)));
    // SAFETY: no object exists at the address.
    assert_eq!(unsafe { NUMBER.detach(key(&0)) }.unwrap(), Some(Box::new(0)));
    let mut seen = BTreeSet::new();
    // SAFETY: no objects exist at the addresses.
    let count = unsafe { NUMBER.detach_all(|at, value| assert!(at.addr() == *value && seen.insert(*value))) };
    assert_eq!((count.unwrap(), seen), (4, addresses[1..5].iter().copied().collect()));
    assert!(!addresses.iter().any(is_found));
}

#[test]
fn many_addresses_have_the_pointers_that_a_map_has() {
    const OWNER: PointerId<Owner> = PointerId::new(207);
    const ADDRESSES: usize = fewer(2000, 40);
    let mark = Mark::of(0);
    let marks: Vec<&Mark> = (0..fewer(50, 5)).map(Mark::of).collect();
    let (mut random, mut map) = (Random(7), BTreeMap::new());
    let init = |mark: &'static Mark| move || Ok::<_, Infallible>(mark.owner());
    for _ in 0..fewer(40_000, 100) {
        let address = (1 << 20) + 8 * random.below(ADDRESSES);
        let (key, own) = (ptr::without_provenance(address), marks[random.below(marks.len())]);
        let known = map.get(&address).copied();
        // SAFETY: no object exists at the address.
        assert_eq!(unsafe { OWNER.get(key) }.unwrap(), known.map(NonNull::from));
        match random.below(8) {
            0..3 => {
                let expected = *map.entry(address).or_insert(own);
                // SAFETY: no object exists at the address.
                assert_eq!(unsafe { OWNER.get_or_attach(key, init(own)) }.unwrap(), NonNull::from(expected));
            }
            3..5 => {
                // SAFETY: no object exists at the address.
                let attached = unsafe { OWNER.attach_with(key, init(own)) };
                assert_eq!(attached.is_ok(), known.is_none());
                map.entry(address).or_insert(own);
            }
            5 => {
                // SAFETY: no object exists at the address.
                assert_eq!(unsafe { raw::detach_object(key) }, usize::from(map.remove(&address).is_some()));
            }
            _ => {
                // SAFETY: no object exists at the address.
                let out = unsafe { OWNER.detach(key) }.unwrap();
                assert!(out.map(|owner| ptr::from_ref(owner.0)) == map.remove(&address).map(ptr::from_ref));
            }
        }
    }
    // SAFETY: no objects exist at the addresses.
    let count = unsafe { OWNER.detach_all(|at, owner| assert!(ptr::eq(map[&at.addr()], owner.0))) };
    assert_eq!(count.unwrap(), map.len());
    assert_eq!(mark.counts(), [0; 4]);
    for mark in marks {
        assert_eq!(mark.counts(), [mark.counts()[0]; 4], "each owner went in, came out and was dropped once");
    }
}

/// Checks that every use of `number`, which names `known`, is refused as a `PointerId<P>` on `object`.
fn is_refused_as_pointer_id<P: Pointer>(number: u64, known: &str, object: &Object) {
    let id = PointerId::<P>::new(number);
    let expected =
        format!("raw id {number} names `{known}` in this process, not `PointerId<{}>`", std::any::type_name::<P>());
    let check = |mismatch: TypeMismatch| assert_eq!((mismatch.to_string(), mismatch.id()), (expected.clone(), number));
    let refused = [pointer_or(id, object, never::<P>), attach_pointer_with(id, object, never::<P>)];
    for refused in refused {
        let Err(InitError::TypeMismatch(refused)) = refused else { panic!("it is not refused") };
        check(refused);
    }
    check(get(id, object).unwrap_err());
    let Err(refused) = detach(id, object) else { panic!("it is not refused") };
    check(refused);
    // SAFETY: the closure does not run.
    check(unsafe { id.inspect::<()>(object.key(), |_| panic!("there is nothing of this type")) }.unwrap_err());
    // SAFETY: the closure does not run.
    check(unsafe { id.detach_all(|_, _| panic!("there is nothing of this type")) }.unwrap_err());
}

#[test]
fn a_number_names_one_kind_of_id_and_one_type_in_all_directions() {
    const BYTE: PointerId<Box<u8>> = PointerId::new(210);
    const ONCE: Id<Box<u8>> = Id::new(211);
    const NEWEST: UpdateId<Box<u8>> = UpdateId::new(212);
    const KNOWN: &str = "PointerId<alloc::boxed::Box<u8>>";
    let (object, stranger) = (Object::new(), Object::new());
    pointer_or(BYTE, &object, boxed(1)).unwrap();
    attach(ONCE, &object, Box::new(2)).unwrap();
    update(NEWEST, &object, Box::new(3)).unwrap();
    for object in [&object, &stranger].into_iter().take(fewer(2, 1)) {
        is_refused_as_id(210, KNOWN, object, &Box::new(4_u8));
        is_refused_as_id(210, KNOWN, object, &4_u8);
        is_refused_as_update_id(210, KNOWN, object, &Box::new(4_u8));
        is_refused_as_pointer_id::<Box<u16>>(210, KNOWN, object);
        is_refused_as_pointer_id::<Owner>(210, KNOWN, object);
        is_refused_as_pointer_id::<Box<u8>>(211, "Id<alloc::boxed::Box<u8>>", object);
        is_refused_as_pointer_id::<Box<u8>>(212, "UpdateId<alloc::boxed::Box<u8>>", object);
    }
    assert_eq!((copy(BYTE, &object).unwrap(), get(BYTE, &stranger).unwrap()), (Some(1), None));
    detach(BYTE, &object).unwrap();
    is_refused_as_pointer_id::<Box<u16>>(210, KNOWN, &object);
}

/// So no result of an initialiser is refused.
#[test]
fn a_number_is_named_before_its_initialiser_runs() {
    type Method = fn(PointerId<Box<Life>>, &Object, &dyn Fn() -> Result<Box<Life>, ()>) -> Made<Box<Life>, ()>;
    let methods: [Method; 2] =
        [|id, object, init| pointer_or(id, object, init), |id, object, init| attach_pointer_with(id, object, init)];
    let census = Census::default();
    for (number, method) in (213..).zip(methods) {
        let (object, stranger) = (Object::new(), Object::new());
        let other = || attach(Id::<u8>::new(number), &stranger, 1);
        let id = PointerId::new(number);
        assert!(matches!(method(id, &object, &|| Err(())), Err(InitError::Init(()))));
        assert!(other().is_err(), "a failed initialiser has named the number");
        let init = || {
            assert!(other().is_err(), "the number is not named yet");
            Ok(Box::new(census.life()))
        };
        assert!(method(id, &object, &init).is_ok());
        assert_eq!((detach_object(&object), detach_object(&stranger)), (1, 0));
    }
    assert_eq!((census.made(), census.dropped()), (2, 2));
}

#[test]
fn of_two_kinds_that_race_for_a_number_one_wins() {
    for round in 0..fewer(50, 2) {
        let (ours, theirs) = (PointerId::<Box<u8>>::new(2000 + round), Id::<u8>::new(2000 + round));
        let (objects, start) = ([(); 2].map(|()| Object::new()), Barrier::new(2));
        let (is_ours, is_theirs) = thread::scope(|scope| {
            let other = scope.spawn(|| {
                start.wait();
                attach(theirs, &objects[1], 2).is_ok()
            });
            start.wait();
            (pointer_or(ours, &objects[0], boxed(1)).is_ok(), other.join().unwrap())
        });
        assert_ne!(is_ours, is_theirs);
        assert_eq!(copy(ours, &objects[0]).is_ok_and(|found| found == Some(1)), is_ours);
        assert_eq!(super::raw::get(theirs, &objects[1]).is_ok_and(|found| found == Some(&2)), is_theirs);
    }
}

#[test]
fn fields_of_all_kinds_are_detached_with_their_object() {
    const NOTED: PointerId<Box<Noted>> = PointerId::new(215);
    const OWNER: PointerId<Owner> = PointerId::new(218);
    let (object, stranger) = (Object::new(), Object::new());
    let (census, diary, mark) = (Census::default(), Diary::default(), Mark::of(0));
    for object in [&object, &stranger] {
        attach(Id::new(217), object, census.life()).map(drop).unwrap();
        pointer_or(OWNER, object, || Ok::<_, ()>(mark.owner())).unwrap();
        assert!(update(UpdateId::new(216), object, census.life()).is_ok());
        pointer_or(NOTED, object, boxed(Noted::quiet("noted", &diary))).unwrap();
    }
    drop(detach(OWNER, &object).unwrap());
    assert_eq!(mark.counts(), [2, 2, 1, 1]);
    assert_eq!(detach_object(&object), 3);
    assert_eq!((census.dropped(), diary.read(), detach_object(&object)), (2, vec!["noted"], 0));
    assert!(get(NOTED, &object).unwrap().is_none() && get(NOTED, &stranger).unwrap().is_some());
    assert_eq!((detach_object(&stranger), mark.counts()), (4, [2; 4]));
}

#[test]
fn after_a_panic_of_a_destructor_the_other_fields_of_the_object_end_too() {
    let (object, diary) = (Object::new(), Diary::default());
    let panicking: [PointerId<Box<Noted>>; 2] = [PointerId::new(220), PointerId::new(221)];
    for id in panicking {
        pointer_or(id, &object, boxed(Noted::panicking("panicking", &diary))).unwrap();
    }
    pointer_or(PointerId::new(222), &object, boxed(Noted::quiet("quiet", &diary))).unwrap();
    assert_eq!(panic_of(|| detach_object(&object)), "the destructor of panicking panics");
    let mut entries = diary.read();
    entries.sort_unstable();
    assert_eq!((entries, detach_object(&object)), (vec!["panicking", "panicking", "quiet"], 0));
    // A detach hands the value out, and runs no destructor.
    pointer_or(panicking[0], &object, boxed(Noted::panicking("late", &diary))).unwrap();
    let out = detach(panicking[0], &object).unwrap();
    assert_eq!((diary.read().len(), detach_object(&object)), (3, 0));
    assert_eq!(panic_of(|| drop(out)), "the destructor of late panics");
}

#[test]
fn a_panic_for_one_object_does_not_keep_the_others_from_their_turn() {
    const LIFE: PointerId<Box<Life>> = PointerId::new(223);
    const OBJECTS: usize = fewer(50, 21);
    without_backtraces();
    let (census, objects) = (Census::default(), [(); OBJECTS].map(|()| Object::new()));
    for object in &objects {
        pointer_or(LIFE, object, boxed(census.life())).unwrap();
    }
    let mut turns = 0;
    let message = panic_of(|| {
        // SAFETY: the objects are alive, so the fields of the id are fields of the objects.
        unsafe {
            LIFE.detach_all(|_, _life| {
                turns += 1;
                assert_ne!(turns % 20, 0, "turn {turns}");
            })
        }
    });
    assert!(message.contains("turn 20"), "the first panic is raised again: {message}");
    assert_eq!((turns, census.dropped()), (OBJECTS, OBJECTS));
    assert!(objects.iter().all(|object| get(LIFE, object).unwrap().is_none()));
}

#[test]
fn after_a_panic_of_the_initialiser_or_of_into_raw_the_field_is_empty_and_its_lock_is_free() {
    /// Panics in `into_raw`, if the flag is set.
    struct Brittle {
        panics: bool,
        _life: Life,
    }
    // SAFETY: passes the ownership on as `Box` does.
    unsafe impl Pointer for Brittle {
        type Target = Self;
        fn into_raw(self) -> NonNull<Self> {
            assert!(!self.panics, "into_raw panics");
            Box::new(self).into_raw()
        }
        unsafe fn from_raw(pointer: NonNull<Self>) -> Self {
            // SAFETY: by the contract `into_raw` has returned the pointer of a box.
            *unsafe { Box::from_raw(pointer.as_ptr()) }
        }
    }
    const BRITTLE: PointerId<Brittle> = PointerId::new(224);
    without_backtraces();
    never_hangs(|| {
        let (object, census) = (Object::new(), Census::default());
        let brittle = |panics| Ok::<_, ()>(Brittle { panics, _life: census.life() });
        for is_unique in [false, true] {
            let run = |init: &dyn Fn() -> Result<Brittle, ()>| {
                if is_unique { attach_pointer_with(BRITTLE, &object, init) } else { pointer_or(BRITTLE, &object, init) }
            };
            assert_eq!(panic_of(|| run(&|| panic!("boom"))), "boom");
            assert_eq!(panic_of(|| run(&|| brittle(true))), "into_raw panics");
            assert_eq!(detach_object(&object), 0);
            assert!(run(&|| brittle(false)).is_ok());
            assert!(detach(BRITTLE, &object).unwrap().is_some());
        }
        assert_eq!((census.made(), census.dropped()), (4, 4));
    });
}

/// The error of an initialiser that requests its own field, by each method. `raw_init.rs` has the other cycles.
#[test]
fn an_initialiser_that_asks_for_its_own_field_gets_an_error_with_its_name() {
    const OWN: PointerId<Box<u8>> = PointerId::named(225, "own");
    never_hangs(|| {
        let object = Object::new();
        let made = pointer_or(OWN, &object, || {
            for inner in [pointer_or(OWN, &object, never), attach_pointer_with(OWN, &object, never)] {
                let Err(InitError::Circle(circle)) = inner else { panic!("it is no circle") };
                assert!(circle.to_string().starts_with(r#"raw id 225 "own" is asked for"#), "{circle}");
            }
            // Neither a lookup nor a detach waits for the initialiser.
            assert_eq!((get(OWN, &object).unwrap(), copy(OWN, &object).unwrap()), (None, None));
            assert_eq!(detach(OWN, &object).unwrap(), None);
            assert_eq!(detach_object(&object), 0);
            Ok::<_, ()>(Box::new(3))
        });
        assert!(made.is_ok());
        assert_eq!(copy(OWN, &object).unwrap(), Some(3));
    });
}

/// The row of a number.
fn row_of(number: u64) -> Row {
    let report = registry().report();
    *report.iter().find(|row| row.number() == Some(number)).unwrap_or_else(|| panic!("no row of {number}"))
}

const DECLARED: u32 = line!() + 2;
const NAMELESS: PointerId<Box<u8>> = PointerId::new(230);
const NAMED: PointerId<Owner> = PointerId::named(231, "owned");

#[test]
fn a_row_of_the_report_has_the_name_the_type_and_the_place_and_the_counts_are_exact() {
    let object = Object::new();
    for _ in 0..3 {
        pointer_or(NAMELESS, &object, boxed(1)).unwrap();
        assert!(attach_pointer_with(NAMELESS, &object, boxed(2)).is_err());
        detach(NAMELESS, &object).unwrap();
    }
    attach_pointer_with(NAMELESS, &object, boxed(1)).unwrap();
    // SAFETY: the object is alive, so the field is a field of the object.
    assert_eq!(unsafe { NAMELESS.detach_all(|_, _| ()) }.unwrap(), 1);
    attach_pointer_with(NAMED, &object, || Ok::<_, ()>(Mark::of(0).owner())).unwrap();
    assert_eq!((row_of(231).attached(), row_of(231).live()), (1, 1));
    assert_eq!(detach_object(&object), 1);
    assert!(attach_pointer_with(NAMED, &object, || Err("it fails")).is_err());
    let rows = [230, 231].map(row_of);
    let texts = rows.each_ref().map(|row| (row.host(), row.field(), row.value_type(), row.policy()));
    let owner = format!("{}::Owner", module_path!());
    let names = [("230", "alloc::boxed::Box<u8>"), ("owned", &owner)];
    assert_eq!(texts, names.map(|(name, value)| ("*const ()", name, value, Policy::GetOrAttach)));
    let counts = rows.each_ref().map(|row| [row.attached(), row.detached(), row.updates(), row.refused()]);
    assert_eq!(counts, [[4, 4, 0, 3], [1, 1, 0, 0]]);
    let places = rows.map(|row| row.declared_at());
    assert!(places.iter().all(|place| place.file() == file!()), "{places:?}");
    assert_eq!(places.map(|place| place.line()), [DECLARED - 1, DECLARED]);
}

#[test]
fn a_refused_attach_is_counted_and_logged_with_its_place() {
    const REFUSED: PointerId<Box<u8>> = PointerId::named(232, "refused pointer");
    capture::start();
    let object = Object::new();
    pointer_or(REFUSED, &object, boxed(1)).unwrap();
    let line = line!() + 2;
    // SAFETY: an `Object` outlives its fields.
    let refused = unsafe { REFUSED.attach_with(object.key(), never) };
    let Err(InitError::AlreadyAttached(refused)) = refused else { panic!("it is not refused") };
    assert_eq!((refused.field(), row_of(232).refused()), ("refused pointer", 1));
    let lines = capture::lines_with("`refused pointer` of `*const ()` is already attached; the second attach, at ");
    assert_eq!(lines.len(), 1);
    assert!(lines[0].message.contains(&format!("{}:{line}:", file!())), "{}", lines[0].message);
    assert_eq!(copy(REFUSED, &object).unwrap(), Some(1));
}

#[test]
fn an_id_says_what_it_is() {
    const NUMBER: PointerId<Box<u8>> = PointerId::new(7);
    const NAME: PointerId<Box<u8>> = PointerId::named(233, "name");
    assert_eq!(NUMBER.to_string(), "raw id 7");
    assert_eq!(format!("{NUMBER:?}"), "PointerId<alloc::boxed::Box<u8>>(7)");
    assert_eq!(format!("{NAME} {NAME:?}"), r#"raw id 233 "name" PointerId<alloc::boxed::Box<u8>>(233, "name")"#);
    raw::describe(233, raw::Description::new("described"));
    assert_eq!(NAME.to_string(), r#"raw id 233 "described""#);
}

#[test]
fn of_racing_initialisers_one_runs_and_all_get_its_pointer() {
    const SHARED: PointerId<Box<usize>> = PointerId::new(240);
    const UNIQUE: PointerId<Box<usize>> = PointerId::new(241);
    const THREADS: usize = fewer(5, 3);
    for _ in 0..fewer(50, 1) {
        let (object, start, runs) = (Object::new(), Barrier::new(THREADS), AtomicUsize::new(0));
        let init = |number: usize| {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(Box::new(number))
        };
        let race = |number: usize| {
            start.wait();
            let found = pointer_or(SHARED, &object, || init(number)).unwrap().addr();
            (found, attach_pointer_with(UNIQUE, &object, || init(number)).is_ok())
        };
        let race = &race;
        let ends: Vec<_> = thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || race(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(runs.into_inner(), 2);
        assert!(ends.iter().all(|(found, _)| *found == ends[0].0), "{ends:?}");
        assert_eq!(ends.iter().filter(|(_, won)| *won).count(), 1);
        let winner = ends.iter().position(|(_, won)| *won);
        assert_eq!(copy(UNIQUE, &object).unwrap(), winner);
        assert!(copy(SHARED, &object).unwrap().is_some_and(|number| number < THREADS));
    }
}

/// Six addresses of one shard, with one home group: two overflow from the group, and move back when others go. The
/// array of six entries has two groups. The hash and the sizes are those of `side_table/mod.rs` and `raw/table.rs`. For
/// another hash the test is right, too, and finds less.
fn addresses_of_one_group() -> [usize; 6] {
    let hash = |address: usize| {
        let product = (address as u128) * 0x9E37_79B9_7F4A_7C15;
        u64::try_from(product & u128::from(u64::MAX)).unwrap() ^ u64::try_from(product >> 64).unwrap()
    };
    let mut found = (1..)
        .map(|number| (1 << 24) + 16 * number)
        .filter(|address| hash(*address) % 8 == 3 && hash(*address) >> 63 == 0);
    [(); 6].map(|()| found.next().unwrap())
}

/// Readers look up fields that come and go in one small array, where every slot is now one object's and now another's.
/// The pointees stay for ever, and name their objects.
#[test]
fn a_pointer_that_is_found_is_that_of_its_object_whatever_the_slots_get() {
    const OWNER: PointerId<Owner> = PointerId::new(242);
    const ROUNDS: usize = fewer(400_000, 6);
    let addresses = addresses_of_one_group();
    let marks = addresses.map(Mark::of);
    let key = |index: usize| ptr::without_provenance(addresses[index]);
    let (running, start) = (AtomicUsize::new(2), Barrier::new(4));
    let write = |thread: usize| {
        start.wait();
        let _end = AtEnd(|| {
            running.fetch_sub(1, Ordering::SeqCst);
        });
        let mut random = Random(thread as u64 + 1);
        for _ in 0..ROUNDS {
            let [comes, goes] = [(); 2].map(|()| random.below(6));
            let init = || Ok::<_, Infallible>(marks[comes].owner());
            // SAFETY: no object exists at the address.
            let there = unsafe { OWNER.get_or_attach(key(comes), init) }.unwrap();
            assert!(ptr::eq(there.as_ptr(), marks[comes]));
            // SAFETY: no object exists at the address.
            let gone = unsafe { OWNER.detach(key(goes)) }.unwrap();
            assert!(gone.is_none_or(|owner| owner.0.object == addresses[goes]));
        }
    };
    let read = || {
        start.wait();
        let mut hits = 0;
        while running.load(Ordering::Relaxed) > 0 {
            for (index, mark) in marks.into_iter().enumerate() {
                // SAFETY: no object exists at the address.
                if let Some(found) = unsafe { OWNER.get(key(index)) }.unwrap() {
                    assert!(ptr::eq(found.as_ptr(), mark), "the pointer of {index} is another's");
                    hits += 1;
                }
            }
        }
        hits
    };
    let hits: usize = thread::scope(|scope| {
        let readers = [(); 2].map(|()| scope.spawn(read));
        let write = &write;
        for thread in 0..2 {
            scope.spawn(move || write(thread));
        }
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert!(hits > 0 || cfg!(miri));
    // SAFETY: no objects exist at the addresses.
    unsafe { OWNER.detach_all(|at, owner| assert_eq!(owner.0.object, at.addr())) }.unwrap();
    for mark in marks {
        assert_eq!(mark.counts(), [mark.counts()[0]; 4]);
    }
}

/// A value that shows whether it is alive, and whose it is.
struct Checked {
    object: usize,
    _life: Life,
}

impl Drop for Checked {
    fn drop(&mut self) {
        self.object = usize::MAX;
    }
}

/// A thread for each method that writes, on two objects with two fields. The threads that attach also look, so the
/// fields have pointees during the looks.
#[test]
fn in_races_of_all_methods_every_pointee_is_dropped_once_and_is_alive_where_it_is_inspected() {
    const CHECKED: PointerId<Box<Checked>> = PointerId::new(243);
    const BESIDE: PointerId<Box<Life>> = PointerId::new(244);
    const ROUNDS: usize = fewer(3000, 4);
    let (objects, census) = ([(); 2].map(|()| Object::new()), Census::default());
    let inspected = AtomicUsize::new(0);
    let look = |index: usize| {
        let _ = get(CHECKED, &objects[index]).unwrap();
        let found = inspect(CHECKED, objects[index].key(), |checked| checked.object).unwrap();
        assert!(found.is_none_or(|found| found == index), "{found:?} is not of object {index}");
        inspected.fetch_add(usize::from(found.is_some()), Ordering::Relaxed);
    };
    let step = |thread: usize, round: usize| {
        let index = round / 3 % 2;
        let object = &objects[index];
        let init = || match round % 7 {
            3 => Err(()),
            _ => Ok(Box::new(Checked { object: index, _life: census.life() })),
        };
        let is_own = |checked: Option<Box<Checked>>| assert!(checked.is_none_or(|checked| checked.object == index));
        match thread {
            0 | 1 => drop(pointer_or(CHECKED, object, init)),
            2 => drop(attach_pointer_with(CHECKED, object, init)),
            3 => drop(pointer_or(BESIDE, object, boxed(census.life()))),
            4 => is_own(detach(CHECKED, object).unwrap()),
            _ if round % 2 == 0 => assert!(detach_object(object) <= 2),
            // SAFETY: the objects are alive, so the fields of the id are fields of the objects.
            _ => drop(unsafe { CHECKED.detach_all(|at, checked| assert_eq!(at, objects[checked.object].key())) }),
        }
        if thread < 3 {
            look(index);
        }
        // One thread would otherwise run all its rounds in one time slice.
        thread::yield_now();
    };
    thread::scope(|scope| {
        let step = &step;
        for thread in 0..6 {
            scope.spawn(move || (0..ROUNDS).for_each(|round| step(thread, round)));
        }
    });
    assert!(inspected.into_inner() > 0 || cfg!(miri));
    drop(objects);
    assert!(census.made() > 0);
    assert_eq!(census.made(), census.dropped());
}

/// Each way out waits for the end of `inspect`. The closure of `inspect` runs for a moment, and waits for no thread.
#[test]
fn a_pointee_stays_while_it_is_inspected() {
    const OWNER: PointerId<Owner> = PointerId::new(248);
    let (object, mark) = (Object::new(), Mark::of(0));
    let ways_out: [&(dyn Fn() + Sync); 3] = [
        &|| drop(detach(OWNER, &object).unwrap()),
        // SAFETY: the object is alive, so the field is a field of the object.
        &|| assert_eq!(unsafe { OWNER.detach_all(|_, _| ()) }.unwrap(), 1),
        &|| assert_eq!(detach_object(&object), 1),
    ];
    for way_out in ways_out {
        pointer_or(OWNER, &object, || Ok::<_, ()>(mark.owner())).unwrap();
        let inside = AtomicBool::new(false);
        let owned = |mark: &Mark| mark.counts()[0] - mark.counts()[2];
        let stays = thread::scope(|scope| {
            scope.spawn(|| {
                while !inside.load(Ordering::SeqCst) {
                    thread::yield_now();
                }
                way_out();
            });
            let look = |mark: &Mark| {
                inside.store(true, Ordering::SeqCst);
                (0..20).all(|_| {
                    thread::sleep(Duration::from_millis(1));
                    owned(mark) == 1
                })
            };
            inspect(OWNER, object.key(), look).unwrap()
        });
        assert_eq!((stays, owned(mark)), (Some(true), 0));
    }
}

/// Of racing detaches by three methods, on objects of one table, one gets each pointer.
#[test]
fn of_racing_detaches_one_gets_each_pointer() {
    const NUMBER: PointerId<Box<usize>> = PointerId::new(245);
    const OBJECTS: usize = fewer(30, 8);
    for _ in 0..fewer(50, 1) {
        let objects: Vec<Object> = (0..OBJECTS).map(|_| Object::new()).collect();
        for (number, object) in objects.iter().enumerate() {
            pointer_or(NUMBER, object, boxed(number)).unwrap();
        }
        let (start, came_out) = (Barrier::new(3), Mutex::new(Vec::new()));
        let note = |number: Box<usize>| came_out.lock().unwrap().push(*number);
        let one_by_one = || {
            start.wait();
            objects.iter().filter_map(|object| detach(NUMBER, object).unwrap()).for_each(note);
        };
        thread::scope(|scope| {
            scope.spawn(one_by_one);
            scope.spawn(one_by_one);
            start.wait();
            // SAFETY: the objects are alive, so the fields of the id are fields of the objects.
            unsafe { NUMBER.detach_all(|_, number| note(number)) }.unwrap();
        });
        let mut came_out = came_out.into_inner().unwrap();
        came_out.sort_unstable();
        assert!(came_out.into_iter().eq(0..OBJECTS), "each of them, and each of them once");
    }
}
