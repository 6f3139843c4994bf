//! `&'static T` as a host: a permanent object at a fixed address.
//!
//! In: a `&'static T`. Out: the fields of the address and type. The fields are never dropped, so references to values
//! are `'static`. Neighbours: `fields/mod.rs`, the fields of one static; `side_table/mod.rs`, the table of statics.
//!
//! The key is the address and the type: a static and its first member share an address. A zero-sized `T` is refused,
//! because two zero-sized statics may share an address.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::{Found, ShadowFields, Unpublished};
use crate::host::Host;
use crate::identity::Identity;
use crate::side_table::{SideTable, hash};
use crate::sync::{AtomicPtr, Ordering, shared};

shared! {
    static TABLE: SideTable<Registered> = SideTable::new();
}

/// The hosts of one address, as a linked list. An entry is never freed, as its object is never freed. So the number of
/// statics bounds the memory (R7).
struct Registered {
    object: TypeId,
    fields: ShadowFields,
    next: AtomicPtr<Registered>,
}

/// The target of a `&'static T`. [`StaticHost::of`] is the only constructor, so the address of a `StaticHost` is valid
/// for ever, even if the borrow of the `StaticHost` is short.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(transparent)]
pub struct StaticHost<T: 'static> {
    object: T,
}

impl<T> StaticHost<T> {
    /// A static as a host.
    #[inline]
    #[must_use]
    pub const fn of(object: &'static T) -> &'static Self {
        const { refuse_zero_sized::<T>() };
        // SAFETY: `StaticHost<T>` is `repr(transparent)` over `T`. Lifetime and mutability of the reference do not
        // change.
        unsafe { &*ptr::from_ref(object).cast() }
    }

    fn key(&self) -> (usize, TypeId) {
        (ptr::from_ref(&self.object).addr(), TypeId::of::<T>())
    }
}

/// Refuses zero-sized hosts at compile time.
///
/// # Panics
///
/// If `T` is zero-sized. A call in a constant turns the panic into a compile error.
pub const fn refuse_zero_sized<T>() {
    assert!(
        size_of::<T>() != 0,
        "a zero-sized static is no host: it may share its address with another; give it a member, such as a `u8`"
    );
}

/// The entry of a pointer.
///
/// # Safety
///
/// The pointer comes from [`TABLE`], or from an Acquire load of `next` of an entry.
unsafe fn registered(pointer: Option<NonNull<Registered>>) -> Option<&'static Registered> {
    // SAFETY: by the contract `enter` has stored the pointer, after the initialisation, and no `Registered` is ever
    // freed.
    pointer.map(|entry| unsafe { entry.as_ref() })
}

/// The entry of this type in a linked list.
fn of_type(first: Option<&'static Registered>, object: TypeId) -> Option<&'static Registered> {
    let mut next = first;
    while let Some(seen) = next {
        if seen.object == object {
            return Some(seen);
        }
        // Acquire: pairs with the Release of `enter`.
        // SAFETY: the pointer comes from an Acquire load of `next`.
        next = unsafe { registered(NonNull::new(seen.next.load(Ordering::Acquire))) };
    }
    None
}

#[cold]
fn enter((address, object): (usize, TypeId)) -> &'static Registered {
    let hash = hash(address);
    // Allocated before the lock of the shard. A surplus allocation is freed after the unlock, since the global
    // allocator may be user code (R4).
    let new = Box::new(Registered { object, fields: ShadowFields::new(), next: AtomicPtr::new(ptr::null_mut()) });
    let shard = TABLE.shard(hash).lock_with_room();
    // SAFETY: the pointer comes from the table.
    let first = unsafe { registered(shard.find(address, hash)) };
    if let Some(there) = of_type(first, object) {
        drop(shard);
        return there;
    }
    let new = NonNull::from(Box::leak(new));
    match first {
        None => shard.insert(address, hash, new),
        Some(first) => {
            // Relaxed: the lock of the shard guards all stores of `next`.
            let second = first.next.load(Ordering::Relaxed);
            // SAFETY: the allocation is live, and only shared references to it are made.
            unsafe { new.as_ref() }.next.store(second, Ordering::Relaxed);
            // Release: publishes the new entry; pairs with the Acquire of `of_type`.
            first.next.store(new.as_ptr(), Ordering::Release);
        }
    }
    // SAFETY: no `Registered` is ever freed.
    unsafe { new.as_ref() }
}

impl<T> StaticHost<T> {
    /// The fields of this host, if the table has the host.
    #[inline]
    fn fields(&self) -> Option<&'static ShadowFields> {
        let (address, object) = self.key();
        // SAFETY: the pointer comes from the table.
        let first = unsafe { registered(TABLE.find(address)) };
        Some(&of_type(first, object)?.fields)
    }
}

// SAFETY: the table has one `ShadowFields` for each address and type, and never removes an entry. So P1 to P3 hold by
// the functions of `ShadowFields`.
unsafe impl<T> Host for StaticHost<T> {
    #[inline]
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        host.fields()?.find()
    }

    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S {
        host.fields().unwrap_or_else(|| &enter(host.key()).fields).find_or_insert()
    }

    #[inline]
    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>> {
        host.fields()?.new_first()
    }

    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        match host.fields() {
            // SAFETY: by the contract `new` comes from `new_first` of this host, so of these fields, and its first cell
            // is ready.
            Some(fields) => unsafe { fields.insert_first(new) },
            None => Err(new),
        }
    }

    fn identity(host: &Self) -> Identity {
        let (address, object) = host.key();
        Identity { address, type_id: Some(object) }
    }
}

/// For a declaration that names the type `&'static T` by an alias. The macros do not see through the alias, so an
/// accessor borrows the variable with the reference, and returns a `&V` instead of a `&'static V`.
// SAFETY: the host is the target of the reference, for which P1 to P3 hold.
unsafe impl<T> Host for &'static T {
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        Host::find(StaticHost::of(*host))
    }

    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S {
        Host::find_or_insert(StaticHost::of(*host))
    }

    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>> {
        Host::new_first(StaticHost::of(*host))
    }

    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        // SAFETY: by the contract `new` comes from `new_first` of this `StaticHost`, and its first cell is ready.
        unsafe { Host::insert_first(StaticHost::of(*host), new) }
    }

    fn identity(host: &Self) -> Identity {
        Host::identity(StaticHost::of(*host))
    }
}
