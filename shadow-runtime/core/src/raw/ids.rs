//! Registrations: the value type and the sort of id that a number names, once and for ever.
//!
//! In: an id, at a use. Out: the [`Registration`] that the id's number names, with the table; or a mismatch.
//! Neighbours: `id.rs`, `update_id.rs` and `pointer_id.rs`, the callers; `write_once.rs`, `update_table.rs` and
//! `pointer_table.rs`, the sorts of tables.
//!
//! - **J1** Once a number names a registration, it names this registration for ever, so a registration is never freed.
//!   The table of a registration has values of one type, which is part of the table's own type. So a lookup returns the
//!   table with its exact type, or a mismatch.
//!
//! Registrations are in a side table, so a lookup takes no lock (R10). No registration is ever removed, so T5
//! (`side_table/mod.rs`) holds. The side table has fewer keys than numbers exist. Registrations whose numbers share a
//! key form a linked list, which grows at its head alone.
//!
//! Most programs use a few small numbers. So a lookup first tries a shortcut, which saves the lookup in the side table.
//! With the shortcut, and with the type of the table compared inline, a lookup of a `PointerId` takes 57 instructions,
//! and 144 without; row 26 of `compare` needs both:
//!
//! - **J3** A shortcut is null, or points to a registration in the side table. A shortcut that is not null never
//!   changes.

use std::alloc::{Layout, handle_alloc_error};
use std::any::{TypeId, type_name};
use std::fmt;
use std::panic::Location;
use std::ptr::{self, NonNull};

use crate::fallible::{OutOfMemory, try_box, try_copy, try_digits};
use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::raw::objects::{self, Taken};
use crate::raw::table::Cursor;
use crate::registry::Field;
use crate::side_table::{DELETED_KEY, SideTable, hash};
use crate::sync::{AtomicPtr, Ordering, array_of, shared};

/// The host type of a raw field in the registry.
const HOST: &str = "*const ()";

/// The number of shortcuts.
const SHORTCUTS: usize = if cfg!(loom) { 1 } else { 256 };

shared! {
    static REGISTRATIONS: SideTable<Registration> = SideTable::new();
}

shared! {
    /// At index `n`, the first registration in the process whose number is `n` modulo `SHORTCUTS` (J3).
    static FIRST_BY_NUMBER: [AtomicPtr<Registration>; SHORTCUTS] =
        array_of!(SHORTCUTS, AtomicPtr::new(ptr::null_mut()));
}

/// The meaning of a number.
pub(super) struct Registration {
    pub(super) number: u64,
    pub(super) field: Field,
    id_type: IdType,
    pub(super) table: &'static dyn ErasedTable,
    /// The type of `table`. `Any` would make an indirect call in each lookup.
    table_type: TypeId,
    /// The next registration whose number has the same key.
    next: Option<&'static Self>,
}

/// The values of one number, without the value type.
pub(super) trait ErasedTable: Send + Sync + 'static {
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
    unsafe fn destroy(&'static self, object: usize, taken: NonNull<()>);

    /// The next object of a walk over the table: see [`Table::next_object`](super::table::Table::next_object).
    fn next_object(&self, cursor: &mut Cursor) -> Option<usize>;
}

/// The values of one number, with the value type.
pub(super) trait ValueTable: ErasedTable {
    type Value;

    /// A value that was taken out; or a clone, if readers may be cloning the value.
    ///
    /// # Safety
    ///
    /// As of [`destroy`](ErasedTable::destroy): the call ends `taken`.
    unsafe fn value_of(&'static self, object: usize, taken: NonNull<()>) -> Self::Value;
}

/// A registration that is not published yet, and that may be freed unpublished. The raw pointers own the table and the
/// name.
struct UnpublishedRegistration<T> {
    registration: Box<Registration>,
    table: *mut T,
    name: *mut str,
}

/// A registration, and its table with the exact type.
pub(super) struct Typed<T: 'static> {
    pub(super) registration: &'static Registration,
    pub(super) table: &'static T,
}

/// The type that an id expects of its number.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdType {
    /// `Id`, `UpdateId` or `PointerId`.
    kind: &'static str,
    value_name: &'static str,
    value_size: usize,
    /// The name of the id.
    name: Option<&'static str>,
    policy: Policy,
    declared_at: &'static Location<'static>,
}

impl IdType {
    pub(super) fn new<V: 'static>(
        kind: &'static str,
        policy: Policy,
        name: Option<&'static str>,
        declared_at: &'static Location<'static>,
    ) -> Self {
        Self { kind, value_name: type_name::<V>(), value_size: size_of::<V>(), name, policy, declared_at }
    }

    pub(super) fn name(&self) -> Option<&'static str> {
        self.name
    }
}

impl fmt::Display for IdType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}<{}>", self.kind, self.value_name)
    }
}

impl Registration {
    #[inline]
    fn compare<T: ErasedTable>(&'static self, id_type: impl FnOnce() -> IdType) -> Result<Typed<T>, TypeMismatch> {
        self.typed().ok_or_else(|| self.mismatch(id_type))
    }

    /// The registration with the exact type of the table, if this type is `T`.
    #[inline]
    pub(super) fn typed<T: ErasedTable>(&'static self) -> Option<Typed<T>> {
        if self.table_type != TypeId::of::<T>() {
            return None;
        }
        // SAFETY: `try_new` has stored the type of the table, and this type is `T`. So the table is a `T`, and the
        // reference has the provenance of the whole table.
        let table = unsafe { &*ptr::from_ref(self.table).cast::<T>() };
        Some(Typed { registration: self, table })
    }

    #[cold]
    fn mismatch(&'static self, id_type: impl FnOnce() -> IdType) -> TypeMismatch {
        TypeMismatch::new(self.number, &self.id_type, id_type())
    }
}

impl<T: ValueTable> Typed<T> {
    /// Detaches the field of `object`, and returns the value; or a clone, if readers may be cloning the value. Takes
    /// the object's lock and a shard's lock for a moment.
    pub(super) fn detach(&self, object: usize) -> Option<T::Value> {
        objects::lock(object).take(self.registration).map(Taken::into_value::<T>)
    }
}

impl<T: ErasedTable> UnpublishedRegistration<T> {
    fn try_new(number: u64, id_type: IdType) -> Result<Self, OutOfMemory> {
        let name = id_type.name.map_or_else(|| try_digits(number), try_copy)?;
        let (table, name) = (Box::into_raw(try_box(T::none())?), Box::into_raw(name));
        // SAFETY: the pointer comes from a box. Only `free_parts` frees the box, after the drop of the registration
        // with this reference.
        let shared_table = unsafe { &*table };
        // SAFETY: the pointer comes from a box. Only `free_parts` frees the box, after the drop of the registration
        // with this reference.
        let shared_name = unsafe { &*name };
        let IdType { declared_at, value_name, value_size, policy, .. } = id_type;
        let field = Field::of_raw(number, declared_at, HOST, shared_name, value_name, policy, value_size);
        let registration =
            Registration { number, field, id_type, table: shared_table, table_type: TypeId::of::<T>(), next: None };
        match try_box(registration) {
            Ok(registration) => Ok(Self { registration, table, name }),
            Err(none) => {
                // SAFETY: the lines above have boxed the two, and `try_box` has dropped the registration.
                unsafe { Self::free_parts(table, name) };
                Err(none)
            }
        }
    }

    /// Leaks the registration, as the new head of the list of registrations with the same key.
    fn leak_before(mut self, next: Option<&'static Registration>) -> &'static Registration {
        self.registration.next = next;
        Box::leak(self.registration)
    }

    /// Frees a registration that was not published.
    fn free(self) {
        drop(self.registration);
        // SAFETY: `try_new` has boxed the two, and the drop above has ended the only registration with references to
        // them.
        unsafe { Self::free_parts(self.table, self.name) };
    }

    /// Frees the table and the name of a registration.
    ///
    /// # Safety
    ///
    /// The pointers come from boxes, and no registration refers to them any more.
    unsafe fn free_parts(table: *mut T, name: *mut str) {
        // SAFETY: by the contract.
        drop(unsafe { Box::from_raw(table) });
        // SAFETY: by the contract.
        drop(unsafe { Box::from_raw(name) });
    }
}

/// The registration that `number` names, or `None` if the number is not bound yet.
/// Calls `id_type` on a mismatch alone.
#[inline]
pub(super) fn find<T: ErasedTable>(
    number: u64,
    id_type: impl FnOnce() -> IdType,
) -> Result<Option<Typed<T>>, TypeMismatch> {
    let known = follow_shortcut(number).or_else(|| find_in_table(number));
    known.map(|known| known.compare(id_type)).transpose()
}

/// As [`find`], but returns `None` as well if the number has no shortcut, and on a mismatch.
#[inline]
pub(super) fn find_by_shortcut<T: ErasedTable>(number: u64) -> Option<Typed<T>> {
    follow_shortcut(number).and_then(Registration::typed)
}

/// The registration of a number, if a shortcut leads there.
#[inline]
fn follow_shortcut(number: u64) -> Option<&'static Registration> {
    // Acquire: pairs with the Release CAS in `bind`.
    let first = NonNull::new(shortcut(number).load(Ordering::Acquire))?;
    // SAFETY: by J3 the pointer comes from the table.
    Some(unsafe { registration_at(first) }).filter(|known| known.number == number)
}

/// The shortcut that may lead to the registration of a number.
#[inline]
fn shortcut(number: u64) -> &'static AtomicPtr<Registration> {
    #[expect(clippy::cast_possible_truncation, reason = "less than `SHORTCUTS`")]
    let index = (number % SHORTCUTS as u64) as usize;
    &FIRST_BY_NUMBER[index]
}

/// As [`find`], without a shortcut.
#[cold]
#[inline(never)]
fn find_in_table(number: u64) -> Option<&'static Registration> {
    // SAFETY: the pointer comes from the table.
    let first = REGISTRATIONS.find(key_of(number)).map(|first| unsafe { registration_at(first) });
    find_number(first, number)
}

/// The registration that `number` names. Binds the number if the number is not bound yet.
///
/// A registration is never freed, since a number names one type for ever (J1). So the allocations grow with the count
/// of numbers that a program uses.
///
/// Without memory, ends the process.
pub(super) fn register<T: ErasedTable>(number: u64, id_type: IdType) -> Result<Typed<T>, TypeMismatch> {
    try_register(number, id_type).unwrap_or_else(|_| handle_alloc_error(Layout::new::<Registration>()))
}

/// As [`register`], with an outer error if there is no memory.
pub(super) fn try_register<T: ErasedTable>(
    number: u64,
    id_type: IdType,
) -> Result<Result<Typed<T>, TypeMismatch>, OutOfMemory> {
    match find(number, || id_type).transpose() {
        Some(known) => Ok(known),
        None => bind(number, id_type),
    }
}

/// Binds a number that was not bound a moment ago.
#[cold]
fn bind<T: ErasedTable>(number: u64, id_type: IdType) -> Result<Result<Typed<T>, TypeMismatch>, OutOfMemory> {
    let key = key_of(number);
    let hash = hash(key);
    // Allocated before the shard's lock, and freed after the unlock if a second thread has bound the number: the
    // allocator may be user code (R4).
    let new = UnpublishedRegistration::<T>::try_new(number, id_type)?;
    let shard = match REGISTRATIONS.shard(hash).try_lock_with_room() {
        Ok(shard) => shard,
        Err(none) => {
            new.free();
            return Err(none);
        }
    };
    // SAFETY: the pointer comes from the table.
    let first = shard.find(key, hash).map(|first| unsafe { registration_at(first) });
    if let Some(there) = find_number(first, number) {
        drop(shard);
        new.free();
        return Ok(there.compare(|| id_type));
    }
    let registration = new.leak_before(first);
    match first {
        None => shard.insert(key, hash, NonNull::from(registration)),
        Some(_) => shard.replace(key, hash, NonNull::from(registration)),
    }
    // Release: pairs with the Acquire load in `find`, which then sees the registration initialised. On failure, the
    // shortcut leads to an earlier registration.
    let _ = shortcut(number).compare_exchange(
        ptr::null_mut(),
        ptr::from_ref(registration).cast_mut(),
        Ordering::Release,
        Ordering::Relaxed,
    );
    Ok(registration.compare(|| id_type))
}

/// The key of a number, from 1 to `DELETED_KEY - 1`. Numbers with a common key are nearly `usize::MAX` apart, so small
/// numbers, and the highest numbers, have distinct keys.
#[inline]
fn key_of(number: u64) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "less than `DELETED_KEY`")]
    let key = (number % (DELETED_KEY as u64 - 1)) as usize;
    // The key 0 is reserved, too: a slot that was never filled has the key 0.
    key + 1
}

/// The registration of a pointer.
///
/// # Safety
///
/// The pointer comes from [`REGISTRATIONS`].
#[inline]
unsafe fn registration_at(pointer: NonNull<Registration>) -> &'static Registration {
    // SAFETY: by the contract the pointer is that of a registration, and by J1 a registration is never freed.
    unsafe { pointer.as_ref() }
}

/// The registration of this number, in the list of registrations with the number's key.
#[inline]
fn find_number(first: Option<&'static Registration>, number: u64) -> Option<&'static Registration> {
    let mut next = first;
    while let Some(registration) = next {
        if registration.number == number {
            break;
        }
        next = registration.next;
    }
    next
}

#[cfg(all(test, not(loom), target_pointer_width = "64"))]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::Location;

    use super::*;
    use crate::fewer::fewer;
    use crate::raw::write_once::WriteOnceTable;

    /// A lookup walks the list of registrations with a common key, so common numbers need keys of their own. With 32
    /// bits, there are fewer keys: the last numbers share keys with the first.
    #[test]
    fn the_first_numbers_and_the_last_have_keys_of_their_own() {
        const HALF: u64 = fewer(1000, 100) as u64;
        let numbers = (0..HALF).chain(u64::MAX - 1 - HALF..u64::MAX - 1);
        let keys: BTreeSet<_> = numbers.map(key_of).collect();
        assert_eq!(keys.len() as u64, 2 * HALF);
        assert!(!keys.contains(&DELETED_KEY) && !keys.contains(&0));
        assert_eq!([key_of(u64::MAX - 1), key_of(u64::MAX)], [key_of(0), key_of(1)], "two are left that have to");
    }

    #[test]
    fn numbers_with_a_common_shortcut_have_registrations_of_their_own() {
        let id_type = || IdType::new::<u8>("Id", Policy::GetOrAttach, None, Location::caller());
        for number in (0..3).map(|index| 0xB0F7 + index * SHORTCUTS as u64) {
            assert!(find::<WriteOnceTable<u8>>(number, id_type).expect("not bound").is_none());
            let bound = register::<WriteOnceTable<u8>>(number, id_type()).expect("not bound");
            assert!(!shortcut(number).load(Ordering::Relaxed).is_null());
            let found = find::<WriteOnceTable<u8>>(number, id_type).expect("the same type").expect("bound");
            for known in [found].into_iter().chain(find_by_shortcut(number)) {
                assert!(ptr::eq(known.registration, bound.registration) && ptr::eq(known.table, bound.table));
            }
            assert!(find::<WriteOnceTable<u16>>(number, id_type).is_err());
            assert!(find_by_shortcut::<WriteOnceTable<u16>>(number).is_none());
        }
    }
}
