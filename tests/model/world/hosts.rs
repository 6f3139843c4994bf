//! Hosts of every kind, with the same fields on each.
//!
//! In: a host, a declaration and an action. Out: the result of the library's accessor. Invariant: this module does not
//! know the expected result; `oracle.rs` does.

use std::sync::{Arc, Mutex, PoisonError};

use shadow_runtime::{AlreadyAttached, Shadow, ShadowFields, Shadowed, shadow};

use super::operation::{Declaration, Field, Kind, Policy};
use super::raw_hosts::Object;
use super::value::{Small, Value, declared};

#[derive(Shadow, Clone, Debug, Default)]
#[shadow_field(attach first_once: Value)]
#[shadow_field(get_or_attach first_made: Value = declared())]
#[shadow_field(get_or_update first_newest: Value)]
#[shadow_field(get_or_update(copy) first_copied: Small)]
pub(crate) struct Task {
    pub(crate) own: Value,
    pub(crate) shadow: ShadowFields,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Node(pub(crate) Value);

pub(crate) trait Named: Send + Sync {
    fn own(&self) -> &Value;
}

impl Named for Node {
    fn own(&self) -> &Value {
        &self.0
    }
}

pub(crate) struct Config(#[expect(dead_code, reason = "it is not empty, and so has an address of its own")] u64);

macro_rules! first {
    ($trait:ident for $host:ty) => {
        shadow! {
            trait $trait for $host {
                attach first_once: Value;
                get_or_attach first_made: Value = declared();
                get_or_update first_newest: Value;
                get_or_update(copy) first_copied: Small;
            }
        }
    };
}

macro_rules! second {
    ($($head:tt)*) => {
        shadow! {
            $($head)* {
                get_or_attach second_made: Value = declared();
                get_or_update(copy) second_copied: Small;
                attach second_once: Value;
                get_or_update second_newest: Value;
            }
        }
    };
}

macro_rules! third {
    ([$($attribute:tt)*] $($head:tt)*) => {
        shadow! {
            $($head)* {
                $($attribute)* get_or_update third_newest: Value;
                $($attribute)* attach third_once: Value;
                $($attribute)* get_or_update(copy) third_copied: Small;
                $($attribute)* get_or_attach third_made: Value = declared();
            }
        }
    };
    ($($head:tt)*) => {
        third!([] $($head)*);
    };
}

/// The policies of the third declaration, in order: a clone of a host with its own fields carries these fields.
pub(crate) const CARRIED: [Policy; 4] = [Policy::Newest, Policy::Once, Policy::Copied, Policy::Made];

second!(impl Task);
third!([#[shadow(clone)]] trait TaskThird for Task);

first!(OwnedFirst for Shadowed<Value>);
second!(trait OwnedSecond for Shadowed<Value>);
third!([#[shadow(clone)]] trait OwnedThird for Shadowed<Value>);

first!(NodeFirst for Arc<Node>);
second!(trait NodeSecond for Arc<Node>);
first!(NamedFirst for Arc<dyn Named>);
second!(trait NamedSecond for Arc<dyn Named>);
first!(TextFirst for Arc<str>);
second!(trait TextSecond for Arc<str>);
// One generic declaration for all `Arc` hosts: an object has the same fields, whatever the type of the `Arc`.
third!(trait SharedThird<T: ?Sized + Send + Sync + 'static> for Arc<T>);

first!(FixedFirst for &'static Config);
second!(trait FixedSecond for &'static Config);
third!(trait FixedThird for &'static Config);

/// The number of a field's row in the report. All `Arc` hosts share the rows of the third declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row(u8);

/// The hosts' names in the library's messages and reports.
const HOSTS: [&str; 8] =
    ["Task", "Shadowed<Value>", "Arc<Node>", "Arc<dyn Named>", "Arc<str>", "&'static Config", "*const ()", "Arc<T>"];

/// The number of fields of a host.
const FIELDS: u8 = 12;

impl Row {
    pub(crate) const COUNT: usize = HOSTS.len() * FIELDS as usize;

    pub(crate) fn new(kind: Kind, field: Field) -> Self {
        let is_shared = matches!(kind, Kind::Node | Kind::Named | Kind::Text);
        let host = if is_shared && field.declaration == Declaration::Third { 7 } else { kind as u8 };
        Self(host * FIELDS + number_of(field))
    }

    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The names of the host and the field in the library's messages and reports.
    pub(crate) fn names(self) -> (&'static str, String) {
        let (host, field) = (self.0 / FIELDS, self.0 % FIELDS);
        let name = if host == Kind::Raw as u8 {
            (field + 1).to_string()
        } else {
            let declaration = ["first", "second", "third"][usize::from(field / 4)];
            let policy = ["once", "made", "newest", "copied"][usize::from(field % 4)];
            format!("{declaration}_{policy}")
        };
        (HOSTS[usize::from(host)], name)
    }

    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..).take(Self::COUNT).map(Self)
    }
}

/// The index of a field in the order of the declarations, which also determines the number of a raw field.
pub(super) fn number_of(Field { declaration, policy }: Field) -> u8 {
    4 * declaration as u8 + policy as u8
}

/// A refused value, with the names in the error.
pub(crate) struct Refused {
    pub(crate) value: Value,
    pub(crate) host: &'static str,
    pub(crate) field: &'static str,
}

pub(super) fn refused(error: AlreadyAttached<Value>) -> Refused {
    let (host, field) = (error.host(), error.field());
    let words = format!("shadow field `{field}` is already attached to this `{host}`");
    assert_eq!(error.to_string(), words);
    Refused { value: error.into_value(), host, field }
}

/// The error of a failing initialiser.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed;

pub(crate) type Initialiser<'a> = &'a mut dyn FnMut() -> Result<Value, Failed>;

/// The closure of an update, which may refuse.
pub(crate) type Refusable<'a, V> = &'a mut dyn FnMut(Option<&V>) -> Result<V, Failed>;

/// The shared accessors of every host, with the declaration as a parameter.
pub(crate) trait Shared {
    fn once(&self, declaration: Declaration) -> Option<&Value>;
    fn attach_once(&self, declaration: Declaration, value: Value) -> Result<&Value, Refused>;
    fn made(&self, declaration: Declaration) -> &Value;
    fn peek_made(&self, declaration: Declaration) -> Option<&Value>;
    /// `init` must not fail.
    fn get_or_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> &Value;
    fn get_or_try_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> Result<&Value, Failed>;
    fn newest(&self, declaration: Declaration) -> Option<Value>;
    fn update_newest(&self, declaration: Declaration, value: Value) -> Option<Value>;
    fn update_newest_with(
        &self,
        declaration: Declaration,
        next: &mut dyn FnMut(Option<&Value>) -> Value,
    ) -> Option<Value>;
    fn try_update_newest_with(
        &self,
        declaration: Declaration,
        next: Refusable<'_, Value>,
    ) -> Result<Option<Value>, Failed>;
    fn take_newest(&self, declaration: Declaration) -> Option<Value>;
    fn copied(&self, declaration: Declaration) -> Option<Small>;
    fn update_copied(&self, declaration: Declaration, value: Small) -> Option<Small>;
    fn update_copied_with(
        &self,
        declaration: Declaration,
        next: &mut dyn FnMut(Option<&Small>) -> Small,
    ) -> Option<Small>;
    fn try_update_copied_with(
        &self,
        declaration: Declaration,
        next: Refusable<'_, Small>,
    ) -> Result<Option<Small>, Failed>;
}

/// The accessors of hosts that can be borrowed mutably.
pub(crate) trait Exclusive {
    fn once_mut(&mut self, declaration: Declaration) -> Option<&mut Value>;
    fn made_mut(&mut self, declaration: Declaration) -> &mut Value;
    fn newest_mut(&mut self, declaration: Declaration) -> Option<&mut Value>;
    fn copied_mut(&mut self, declaration: Declaration) -> Option<&mut Small>;
    fn detach_once(&mut self, declaration: Declaration) -> Option<Value>;
    fn detach_made(&mut self, declaration: Declaration) -> Option<Value>;
    fn detach_newest(&mut self, declaration: Declaration) -> Option<Value>;
    fn detach_copied(&mut self, declaration: Declaration) -> Option<Small>;
}

/// Selects an expression by the declaration.
macro_rules! one_of {
    ($declaration:ident: $first:expr, $second:expr, $third:expr) => {
        match $declaration {
            Declaration::First => $first,
            Declaration::Second => $second,
            Declaration::Third => $third,
        }
    };
}

macro_rules! shared {
    ($($host:ty),*) => {$(
        impl Shared for $host {
            fn once(&self, declaration: Declaration) -> Option<&Value> {
                one_of!(declaration: self.first_once(), self.second_once(), self.third_once())
            }

            fn attach_once(&self, declaration: Declaration, value: Value) -> Result<&Value, Refused> {
                one_of!(
                    declaration:
                    self.attach_first_once(value),
                    self.attach_second_once(value),
                    self.attach_third_once(value)
                )
                .map_err(refused)
            }

            fn made(&self, declaration: Declaration) -> &Value {
                one_of!(declaration: self.first_made(), self.second_made(), self.third_made())
            }

            fn peek_made(&self, declaration: Declaration) -> Option<&Value> {
                one_of!(declaration: self.peek_first_made(), self.peek_second_made(), self.peek_third_made())
            }

            fn get_or_attach_made(&self, declaration: Declaration, init: Initialiser<'_>) -> &Value {
                let init = || init().expect("it does not fail");
                one_of!(
                    declaration:
                    self.get_or_attach_first_made(init),
                    self.get_or_attach_second_made(init),
                    self.get_or_attach_third_made(init)
                )
            }

            fn get_or_try_attach_made(
                &self,
                declaration: Declaration,
                init: Initialiser<'_>,
            ) -> Result<&Value, Failed> {
                one_of!(
                    declaration:
                    self.get_or_try_attach_first_made(init),
                    self.get_or_try_attach_second_made(init),
                    self.get_or_try_attach_third_made(init)
                )
            }

            fn newest(&self, declaration: Declaration) -> Option<Value> {
                one_of!(declaration: self.first_newest(), self.second_newest(), self.third_newest())
            }

            fn update_newest(&self, declaration: Declaration, value: Value) -> Option<Value> {
                one_of!(
                    declaration:
                    self.update_first_newest(value),
                    self.update_second_newest(value),
                    self.update_third_newest(value)
                )
            }

            fn update_newest_with(
                &self,
                declaration: Declaration,
                next: &mut dyn FnMut(Option<&Value>) -> Value,
            ) -> Option<Value> {
                one_of!(
                    declaration:
                    self.update_first_newest_with(next),
                    self.update_second_newest_with(next),
                    self.update_third_newest_with(next)
                )
            }

            fn try_update_newest_with(
                &self,
                declaration: Declaration,
                next: Refusable<'_, Value>,
            ) -> Result<Option<Value>, Failed> {
                one_of!(
                    declaration:
                    self.try_update_first_newest_with(next),
                    self.try_update_second_newest_with(next),
                    self.try_update_third_newest_with(next)
                )
            }

            fn take_newest(&self, declaration: Declaration) -> Option<Value> {
                one_of!(
                    declaration:
                    self.take_first_newest(),
                    self.take_second_newest(),
                    self.take_third_newest()
                )
            }

            fn copied(&self, declaration: Declaration) -> Option<Small> {
                one_of!(declaration: self.first_copied(), self.second_copied(), self.third_copied())
            }

            fn update_copied(&self, declaration: Declaration, value: Small) -> Option<Small> {
                one_of!(
                    declaration:
                    self.update_first_copied(value),
                    self.update_second_copied(value),
                    self.update_third_copied(value)
                )
            }

            fn update_copied_with(
                &self,
                declaration: Declaration,
                next: &mut dyn FnMut(Option<&Small>) -> Small,
            ) -> Option<Small> {
                one_of!(
                    declaration:
                    self.update_first_copied_with(next),
                    self.update_second_copied_with(next),
                    self.update_third_copied_with(next)
                )
            }

            fn try_update_copied_with(
                &self,
                declaration: Declaration,
                next: Refusable<'_, Small>,
            ) -> Result<Option<Small>, Failed> {
                one_of!(
                    declaration:
                    self.try_update_first_copied_with(next),
                    self.try_update_second_copied_with(next),
                    self.try_update_third_copied_with(next)
                )
            }
        }
    )*};
}

macro_rules! exclusive {
    ($($host:ty),*) => {$(
        impl Exclusive for $host {
            fn once_mut(&mut self, declaration: Declaration) -> Option<&mut Value> {
                one_of!(declaration: self.first_once_mut(), self.second_once_mut(), self.third_once_mut())
            }

            fn made_mut(&mut self, declaration: Declaration) -> &mut Value {
                one_of!(declaration: self.first_made_mut(), self.second_made_mut(), self.third_made_mut())
            }

            fn newest_mut(&mut self, declaration: Declaration) -> Option<&mut Value> {
                one_of!(declaration: self.first_newest_mut(), self.second_newest_mut(), self.third_newest_mut())
            }

            fn copied_mut(&mut self, declaration: Declaration) -> Option<&mut Small> {
                one_of!(declaration: self.first_copied_mut(), self.second_copied_mut(), self.third_copied_mut())
            }

            fn detach_once(&mut self, declaration: Declaration) -> Option<Value> {
                one_of!(declaration: self.detach_first_once(), self.detach_second_once(), self.detach_third_once())
            }

            fn detach_made(&mut self, declaration: Declaration) -> Option<Value> {
                one_of!(declaration: self.detach_first_made(), self.detach_second_made(), self.detach_third_made())
            }

            fn detach_newest(&mut self, declaration: Declaration) -> Option<Value> {
                one_of!(
                    declaration: self.detach_first_newest(), self.detach_second_newest(), self.detach_third_newest()
                )
            }

            fn detach_copied(&mut self, declaration: Declaration) -> Option<Small> {
                one_of!(
                    declaration: self.detach_first_copied(), self.detach_second_copied(), self.detach_third_copied()
                )
            }
        }
    )*};
}

shared!(Task, Shadowed<Value>, Arc<Node>, Arc<dyn Named>, Arc<str>, &'static Config);
exclusive!(Task, Shadowed<Value>);

/// The value of a detached field.
pub(crate) enum Detached {
    Value(Value),
    Small(Small),
}

/// Calls `detach_f`.
pub(crate) fn detach(host: &mut dyn Exclusive, Field { declaration, policy }: Field) -> Option<Detached> {
    match policy {
        Policy::Once => host.detach_once(declaration).map(Detached::Value),
        Policy::Made => host.detach_made(declaration).map(Detached::Value),
        Policy::Newest => host.detach_newest(declaration).map(Detached::Value),
        Policy::Copied => host.detach_copied(declaration).map(Detached::Small),
    }
}

/// A new static object, which is never freed.
fn new_static() -> &'static Config {
    /// Keeps all static objects reachable for a leak sanitizer.
    static ALL: Mutex<Vec<&'static Config>> = Mutex::new(Vec::new());
    let config: &'static Config = Box::leak(Box::new(Config(0)));
    ALL.lock().unwrap_or_else(PoisonError::into_inner).push(config);
    config
}

/// A host of any kind.
pub(crate) enum Host {
    Task(Task),
    Owned(Shadowed<Value>),
    Node(Arc<Node>),
    Named(Arc<dyn Named>),
    Text(Arc<str>),
    Fixed(&'static Config),
    Raw(Object),
}

impl Host {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Task(_) => Kind::Task,
            Self::Owned(_) => Kind::Owned,
            Self::Node(_) => Kind::Node,
            Self::Named(_) => Kind::Named,
            Self::Text(_) => Kind::Text,
            Self::Fixed(_) => Kind::Fixed,
            Self::Raw(_) => Kind::Raw,
        }
    }

    /// Makes a host. `number` is the address of a raw object, which no code dereferences.
    pub(crate) fn new(kind: Kind, number: usize) -> Self {
        match kind {
            Kind::Task => Self::Task(Task::default()),
            Kind::Owned => Self::Owned(Shadowed::default()),
            Kind::Node => Self::Node(Arc::default()),
            Kind::Named => Self::Named(Arc::new(Node::default())),
            Kind::Text => Self::Text(Arc::from("text")),
            Kind::Fixed => Self::Fixed(new_static()),
            Kind::Raw => Self::Raw(Object(std::ptr::without_provenance(number))),
        }
    }

    pub(crate) fn duplicate(&self) -> Self {
        match self {
            Self::Task(task) => Self::Task(task.clone()),
            Self::Owned(owned) => Self::Owned(owned.clone()),
            Self::Node(node) => Self::Node(Arc::clone(node)),
            Self::Named(named) => Self::Named(Arc::clone(named)),
            Self::Text(text) => Self::Text(Arc::clone(text)),
            Self::Fixed(fixed) => Self::Fixed(fixed),
            Self::Raw(object) => Self::Raw(*object),
        }
    }

    pub(crate) fn shared(&self) -> &dyn Shared {
        match self {
            Self::Task(task) => task,
            Self::Owned(owned) => owned,
            Self::Node(node) => node,
            Self::Named(named) => named,
            Self::Text(text) => text,
            Self::Fixed(fixed) => fixed,
            Self::Raw(object) => object,
        }
    }

    pub(crate) fn exclusive(&mut self) -> Option<&mut dyn Exclusive> {
        match self {
            Self::Task(task) => Some(task),
            Self::Owned(owned) => Some(owned),
            _ => None,
        }
    }

    /// The value that the host itself holds.
    pub(crate) fn own(&self) -> Option<&Value> {
        match self {
            Self::Task(task) => Some(&task.own),
            Self::Owned(owned) => Some(owned),
            Self::Node(node) => Some(&node.0),
            Self::Named(named) => Some(named.own()),
            Self::Text(_) | Self::Fixed(_) | Self::Raw(_) => None,
        }
    }

    /// The `Debug` output of a host that embeds its fields.
    pub(crate) fn print(&self) -> Option<String> {
        match self {
            Self::Task(task) => Some(format!("{:?}", task.shadow)),
            Self::Owned(owned) => Some(format!("{owned:?}")),
            _ => None,
        }
    }
}
