//! Accesses to fields through shared references, also inside of initialisers and closures of updates.
//!
//! In: an `Access` of `operation.rs`. Out: a panic if the library's result differs from the oracle's.

use std::cell::Cell;

use super::hosts::{Failed, Refusable, Row, Shared};
use super::operation::{Access, Act, Declaration, Field, Init, Kind, Next, PLACES, Place, Policy, Way};
use super::oracle::{Held, ObjectId};
use super::value::{self, Declared, Small, Temper, Value};
use super::{IS_EXPECTED, Panic, World, attempt, held, let_go};

/// A field of a host in a place.
#[derive(Clone, Copy)]
struct Target<'world> {
    access: &'world Access,
    host: &'world dyn Shared,
    kind: Kind,
    id: ObjectId,
    declaration: Declaration,
    row: Row,
}

impl Target<'_> {
    /// The name of the field in messages.
    fn field(self) -> String {
        let name = self.row.names().1;
        if self.kind == Kind::Raw { name } else { format!("`{name}`") }
    }
}

impl Act {
    fn policy(&self) -> Policy {
        match self {
            Self::Read(policy) => *policy,
            Self::Attach(_) => Policy::Once,
            Self::Make(..) => Policy::Made,
            Self::Take => Policy::Newest,
            Self::Update { copy, .. } | Self::UpdateWith { copy, .. } => {
                if *copy {
                    Policy::Copied
                } else {
                    Policy::Newest
                }
            }
        }
    }
}

impl World {
    pub(super) fn access(&self, access: &Access) {
        let Some((host, id)) = &self.places[access.place.index()] else { return };
        let (declaration, policy) = (access.declaration, access.act.policy());
        let row = Row::new(host.kind(), Field { declaration, policy });
        let target = Target { access, host: host.shared(), kind: host.kind(), id: *id, declaration, row };
        match &access.act {
            // The read below, which follows every action, executes this one.
            Act::Read(_) => (),
            Act::Attach(temper) => self.attach(target, *temper),
            Act::Make(way, init) => self.make_field(target, *way, init),
            Act::Update { copy: false, temper } => self.update::<Value>(target, *temper),
            Act::Update { copy: true, temper } => self.update::<Small>(target, *temper),
            // A detach is not refused in the closure: the closure runs again, on `None`.
            Act::Take if host.kind() == Kind::Raw && self.is_looked_at(target) => (),
            Act::Take => self.take_newest(target),
            Act::UpdateWith { copy: false, next } => self.update_with::<Value>(target, next),
            Act::UpdateWith { copy: true, next } => self.update_with::<Small>(target, next),
        }
        self.read(target, policy);
    }

    /// Reads every field of every host.
    pub(super) fn read_all(&self) {
        for place in (0..PLACES).map(Place) {
            for declaration in [Declaration::First, Declaration::Second, Declaration::Third] {
                for policy in [Policy::Once, Policy::Made, Policy::Newest, Policy::Copied] {
                    self.access(&Access { place, declaration, act: Act::Read(policy) });
                }
            }
        }
    }

    fn there(&self, target: Target<'_>) -> Option<Held> {
        self.oracle.borrow().held(target.id, target.row)
    }

    fn put(&self, target: Target<'_>, held: Held) {
        self.oracle.borrow_mut().put(target.id, target.row, held);
    }

    fn read(&self, target: Target<'_>, policy: Policy) {
        let Target { host, declaration, .. } = target;
        let there = self.there(target);
        match policy {
            Policy::Once => assert_eq!(host.once(declaration).map(|value| held(value, policy)), there),
            Policy::Made => assert_eq!(host.peek_made(declaration).map(|value| held(value, policy)), there),
            Policy::Newest => match (attempt(|| host.newest(declaration)), there) {
                (Ok(None), None) => (),
                // The clone is a second value with the same root.
                (Ok(Some(clone)), Some(Held::Value { tag, .. })) => {
                    assert!(clone.tag() != tag && value::root_of(clone.tag()) == value::root_of(tag));
                    assert!(!self.panics_when_cloned(target), "the panic of `Clone` is lost");
                }
                (Err(panic), Some(Held::Value { tag, .. })) => {
                    assert!(self.panics_when_cloned(target));
                    assert_eq!(panic, Panic::Planned(tag));
                }
                (found, there) => panic!("{found:?} is read, instead of {there:?}"),
            },
            Policy::Copied => {
                let small = host.copied(declaration).map(|small| Held::Small(small.number()));
                assert_eq!(small, there);
            }
        }
    }

    fn panics_when_cloned(&self, target: Target<'_>) -> bool {
        self.there(target).is_some_and(|held| value::temper_of(held.mark()) == Temper::PanicsWhenCloned)
    }

    fn attach(&self, target: Target<'_>, temper: Temper) {
        let value = Value::new(temper);
        let tag = value.tag();
        let attached = target.host.attach_once(target.declaration, value);
        match (attached, self.there(target)) {
            (Ok(attached), None) => {
                assert_eq!(attached.tag(), tag);
                self.put(target, held(attached, Policy::Once));
            }
            (Err(refused), Some(there)) => {
                assert_eq!(refused.value.tag(), tag, "what is refused is handed back");
                assert_eq!((refused.host, refused.field.to_owned()), target.row.names());
                let_go(refused.value);
                self.oracle.borrow_mut().count(target.row)[3] += 1;
                let first = target.host.once(target.declaration).map(|value| held(value, Policy::Once));
                assert_eq!(first, Some(there), "the first is untouched");
            }
            (attached, there) => panic!("it is {} attached, where {there:?} is", attached.map_or("not", |_| "")),
        }
    }

    /// Requests a `get_or_attach` field.
    fn make_field(&self, target: Target<'_>, way: Way, init: &Init) {
        let Target { host, declaration, id, row, .. } = target;
        let there = self.there(target);
        let is_claimed = self.oracle.borrow().claims.contains(&(id, row));
        let runs = Cell::new(0);
        let mut initialiser = || {
            runs.set(runs.get() + 1);
            self.initialise(target, way, init)
        };
        if way == Way::Declared {
            value::declare(match init {
                Init::Panics => Declared::Panics,
                Init::Makes(temper) => Declared::Makes(*temper),
                _ => Declared::Makes(Temper::Calm),
            });
        }
        IS_EXPECTED.set(is_claimed);
        let outcome = attempt(|| match way {
            Way::Declared => Ok(host.made(declaration)),
            Way::Given => Ok(host.get_or_attach_made(declaration, &mut initialiser)),
            Way::Fallible => host.get_or_try_attach_made(declaration, &mut initialiser),
        });
        IS_EXPECTED.set(false);
        if way == Way::Declared && !value::was_not_run() {
            runs.set(1);
        }
        let runs_right = usize::from(there.is_none() && !is_claimed);
        assert_eq!(runs.get(), runs_right, "how often the initialiser has run");
        match outcome {
            Ok(Ok(made)) => {
                let made = held(made, Policy::Made);
                match there {
                    Some(there) => assert_eq!(made, there),
                    None => self.put(target, made),
                }
            }
            Ok(Err(Failed)) => assert!(runs_right == 1 && matches!(init, Init::Fails)),
            Err(Panic::Planned(tag)) => {
                assert_eq!((runs_right, tag), (1, 0));
                assert!(matches!(init, Init::Panics) || (way == Way::Given && matches!(init, Init::Fails)));
            }
            Err(Panic::Message(message)) => {
                assert!(is_claimed, "{message}");
                assert!(message.contains(&target.field()), "{message} names the field");
            }
        }
        // The field holds exactly the expected value.
        let now = host.peek_made(declaration).map(|value| held(value, Policy::Made));
        assert_eq!(now, self.there(target));
    }

    /// The body of an initialiser that is not the declared one.
    fn initialise(&self, target: Target<'_>, way: Way, init: &Init) -> Result<Value, Failed> {
        match init {
            Init::Makes(temper) => return Ok(Value::new(*temper)),
            Init::Fails if way == Way::Fallible => return Err(Failed),
            Init::Fails | Init::Panics => value::panic_as_planned(0),
            Init::AsksItself | Init::Uses(_) => (),
        }
        let again = Access { act: Act::Make(Way::Given, Init::Makes(Temper::Calm)), ..target.access.clone() };
        self.oracle.borrow_mut().claims.push((target.id, target.row));
        self.access(if let Init::Uses(access) = init { access } else { &again });
        self.oracle.borrow_mut().claims.pop();
        Ok(Value::new(Temper::Calm))
    }

    /// Whether the closure of an update of the field is running.
    fn is_looked_at(&self, target: Target<'_>) -> bool {
        self.oracle.borrow().looks.contains(&(target.id, target.row))
    }

    /// Checks that the library refuses an update inside of a closure of the same field.
    fn is_refused<R>(target: Target<'_>, update: impl FnOnce() -> R) {
        IS_EXPECTED.set(true);
        let outcome = attempt(update);
        IS_EXPECTED.set(false);
        let Err(Panic::Message(message)) = outcome else { panic!("an update by its own closure is not refused") };
        assert!(message.contains(&target.field()), "{message} names the field");
    }

    /// Checks the previous value that an update returns.
    fn check_previous<V: Replaced>(&self, target: Target<'_>, previous: Option<&V>) {
        assert_eq!(previous.map(V::held), self.there(target));
    }

    fn update<V: Replaced>(&self, target: Target<'_>, temper: Temper) {
        let value = V::new(self, temper);
        if self.is_looked_at(target) {
            return Self::is_refused(target, || V::update(target, value));
        }
        let new = value.held();
        let previous = V::update(target, value);
        self.check_previous(target, previous.as_ref());
        self.put(target, new);
        if let Some(previous) = previous {
            previous.let_go();
        }
    }

    fn take_newest(&self, target: Target<'_>) {
        let take = || target.host.take_newest(target.declaration);
        if self.is_looked_at(target) {
            return Self::is_refused(target, take);
        }
        let taken = take();
        self.check_previous(target, taken.as_ref());
        if self.oracle.borrow_mut().detach(target.id, target.row).is_some() {
            // The table keeps the host.
            self.oracle.borrow_mut().object(target.id).may_be_known = true;
        }
        if let Some(taken) = taken {
            let_go(taken);
        }
    }

    fn update_with<V: Replaced>(&self, target: Target<'_>, next: &Next) {
        let may_refuse = matches!(next, Next::Refuses | Next::UsesAndRefuses(_));
        let update_with = |next: &mut dyn FnMut(Option<&V>) -> Result<V, Failed>| {
            if may_refuse {
                V::try_update_with(target, next)
            } else {
                Ok(V::update_with(target, &mut |last| next(last).expect("it does not refuse")))
            }
        };
        if self.is_looked_at(target) {
            return Self::is_refused(target, || update_with(&mut |_| unreachable!("the closure is run")));
        }
        let temper = if let Next::Makes(temper) = next { *temper } else { Temper::Calm };
        let runs = Cell::new(0);
        let made = Cell::new(None);
        let outcome = attempt(|| {
            update_with(&mut |last| {
                runs.set(runs.get() + 1);
                let there = self.there(target);
                assert_eq!(last.map(V::held), there, "what the closure sees");
                self.oracle.borrow_mut().looks.push((target.id, target.row));
                match next {
                    Next::Interferes => self.update::<V>(target, Temper::Calm),
                    Next::Uses(access) | Next::UsesAndRefuses(access) => self.access(access),
                    Next::Panics | Next::Makes(_) | Next::Refuses => (),
                }
                self.oracle.borrow_mut().looks.pop();
                if let Next::Panics = next {
                    value::panic_as_planned(0);
                }
                if may_refuse {
                    return Err(Failed);
                }
                let value = V::new(self, temper);
                made.set(Some(value.held()));
                Ok(value)
            })
        });
        assert_eq!(runs.get(), 1, "how often the closure has run");
        match outcome {
            Ok(Err(Failed)) => {
                assert!(may_refuse);
                self.oracle.borrow_mut().object(target.id).may_be_known = true;
            }
            Ok(Ok(previous)) => {
                assert!(!may_refuse && !matches!(next, Next::Panics), "the end of the closure is lost");
                self.check_previous(target, previous.as_ref());
                self.put(target, made.get().expect("the closure has run"));
                if let Some(previous) = previous {
                    previous.let_go();
                }
            }
            Err(panic) => {
                assert!(matches!(next, Next::Panics));
                assert_eq!(panic, Panic::Planned(0));
                self.oracle.borrow_mut().object(target.id).may_be_known = true;
            }
        }
    }
}

/// A value of a replaceable field, `get_or_update` or `get_or_update(copy)`.
trait Replaced: Sized {
    fn new(world: &World, temper: Temper) -> Self;
    fn held(&self) -> Held;
    fn let_go(self);
    fn update(target: Target<'_>, value: Self) -> Option<Self>;
    fn update_with(target: Target<'_>, next: &mut dyn FnMut(Option<&Self>) -> Self) -> Option<Self>;
    fn try_update_with(target: Target<'_>, next: Refusable<'_, Self>) -> Result<Option<Self>, Failed>;
}

impl Replaced for Value {
    fn new(_: &World, temper: Temper) -> Self {
        Self::new(temper)
    }

    fn held(&self) -> Held {
        held(self, Policy::Newest)
    }

    fn let_go(self) {
        let_go(self);
    }

    fn update(target: Target<'_>, value: Self) -> Option<Self> {
        target.host.update_newest(target.declaration, value)
    }

    fn update_with(target: Target<'_>, next: &mut dyn FnMut(Option<&Self>) -> Self) -> Option<Self> {
        target.host.update_newest_with(target.declaration, next)
    }

    fn try_update_with(target: Target<'_>, next: Refusable<'_, Self>) -> Result<Option<Self>, Failed> {
        target.host.try_update_newest_with(target.declaration, next)
    }
}

impl Replaced for Small {
    fn new(world: &World, _: Temper) -> Self {
        Self::new(world.next_number())
    }

    fn held(&self) -> Held {
        Held::Small(self.number())
    }

    fn let_go(self) {}

    fn update(target: Target<'_>, value: Self) -> Option<Self> {
        target.host.update_copied(target.declaration, value)
    }

    fn update_with(target: Target<'_>, next: &mut dyn FnMut(Option<&Self>) -> Self) -> Option<Self> {
        target.host.update_copied_with(target.declaration, next)
    }

    fn try_update_with(target: Target<'_>, next: Refusable<'_, Self>) -> Result<Option<Self>, Failed> {
        target.host.try_update_copied_with(target.declaration, next)
    }
}
