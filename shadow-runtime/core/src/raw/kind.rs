//! The kinds: the value type and the sort of id that a number names, once and for ever.
//!
//! In: an id, at a use. Out: the [`Kind`] that the id's number names, with the kind's table; or a mismatch. Neighbours:
//! `id.rs` and `update_id.rs`, the callers; `once.rs` and `newest.rs`, the two sorts of tables.
//!
//! - **J1** Once a number names a kind, it names this kind for ever, so a kind is never freed. The table of a kind has
//!   values of one type, which is part of the table's own type. So a lookup returns the table with its exact type, or a
//!   mismatch.
//!
//! Kinds are in a side table, so a lookup takes no lock (R10). No kind is ever removed, so T5 (`side_table/shard.rs`)
//! holds. The side table has fewer keys than numbers exist. Kinds whose numbers share a key form a linked list, which
//! grows at its head alone.

use std::any::{Any, type_name};
use std::fmt;
use std::panic::Location;
use std::ptr::NonNull;

use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::registry::Field;
use crate::side_table::{NOBODY, SideTable, hash};
use crate::sync::shared;

/// The host type of a raw field in the registry.
const HOST: &str = "*const ()";

shared! {
    static KINDS: SideTable<Kind> = SideTable::new();
}

/// The meaning of a number.
pub(super) struct Kind {
    pub(super) number: u64,
    pub(super) field: Field,
    wanted: Wanted,
    values: &'static dyn Values,
    /// The pointer of `values`, for the downcast to the exact type.
    typed: &'static (dyn Any + Send + Sync),
    /// The next kind whose number has the same key.
    next: Option<&'static Self>,
}

/// The fields of one kind, of all objects; a trait object without the value type.
pub(super) trait Values: Send + Sync + 'static {
    fn none() -> Self
    where
        Self: Sized;

    /// Removes and returns the value of `object`. The caller holds the object's lock, so `take` does not allocate or
    /// free.
    fn take(&self, object: usize) -> Option<NonNull<()>>;

    /// Ends a value that was taken out.
    ///
    /// # Safety
    ///
    /// [`take`](Self::take) has returned `taken` for this object, and the caller ends `taken` once.
    unsafe fn end(&'static self, object: usize, taken: NonNull<()>);
}

/// A kind that is not published yet, and that may be freed unpublished. The raw pointers own the table and the name.
struct New<T> {
    kind: Box<Kind>,
    values: *mut T,
    name: *mut str,
}

/// A kind, and its table with the exact type.
pub(super) struct Known<T: 'static> {
    pub(super) kind: &'static Kind,
    pub(super) values: &'static T,
}

/// The type that an id expects of its number.
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
    /// Removes and returns the value of `object`. The caller holds the object's lock, so `take` does not allocate or
    /// free.
    pub(super) fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.values.take(object)
    }

    /// Ends a value that was taken out.
    ///
    /// # Safety
    ///
    /// [`take`](Self::take) has returned `taken` for this object, and the caller ends `taken` once.
    pub(super) unsafe fn end(&self, object: usize, taken: NonNull<()>) {
        // SAFETY: the caller promises that `take`, so `self.values`, has returned `taken` for this object, and ends it
        // once.
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
        // SAFETY: the pointer comes from a box. Only `unmake` frees the box, after the drop of the kind with this
        // reference.
        let shared_values = unsafe { &*values };
        // SAFETY: the pointer comes from a box. Only `unmake` frees the box, after the drop of the kind with this
        // reference.
        let shared_name = unsafe { &*name };
        let field = Field::declared_at(wanted.declared_at, HOST, shared_name, wanted.value_name, wanted.policy);
        let kind = Kind { number, field, wanted, values: shared_values, typed: shared_values, next: None };
        Self { kind: Box::new(kind), values, name }
    }

    /// Leaks the kind, as the new head of the list of kinds with the same key.
    fn before(mut self, next: Option<&'static Kind>) -> &'static Kind {
        self.kind.next = next;
        Box::leak(self.kind)
    }

    /// Frees a kind that was not published.
    fn unmake(self) {
        drop(self.kind);
        // SAFETY: `make` has boxed the table, and the drop above has ended the only kind with a reference to the table.
        drop(unsafe { Box::from_raw(self.values) });
        // SAFETY: `make` has boxed the name, and the drop above has ended the only kind with a reference to the name.
        drop(unsafe { Box::from_raw(self.name) });
    }
}

/// The kind that `number` names, or `None` if the number is not bound yet.
#[inline]
pub(super) fn known<T: Values>(number: u64, wanted: Wanted) -> Result<Option<Known<T>>, TypeMismatch> {
    let known = of_number(KINDS.find(key_of(number)), number);
    known.map(|known| known.compare(wanted)).transpose()
}

/// The kind that `number` names. Binds the number if the number is not bound yet.
///
/// A kind is never freed, since a number names one type for ever (J1). So the allocations grow with the count of
/// numbers that a program uses.
pub(super) fn name<T: Values>(number: u64, wanted: Wanted) -> Result<Known<T>, TypeMismatch> {
    if let Some(known) = known(number, wanted)? {
        return Ok(known);
    }
    let key = key_of(number);
    let hash = hash(key);
    // Allocated before the shard's lock, and freed after the unlock if a second thread has bound the number: the
    // allocator may be user code (R4).
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

/// The key of a number, from 1 to `NOBODY - 1`. Numbers with a common key are nearly `usize::MAX` apart, so small
/// numbers, and the highest numbers, have distinct keys.
#[inline]
fn key_of(number: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "less than `NOBODY`")]
    let key = (number % (NOBODY as u64 - 1)) as usize;
    // The key 0 is reserved, too: a slot that was never filled has the key 0.
    key + 1
}

#[inline]
fn kind_at(pointer: NonNull<Kind>) -> &'static Kind {
    // SAFETY: the table has pointers to kinds alone, and by J1 a kind is never freed.
    unsafe { pointer.as_ref() }
}

/// The kind of this number, in the list of kinds with the number's key.
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

    /// A lookup walks the list of kinds with a common key, so common numbers need keys of their own.
    #[test]
    fn the_first_numbers_and_the_last_have_keys_of_their_own() {
        let numbers = (0..1000).chain(u64::MAX - 1001..u64::MAX - 1);
        let keys: BTreeSet<_> = numbers.map(key_of).collect();
        assert_eq!(keys.len(), 2000);
        assert!(!keys.contains(&NOBODY) && !keys.contains(&0));
        assert_eq!([key_of(u64::MAX - 1), key_of(u64::MAX)], [key_of(0), key_of(1)], "two are left that have to");
    }
}
