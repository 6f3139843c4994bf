//! Which number names what: one value type of one kind of id, for good.
//!
//! In: an id, when it is used. Out: the [`Kind`] that its number names, or a mismatch.
//!
//! **Invariant K**: a number, once it names a kind, names it for ever. Everything attached under that number is of the
//! kind's value type, because `table::insert` takes the kind, and only [`name`] and [`known`] give one out, after they
//! have compared the types.
#![forbid(unsafe_code)]

use std::any::{TypeId, type_name};
use std::fmt;
use std::hash::BuildHasherDefault;
use std::panic::Location;

use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::raw::shards::AddressMap;
use crate::registry::Field;
use crate::sync::{RwLock, read, write};

/// What the registry calls the host of a raw field.
const HOST: &str = "*const ()";

static KINDS: RwLock<AddressMap<u64, &'static Kind>> = RwLock::new(AddressMap::with_hasher(BuildHasherDefault::new()));

/// What a number names.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) number: u64,
    pub(super) field: Field,
    wanted: Wanted,
}

/// What an id takes its number to name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    value: TypeId,
    value_name: &'static str,
    policy: Policy,
    declared_at: &'static Location<'static>,
}

impl Wanted {
    pub(super) fn new<V: 'static>(policy: Policy, declared_at: &'static Location<'static>) -> Self {
        Self { value: TypeId::of::<V>(), value_name: type_name::<V>(), policy, declared_at }
    }

    fn is(&self, other: &Self) -> bool {
        self.value == other.value && self.policy == other.policy
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.policy == Policy::GetOrUpdate { "UpdateId" } else { "Id" };
        write!(formatter, "{kind}<{}>", self.value_name)
    }
}

impl Kind {
    pub(super) fn names(&self) -> &Wanted {
        &self.wanted
    }
}

/// The kind that `number` names, if it names one yet.
pub(super) fn known(number: u64, wanted: Wanted) -> Result<Option<&'static Kind>, TypeMismatch> {
    let known = read(&KINDS).get(&number).copied();
    known.map(|known| compare(known, wanted)).transpose()
}

/// The kind that `number` names from now on at the latest.
///
/// It is never freed, since a number names one thing for good; so this grows by the numbers that a program uses.
pub(super) fn name(number: u64, wanted: Wanted) -> Result<&'static Kind, TypeMismatch> {
    if let Some(known) = known(number, wanted)? {
        return Ok(known);
    }
    let known = *write(&KINDS).entry(number).or_insert_with(|| {
        let name = Box::leak(number.to_string().into_boxed_str());
        let field = Field::declared_at(wanted.declared_at, HOST, name, wanted.value_name, wanted.policy);
        Box::leak(Box::new(Kind { number, field, wanted }))
    });
    compare(known, wanted)
}

fn compare(known: &'static Kind, wanted: Wanted) -> Result<&'static Kind, TypeMismatch> {
    if known.wanted.is(&wanted) { Ok(known) } else { Err(TypeMismatch::new(known.number, known, wanted)) }
}
