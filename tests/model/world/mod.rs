//! The differential test's world: executes operations with the library and with plain maps, and compares the two.
//!
//! In: operations, as data, from `tests/model/main.rs` or a fuzzer. Out: a panic on the first difference in a result, a
//! drop, a count or an address. Invariant: a world belongs to one thread, and a thread has one world at a time.
//! Neighbours: `operation.rs`, the operations; `hosts.rs` and `raw_hosts.rs`, the library's side; `oracle.rs`, the
//! maps; `value.rs`, values whose lives are recorded.

mod access;
pub(crate) mod bytes;
mod hosts;
pub(crate) mod operation;
mod oracle;
mod raw_hosts;
pub(crate) mod value;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Once};
use std::{mem, ptr};

use shadow_runtime::registry;

use hosts::{CARRIED, Detached, Host, Row, Shared as _};
use operation::{Declaration, Field, Kind, Operation, PLACES, Place, Policy};
use oracle::{Counts, Fields, Held, ObjectId, Oracle, stays};
use raw_hosts::Object;
use value::{Declared, Planned, Small, Temper, Value};

/// Executes all operations in a new world, and compares with the oracle after each operation.
///
/// # Panics
///
/// On a difference, after the world is emptied.
pub(crate) fn run(operations: &[Operation]) {
    prepare();
    value::begin();
    let mut world = World::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        for operation in operations {
            world.perform(operation);
            world.settle();
            // An access reads the fields that it may have changed.
            if !matches!(operation, Operation::Access(_)) {
                world.read_all();
            }
        }
        world.end();
    }));
    if let Err(payload) = outcome {
        // Remaining values must not disturb the next world: proptest and the fuzzer retry a failure with fewer
        // operations.
        value::begin();
        world.abandon();
        REPORTED.set(None);
        resume_unwind(payload);
    }
}

thread_local! {
    /// Whether an expected panic of the library is about to start.
    static IS_EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Prepares the process once: binds the numbers of raw fields to their types, and silences expected panics.
fn prepare() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        run_hook();
        value::begin();
        for declaration in [Declaration::First, Declaration::Second, Declaration::Third] {
            let host = Host::new(Kind::Raw, 0);
            let raw = host.shared();
            assert!(raw.attach_once(declaration, Value::default()).is_ok());
            raw.get_or_attach_made(declaration, &mut || Ok(Value::default()));
            raw.update_newest(declaration, Value::default());
            raw.update_copied(declaration, Small::new(0));
        }
        assert_eq!(raw_hosts::detach_object(Object(ptr::null())), 12);
    });
}

fn run_hook() {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !IS_EXPECTED.get() {
            hook(info);
        }
    }));
}

/// The end of a call that panicked.
#[derive(Debug, PartialEq, Eq)]
enum Panic {
    /// A planned panic, with the tag of the value that panicked.
    Planned(u32),
    /// A panic of the library itself, with a message.
    Message(String),
}

/// Parts of the messages with which the library refuses recursion.
const REFUSALS: [&str; 2] = ["is asked for by its own initialiser", "is updated by its own closure"];

/// Calls the library, and catches an expected panic.
fn attempt<R>(call: impl FnOnce() -> R) -> Result<R, Panic> {
    catch_unwind(AssertUnwindSafe(call)).map_err(|payload| match payload.downcast::<Planned>() {
        Ok(planned) => Panic::Planned(planned.0),
        Err(payload) => match payload.downcast::<String>() {
            Ok(message) if REFUSALS.iter().any(|refusal| message.contains(refusal)) => Panic::Message(*message),
            Ok(message) => resume_unwind(message),
            Err(payload) => resume_unwind(payload),
        },
    })
}

/// Drops a value that the library handed out. Asserts that the drop panics exactly if the value's temper says so.
fn let_go(value: Value) {
    let (tag, is_armed) = (value.tag(), value.temper() == Temper::PanicsWhenDropped);
    let outcome = attempt(|| drop(value));
    assert_eq!(outcome, if is_armed { Err(Panic::Planned(tag)) } else { Ok(()) });
}

/// Checks the end of a call that drops the values of `armed`: with the panic of an armed value, or without a panic if
/// `armed` is empty.
fn check_drops<R>(outcome: Result<R, Panic>, armed: &[u32]) -> Option<R> {
    match outcome {
        Ok(result) => {
            assert!(armed.is_empty(), "the panics of {armed:?} are lost");
            Some(result)
        }
        Err(Panic::Planned(tag)) if armed.contains(&tag) => None,
        Err(panic) => panic!("{panic:?} instead of a panic of {armed:?}"),
    }
}

fn armed(fields: &Fields) -> Vec<u32> {
    fields.values().filter(|held| held.is_armed()).map(|held| held.mark()).collect()
}

/// The oracle's entry for a field of this policy with this value.
fn held(value: &Value, policy: Policy) -> Held {
    let address = stays(policy).then(|| ptr::from_ref(value).addr());
    Held::Value { tag: value.tag(), address, is_armed: value.temper() == Temper::PanicsWhenDropped }
}

type Reported = [Counts; Row::COUNT];

thread_local! {
    /// The report at the end of the last world.
    static REPORTED: Cell<Option<Reported>> = const { Cell::new(None) };
}

struct World {
    places: [Option<(Host, ObjectId)>; PLACES as usize],
    oracle: RefCell<Oracle>,
    /// The report at the beginning.
    before: Reported,
    /// The last number of a raw object or a copied value; numbers are unique.
    number: Cell<u32>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            places: [const { None }; PLACES as usize],
            oracle: RefCell::new(Oracle::new()),
            before: REPORTED.take().unwrap_or_else(reported),
            number: Cell::new(0),
        };
        let kinds = [Kind::Task, Kind::Node, Kind::Owned, Kind::Raw];
        for (place, kind) in (0..).map(Place).zip(kinds) {
            world.make(place, kind);
        }
        world
    }

    fn next_number(&self) -> u32 {
        self.number.set(self.number.get() + 1);
        self.number.get()
    }

    fn perform(&mut self, operation: &Operation) {
        match *operation {
            Operation::Access(ref access) => self.access(access),
            Operation::Make(place, kind) => self.make(place, kind),
            Operation::Drop(place) => self.drop(place),
            Operation::Clone(from, to) => self.clone(from, to),
            Operation::View(from, to) => self.view(from, to),
            Operation::Swap(one, other) => self.places.swap(one.index(), other.index()),
            Operation::SwapFields(one, other) => self.swap_fields(one, other),
            Operation::Take(from, to) => self.take(from, to),
            Operation::Unwrap(place) => self.unwrap(place),
            Operation::MakeMut(place) => self.make_mut(place),
            Operation::Mutate(place, field, temper) => self.mutate(place, field, temper),
            Operation::Detach(place, field) => self.detach(place, field),
            Operation::DetachObject(place) => self.detach_object(place),
            Operation::DetachAll { field, panics } => self.detach_all(field, panics),
            Operation::Clash(place, field) => {
                if let Some((Host::Raw(object), _)) = &self.places[place.index()] {
                    assert!(raw_hosts::clash(*object, field), "a number names two types");
                }
            }
            Operation::DetachAllOfArc(place) => self.detach_all_of_arc(place),
            Operation::ListHosts => self.list_hosts(),
            Operation::Sweep => self.sweep(),
            Operation::Report => {
                self.report();
            }
        }
    }

    /// Compares the live values with the oracle.
    fn settle(&self) {
        let faults = value::faults();
        assert!(faults.is_empty(), "{faults:?}");
        let mut oracle = self.oracle.borrow_mut();
        assert!(oracle.claims.is_empty(), "no initialiser runs any more");
        oracle.settle(&value::alive());
    }

    /// Drops all hosts. Statics stay, with their fields.
    fn end(&mut self) {
        for place in (0..PLACES).map(Place) {
            self.drop(place);
            self.settle();
        }
        self.sweep();
        self.settle();
        assert_eq!(registry().sweep(), 0);
        REPORTED.set(Some(self.report()));
    }

    /// Drops all hosts after a failure, and ignores panics.
    fn abandon(&mut self) {
        IS_EXPECTED.set(false);
        for place in &mut self.places {
            let _ = catch_unwind(AssertUnwindSafe(|| match place.take() {
                Some((Host::Raw(object), _)) => drop(raw_hosts::detach_object(object)),
                Some((host, _)) => drop(host),
                None => (),
            }));
        }
        let _ = catch_unwind(|| registry().sweep());
    }

    fn make(&mut self, place: Place, kind: Kind) {
        let number = self.next_number() as usize;
        self.fill(place, Host::new(kind, number));
    }

    /// Puts a host that is a new object into a place.
    fn fill(&mut self, place: Place, host: Host) {
        self.drop(place);
        let own = host.own().map(Value::tag);
        let object = self.oracle.borrow_mut().add(host.kind(), own);
        self.places[place.index()] = Some((host, object));
    }

    /// Puts a second reference to an object into a place.
    fn fill_again(&mut self, place: Place, host: Host, id: ObjectId) {
        self.oracle.borrow_mut().object(id).places += 1;
        self.drop(place);
        self.places[place.index()] = Some((host, id));
    }

    /// Records that a place no longer refers to an object. Returns the object after the last reference.
    fn let_object_go(&self, id: ObjectId) -> Option<oracle::Object> {
        let mut oracle = self.oracle.borrow_mut();
        let object = oracle.object(id);
        object.places -= 1;
        // A static stays, and so do its fields.
        if object.places > 0 || object.kind == Kind::Fixed { None } else { oracle.objects.remove(&id) }
    }

    fn drop(&mut self, place: Place) {
        let Some((host, id)) = self.places[place.index()].take() else { return };
        match self.let_object_go(id) {
            None => drop(host),
            Some(object) if object.is_shared() => {
                drop(host);
                self.oracle.borrow_mut().bury(object);
            }
            Some(object) => {
                let outcome = match host {
                    Host::Raw(raw) => attempt(|| assert_eq!(raw_hosts::detach_object(raw), object.fields.len())),
                    host => attempt(|| drop(host)),
                };
                check_drops(outcome, &armed(&object.fields));
                self.oracle.borrow_mut().end(&object.fields);
            }
        }
    }

    fn clone(&mut self, from: Place, to: Place) {
        let Some((host, id)) = &self.places[from.index()] else { return };
        let id = *id;
        if matches!(host, Host::Task(_) | Host::Owned(_)) {
            self.clone_object(from, to);
        } else {
            let clone = host.duplicate();
            self.fill_again(to, clone, id);
        }
    }

    /// Clones a host to a new object, which carries the fields of the third declaration.
    fn clone_object(&mut self, from: Place, to: Place) {
        let Some((host, id)) = &self.places[from.index()] else { return };
        let oracle = self.oracle.get_mut();
        let carried = CARRIED.into_iter().filter_map(|policy| {
            let row = Row::new(host.kind(), Field { declaration: Declaration::Third, policy });
            oracle.held(*id, row).map(|held| (row, policy, held))
        });
        let carried: Vec<(Row, Policy, Held)> = carried.collect();
        let panics = |&(_, _, held): &(Row, Policy, Held)| matches!(held, Held::Value { tag, .. } if value::temper_of(tag) == Temper::PanicsWhenCloned);
        let first_tag = value::next_tag();
        let outcome = attempt(|| host.duplicate());
        if let Some(first) = carried.iter().position(panics) {
            assert_eq!(outcome.err(), Some(Panic::Planned(carried[first].2.mark())));
            // The clones before the panic were attached, and are gone with the unfinished host.
            for &(row, ..) in &carried[..first] {
                let counts = oracle.count(row);
                counts[0] += 1;
                counts[1] += 1;
            }
            return;
        }
        let clone = outcome.unwrap_or_else(|panic| panic!("{panic:?} without a value that panics"));
        let roots = [host, &clone].map(|host| host.own().map(|own| value::root_of(own.tag())));
        assert_eq!(roots[0], roots[1]);
        let fields: Vec<(Row, Held)> =
            carried.into_iter().map(|(row, policy, held)| (row, clone_of(&clone, policy, held, first_tag))).collect();
        self.fill(to, clone);
        let Some((_, id)) = self.places[to.index()] else { unreachable!("it has just been filled") };
        for (row, held) in fields {
            self.oracle.get_mut().put(id, row, held);
        }
    }

    fn view(&mut self, from: Place, to: Place) {
        let Some((Host::Node(node), id)) = &self.places[from.index()] else { return };
        let (named, id): (Arc<dyn hosts::Named>, _) = (node.clone(), *id);
        self.fill_again(to, Host::Named(named), id);
    }

    fn swap_fields(&mut self, one: Place, other: Place) {
        // If `one` and `other` are the same place, the place is empty now, and no swap happens.
        let mut taken = self.places[other.index()].take();
        if let (Some((Host::Task(one), one_id)), Some((Host::Task(other), other_id))) =
            (&mut self.places[one.index()], &mut taken)
        {
            mem::swap(&mut one.shadow, &mut other.shadow);
            let oracle = self.oracle.get_mut();
            let fields = mem::take(&mut oracle.object(*one_id).fields);
            oracle.object(*one_id).fields = mem::replace(&mut oracle.object(*other_id).fields, fields);
        }
        self.places[other.index()] = taken;
    }

    fn take(&mut self, from: Place, to: Place) {
        let Some((host, id)) = &mut self.places[from.index()] else { return };
        let taken = match host {
            Host::Task(task) => Host::Task(mem::take(task)),
            Host::Owned(owned) => Host::Owned(mem::take(owned)),
            _ => return,
        };
        // The taken host keeps the object's identity; the host that is left is a new object.
        let left = self.oracle.get_mut().add(host.kind(), host.own().map(Value::tag));
        let id = mem::replace(id, left);
        self.drop(to);
        self.places[to.index()] = Some((taken, id));
    }

    fn unwrap(&mut self, place: Place) {
        match self.places[place.index()].take() {
            Some((Host::Owned(owned), id)) => {
                let object = self.let_object_go(id).expect("it is its own");
                let outcome = attempt(|| shadow_runtime::Shadowed::into_inner(owned));
                if let Some(own) = check_drops(outcome, &armed(&object.fields)) {
                    assert_eq!(Some(own.tag()), object.own);
                }
                self.oracle.borrow_mut().end(&object.fields);
            }
            Some((Host::Node(node), id)) => {
                let is_last = self.oracle.borrow_mut().object(id).places == 1;
                match Arc::try_unwrap(node) {
                    Ok(node) => {
                        assert!(is_last);
                        let object = self.let_object_go(id).expect("it was the last");
                        assert_eq!(Some(node.0.tag()), object.own);
                        self.oracle.borrow_mut().bury(object);
                    }
                    Err(node) => {
                        assert!(!is_last);
                        self.places[place.index()] = Some((Host::Node(node), id));
                    }
                }
            }
            other => self.places[place.index()] = other,
        }
    }

    fn make_mut(&mut self, place: Place) {
        let Some((Host::Node(node), id)) = &mut self.places[place.index()] else { return };
        let oracle = self.oracle.get_mut();
        let before = node.0.tag();
        let tag = Arc::make_mut(node).0.tag();
        let is_last = oracle.object(*id).places == 1;
        if is_last {
            assert_eq!(tag, before, "the value moves");
            let Some(mut object) = oracle.objects.remove(id) else { unreachable!("it was there") };
            object.own = None;
            oracle.bury(object);
        } else {
            assert_eq!(value::root_of(tag), value::root_of(before), "the value is cloned");
            oracle.object(*id).places -= 1;
        }
        *id = oracle.add(Kind::Node, Some(tag));
    }

    fn mutate(&mut self, place: Place, field @ Field { declaration, policy }: Field, temper: Temper) {
        let number = self.next_number();
        let Some((host, id)) = &mut self.places[place.index()] else { return };
        let row = Row::new(host.kind(), field);
        let Some(host) = host.exclusive() else { return };
        let oracle = self.oracle.get_mut();
        let there = oracle.held(*id, row);
        if policy == Policy::Copied {
            let found = host.copied_mut(declaration);
            assert_eq!(found.as_ref().map(|small| Held::Small(small.number())), there);
            if let Some(found) = found {
                *found = Small::new(number);
                oracle.exchange(*id, row, Held::Small(number));
            }
            return;
        }
        let found = match policy {
            Policy::Once => host.once_mut(declaration),
            Policy::Made => {
                value::declare(Declared::Makes(Temper::Calm));
                let made = host.made_mut(declaration);
                assert_eq!(value::was_not_run(), there.is_some());
                if there.is_none() {
                    oracle.put(*id, row, held(made, policy));
                }
                Some(made)
            }
            _ => host.newest_mut(declaration),
        };
        let there = oracle.held(*id, row);
        assert_eq!(found.as_ref().map(|value| held(value, policy)), there);
        if let Some(found) = found {
            let previous = mem::replace(found, Value::new(temper));
            oracle.exchange(*id, row, held(found, policy));
            let_go(previous);
        }
    }

    fn detach(&mut self, place: Place, field: Field) {
        let Some((host, id)) = &mut self.places[place.index()] else { return };
        let row = Row::new(host.kind(), field);
        let detached = match host {
            Host::Raw(object) => raw_hosts::detach_raw(*object, field),
            host => match host.exclusive() {
                Some(host) => hosts::detach(host, field),
                None => return,
            },
        };
        let right = self.oracle.get_mut().detach(*id, row);
        let_detached_go(detached, right);
    }

    fn detach_object(&mut self, place: Place) {
        let Some((Host::Raw(object), id)) = self.places[place.index()] else { return };
        let oracle = self.oracle.get_mut();
        let fields = mem::take(&mut oracle.object(id).fields);
        let outcome = attempt(|| raw_hosts::detach_object(object));
        if let Some(count) = check_drops(outcome, &armed(&fields)) {
            assert_eq!(count, fields.len());
        }
        oracle.end(&fields);
    }

    /// Detaches a field from all raw objects, and first attaches the field to three further objects. Fields of the
    /// second declaration are detached by an iterator, whose steps do not panic.
    fn detach_all(&mut self, field: Field, panics: bool) {
        let row = Row::new(Kind::Raw, field);
        let others = [(); 3].map(|()| self.raw_with(field));
        let mut detached = Vec::new();
        let outcome = attempt(|| {
            let each = |object, value| {
                detached.push((object, value));
                if panics {
                    value::panic_as_planned(0);
                }
            };
            let drains = field.declaration == Declaration::Second && !panics;
            if drains { raw_hosts::drain(field, each) } else { raw_hosts::detach_all(field, each) }
        });
        match outcome {
            Ok(count) => {
                assert_eq!(count, detached.len());
                assert!(!panics || count == 0, "its panic is lost");
            }
            Err(panic) => assert!(panics && panic == Panic::Planned(0), "{panic:?}"),
        }
        // Two places may refer to the same object.
        let objects: BTreeMap<Object, ObjectId> =
            self.places.iter().flatten().filter_map(raw_object).chain(others).collect();
        assert!(detached.iter().all(|(object, _)| objects.contains_key(object)), "it is of no object that is there");
        for (object, id) in objects {
            let position = detached.iter().position(|(other, _)| *other == object);
            let found = position.map(|position| detached.swap_remove(position).1);
            let right = self.oracle.get_mut().detach(id, row);
            let_detached_go(found, right);
        }
        assert!(detached.is_empty(), "an object has a field twice");
        for (_, id) in others {
            self.oracle.get_mut().objects.remove(&id);
        }
    }

    /// Ends all fields of an `Arc` host, which is refused unless the place has the only `Arc`.
    fn detach_all_of_arc(&mut self, place: Place) {
        let Some((host, id)) = &mut self.places[place.index()] else { return };
        let oracle = self.oracle.get_mut();
        let object = oracle.object(*id);
        let is_only = object.places == 1;
        let fields = if is_only { object.fields.clone() } else { Fields::new() };
        let outcome = match host {
            Host::Node(node) => attempt(|| registry().detach_all(node)),
            Host::Named(named) => attempt(|| registry().detach_all(named)),
            Host::Text(text) => attempt(|| registry().detach_all(text)),
            _ => return,
        };
        if let Some(count) = check_drops(outcome, &armed(&fields)) {
            assert_eq!(count, is_only.then_some(fields.len()));
        }
        if is_only {
            // The table keeps the host.
            let object = oracle.object(*id);
            object.may_be_known |= !object.fields.is_empty();
            object.fields.clear();
            oracle.end(&fields);
        }
    }

    /// Compares the living `Arc` hosts of each type with the places. A host may have the type of another `Arc`, by
    /// which its first field was attached.
    fn list_hosts(&self) {
        let nodes = registry().hosts::<hosts::Node>().map(|node| Arc::as_ptr(&node).addr());
        let named = registry().hosts::<dyn hosts::Named>().map(|named| Arc::as_ptr(&named).addr());
        let texts = registry().hosts::<str>().map(|text| Arc::as_ptr(&text).addr());
        let mut listed: Vec<usize> = nodes.chain(named).chain(texts).collect();
        listed.sort_unstable();
        let oracle = self.oracle.borrow();
        let (mut must, mut may) = (Vec::new(), Vec::new());
        for (host, id) in self.places.iter().flatten() {
            let address = match host {
                Host::Node(node) => Arc::as_ptr(node).addr(),
                Host::Named(named) => Arc::as_ptr(named).addr(),
                Host::Text(text) => Arc::as_ptr(text).addr(),
                _ => continue,
            };
            may.push(address);
            must.extend((!oracle.objects[id].fields.is_empty()).then_some(address));
        }
        assert!(listed.windows(2).all(|two| two[0] != two[1]), "a host is listed twice");
        assert!(must.iter().all(|address| listed.binary_search(address).is_ok()), "a host is missing");
        assert!(listed.iter().all(|address| may.contains(address)), "a dead host is listed");
    }

    /// Makes a raw object outside of all places, with this field attached.
    fn raw_with(&mut self, field: Field) -> (Object, ObjectId) {
        let number = self.next_number();
        let object = Object(ptr::without_provenance(number as usize));
        let id = self.oracle.get_mut().add(Kind::Raw, None);
        let held = match field.policy {
            Policy::Once => {
                object.attach_once(field.declaration, Value::default()).ok().map(|it| held(it, field.policy))
            }
            Policy::Made => {
                let made = object.get_or_attach_made(field.declaration, &mut || Ok(Value::default()));
                Some(held(made, field.policy))
            }
            Policy::Newest => {
                let value = Value::default();
                let held = held(&value, field.policy);
                object.update_newest(field.declaration, value).is_none().then_some(held)
            }
            Policy::Copied => {
                let copied = object.update_copied(field.declaration, Small::new(number));
                copied.is_none().then_some(Held::Small(number))
            }
        };
        self.oracle.get_mut().put(id, Row::new(Kind::Raw, field), held.expect("nothing was there"));
        (object, id)
    }

    fn sweep(&self) {
        let mut oracle = self.oracle.borrow_mut();
        let outcome = attempt(|| registry().sweep());
        let count = check_drops(outcome, &oracle.armed_dead());
        let [least, most] = oracle.sweep();
        if let Some(count) = count {
            assert!((least..=most).contains(&count), "{count} hosts are swept, of {least} to {most} that are gone");
        }
    }

    /// Compares the report, and the `Debug` output of hosts, with the oracle.
    fn report(&self) -> Reported {
        let oracle = self.oracle.borrow();
        let now = reported();
        let [least, most] = oracle.bounds();
        for row in Row::all() {
            let [row_now, before, least, most] = [&now, &self.before, &least, &most].map(|counts| counts[row.index()]);
            let counted: Counts = std::array::from_fn(|index| row_now[index] - before[index]);
            // Usually exactly one answer is right. The comparison as a whole is a fast path: a report is compared
            // often.
            let is_right =
                counted == least || (0..4).all(|index| (least[index]..=most[index]).contains(&counted[index]));
            assert!(is_right, "{:?}: {counted:?} was counted, instead of {least:?} to {most:?}", row.names());
        }
        for (host, id) in self.places.iter().flatten() {
            let Some(printed) = host.print() else { continue };
            let names = printed.split('"').skip(1).step_by(2);
            let right: Vec<String> = oracle.objects[id].fields.keys().map(|row| row.names().1).collect();
            let mut names: Vec<&str> = names.collect();
            names.sort_by_key(|name| right.iter().position(|right| right == name));
            assert_eq!(names, right, "{printed}");
        }
        now
    }
}

/// The oracle's entry for a carried field of a clone, whose values have tags from `first_tag`.
fn clone_of(clone: &Host, policy: Policy, original: Held, first_tag: u32) -> Held {
    let Held::Value { tag, .. } = original else { return original };
    let tag = value::clone_since(first_tag, tag).expect("the value is cloned");
    let there = match policy {
        Policy::Once => clone.shared().once(Declaration::Third),
        Policy::Made => clone.shared().peek_made(Declaration::Third),
        Policy::Newest | Policy::Copied => None,
    };
    Held::Value { tag, address: there.map(|value| ptr::from_ref(value).addr()), is_armed: false }
}

fn raw_object((host, id): &(Host, ObjectId)) -> Option<(Object, ObjectId)> {
    if let Host::Raw(object) = host { Some((*object, *id)) } else { None }
}

/// Compares a detached value with the oracle, and drops the value.
fn let_detached_go(detached: Option<Detached>, right: Option<Held>) {
    match (detached, right) {
        (None, None) => (),
        (Some(Detached::Value(value)), Some(right @ Held::Value { .. })) => {
            assert_eq!(value.tag(), right.mark());
            let_go(value);
        }
        (Some(Detached::Small(small)), Some(Held::Small(number))) => assert_eq!(small.number(), number),
        (detached, right) => {
            panic!("{} is detached, instead of {right:?}", if detached.is_some() { "something" } else { "nothing" })
        }
    }
}

/// The counts of the report, by row. The process has no other fields.
fn reported() -> Reported {
    thread_local! {
        /// The known rows of the report, which keep their order.
        static KNOWN: RefCell<Vec<Row>> = const { RefCell::new(Vec::new()) };
    }
    let rows = registry().report();
    let mut reported = [[0; 4]; Row::COUNT];
    KNOWN.with_borrow_mut(|known| {
        for row in rows.iter().skip(known.len()) {
            let names = (row.host(), row.field().to_owned());
            known.push(Row::all().find(|row| row.names() == names).unwrap_or_else(|| panic!("{names:?} has a row")));
        }
        for (known, row) in known.iter().zip(&rows) {
            assert_eq!(row.live(), row.attached() - row.detached());
            reported[known.index()] = [row.attached(), row.detached(), row.updates(), row.refused()];
        }
    });
    reported
}
