//! Which number names what: one value type of one kind of id, for good.
//!
//! In: an id, when it is used. Out: the [`Kind`] that its number names, with its table, or a mismatch.
//!
//! **Invariant K**: a number, once it names a kind, names it for ever, so a kind is never freed. Its table has values of
//! one type, which is part of the table's own; so a table is only given out as what it is, or not at all.
//!
//! Kinds are in a side table, so finding one takes no lock (R10). None is ever taken out of it, which makes T5
//! (`side_table/shard.rs`) easy. Its keys have fewer values than numbers have: those that have a key in common are in a
//! list, which only gets longer, at its head.

use std::any::{Any, type_name};
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;

use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::registry::Field;
use crate::side_table::{NOBODY, SideTable, hash};
use crate::sync::shared;

/// What the registry calls the host of a raw field.
const HOST: &str = "*const ()";

shared! {
    static KINDS: SideTable<Kind> = SideTable::new();
}

/// What a number names.
pub(super) struct Kind {
    pub(super) number: u64,
    pub(super) field: Field,
    wanted: Wanted,
    values: &'static dyn Values,
    /// The same, to be asked for its type.
    typed: &'static (dyn Any + Send + Sync),
    /// A kind whose number has the same key.
    next: Option<&'static Self>,
}

/// The fields of one kind, of all objects.
pub(super) trait Values: Send + Sync + 'static {
    fn none() -> Self
    where
        Self: Sized;

    /// Takes out what `object` has, which is locked. It ends when it is dropped.
    fn take(&'static self, object: usize) -> Option<Box<dyn Any>>;
}

/// A kind, and its values as what they are.
pub(super) struct Known<T: 'static> {
    pub(super) kind: &'static Kind,
    pub(super) values: &'static T,
}

/// What an id takes its number to name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    value_name: &'static str,
    policy: Policy,
    declared_at: &'static Location<'static>,
}

impl Wanted {
    pub(super) fn new<V: 'static>(policy: Policy, declared_at: &'static Location<'static>) -> Self {
        Self { value_name: type_name::<V>(), policy, declared_at }
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.policy == Policy::GetOrUpdate { "UpdateId" } else { "Id" };
        write!(formatter, "{kind}<{}>", self.value_name)
    }
}

impl Kind {
    /// Takes out what `object` has of this kind, which is locked. It ends when it is dropped.
    pub(super) fn take(&self, object: usize) -> Option<Box<dyn Any>> {
        self.values.take(object)
    }

    #[inline]
    fn compare<T: Values>(&'static self, wanted: Wanted) -> Result<Known<T>, TypeMismatch> {
        match self.typed.downcast_ref() {
            Some(values) => Ok(Known { kind: self, values }),
            None => Err(TypeMismatch::new(self.number, &self.wanted, wanted)),
        }
    }

    fn of<T: Values>(number: u64, wanted: Wanted, next: Option<&'static Self>) -> &'static Self {
        let values: &T = Box::leak(Box::new(T::none()));
        let name = Box::leak(number.to_string().into_boxed_str());
        let field = Field::declared_at(wanted.declared_at, HOST, name, wanted.value_name, wanted.policy);
        Box::leak(Box::new(Self { number, field, wanted, values, typed: values, next }))
    }
}

/// The kind that `number` names, if it names one yet.
#[inline]
pub(super) fn known<T: Values>(number: u64, wanted: Wanted) -> Result<Option<Known<T>>, TypeMismatch> {
    let known = of_number(KINDS.find(key_of(number)), number);
    known.map(|known| known.compare(wanted)).transpose()
}

/// The kind that `number` names from now on at the latest.
///
/// It is never freed, since a number names one thing for good; so this grows by the numbers that a program uses.
pub(super) fn name<T: Values>(number: u64, wanted: Wanted) -> Result<Known<T>, TypeMismatch> {
    if let Some(known) = known(number, wanted)? {
        return Ok(known);
    }
    let key = key_of(number);
    let hash = hash(key);
    let mut shard = KINDS.shard(hash).lock();
    let first = shard.find(key, hash);
    let kind = of_number(first, number).unwrap_or_else(|| {
        let new = Kind::of::<T>(number, wanted, first.map(kind_at));
        match first {
            None => shard.insert(key, hash, NonNull::from(new)),
            Some(_) => shard.replace(key, hash, NonNull::from(new)),
        }
        new
    });
    drop(shard);
    kind.compare(wanted)
}

/// Of the numbers that have a key in common, here the first and the last, most are apart.
#[inline]
fn key_of(number: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "less than `NOBODY`")]
    let key = (number % (NOBODY as u64 - 1)) as usize;
    // Nobody looks for 0, either.
    key + 1
}

#[inline]
fn kind_at(pointer: NonNull<Kind>) -> &'static Kind {
    // SAFETY: nothing but kinds is in the table, which by K are never freed.
    unsafe { pointer.as_ref() }
}

/// The one of the kinds of a key that has this number.
#[inline]
fn of_number(first: Option<NonNull<Kind>>, number: u64) -> Option<&'static Kind> {
    let mut next = first.map(kind_at);
    while let Some(kind) = next {
        if kind.number == number {
            break;
        }
        next = kind.next;
    }
    next
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;

    use super::{NOBODY, key_of};

    /// Those that have one in common are looked through one after the other.
    #[test]
    fn the_first_numbers_and_the_last_have_keys_of_their_own() {
        let numbers = (0..1000).chain(u64::MAX - 1001..u64::MAX - 1);
        let keys: BTreeSet<_> = numbers.map(key_of).collect();
        assert_eq!(keys.len(), 2000);
        assert!(!keys.contains(&NOBODY) && !keys.contains(&0));
        assert_eq!([key_of(u64::MAX - 1), key_of(u64::MAX)], [key_of(0), key_of(1)], "two are left that have to");
    }
}
