//! Which number names what: one value type of one kind of id, for good.
//!
//! In: an id, when it is used. Out: the [`Kind`] that its number names, with its table, or a mismatch.
//!
//! - **J1** Once a number names a kind, it names this kind for ever, so a kind is never freed. The table of a kind has
//!   values of one type, which is part of the table's own type; so a table is given out as what it is, or not at all.
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

    /// Takes out what `object` has, which is locked, so this allocates and frees nothing.
    fn take(&self, object: usize) -> Option<NonNull<()>>;

    /// Ends what was taken out.
    ///
    /// # Safety
    ///
    /// [`take`](Self::take) has returned it for this object, and it is ended once.
    unsafe fn end(&'static self, object: usize, taken: NonNull<()>);
}

/// A kind that is in no table, and may never be.
struct New<T> {
    kind: Box<Kind>,
    values: *mut T,
    name: *mut str,
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
    /// Takes out what `object` has of this kind, which is locked, so this allocates and frees nothing.
    pub(super) fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.values.take(object)
    }

    /// Ends what was taken out.
    ///
    /// # Safety
    ///
    /// [`take`](Self::take) has returned it for this object, and it is ended once.
    pub(super) unsafe fn end(&self, object: usize, taken: NonNull<()>) {
        // SAFETY: the caller promises that these values have returned it for this object, and that it is ended once.
        unsafe { self.values.end(object, taken) };
    }

    #[inline]
    fn compare<T: Values>(&'static self, wanted: Wanted) -> Result<Known<T>, TypeMismatch> {
        match self.typed.downcast_ref() {
            Some(values) => Ok(Known { kind: self, values }),
            None => Err(TypeMismatch::new(self.number, &self.wanted, wanted)),
        }
    }
}

impl<T: Values> New<T> {
    fn make(number: u64, wanted: Wanted) -> Self {
        let values = Box::into_raw(Box::new(T::none()));
        let name = Box::into_raw(number.to_string().into_boxed_str());
        // SAFETY: it was just boxed, and is freed by `unmake` alone, after the kind that has this reference.
        let shared_values = unsafe { &*values };
        // SAFETY: as above.
        let shared_name = unsafe { &*name };
        let field = Field::declared_at(wanted.declared_at, HOST, shared_name, wanted.value_name, wanted.policy);
        let kind = Kind { number, field, wanted, values: shared_values, typed: shared_values, next: None };
        Self { kind: Box::new(kind), values, name }
    }

    /// The kind, to be put into the table, before those that have the same key.
    fn before(mut self, next: Option<&'static Kind>) -> &'static Kind {
        self.kind.next = next;
        Box::leak(self.kind)
    }

    /// Frees a kind that was put nowhere.
    fn unmake(self) {
        drop(self.kind);
        // SAFETY: `make` has boxed it, and the one kind that had a reference to it is gone.
        drop(unsafe { Box::from_raw(self.values) });
        // SAFETY: as above.
        drop(unsafe { Box::from_raw(self.name) });
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
    // Made before the shard is locked, and, if it is not needed, freed after that: the allocator may be code of the
    // user (R4).
    let new = New::<T>::make(number, wanted);
    let shard = KINDS.shard(hash).lock_with_room();
    let first = shard.find(key, hash);
    if let Some(there) = of_number(first, number) {
        drop(shard);
        new.unmake();
        return there.compare(wanted);
    }
    let kind = new.before(first.map(kind_at));
    match first {
        None => shard.insert(key, hash, NonNull::from(kind)),
        Some(_) => shard.replace(key, hash, NonNull::from(kind)),
    }
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
    // SAFETY: nothing but kinds is in the table, which by J1 are never freed.
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
