//! `&'static T` as a host: an object that stays for ever, at a fixed address.
//!
//! In: a `&'static T`. Out: the fields of that address and type, which are never dropped, so that they are `'static`.
//!
//! The key is the address and the type: a static and its first member share an address. A zero-sized `T` is refused,
//! because two of them may share one.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::{Found, ShadowFields, Unpublished};
use crate::host::{Host, Identity};
use crate::side_table::{SideTable, hash};
use crate::sync::{AtomicPtr, Ordering, shared};

shared! {
    static TABLE: SideTable<Known> = SideTable::new();
}

/// The hosts of one address, one after the other. They are never freed: what they belong to stays for ever, too, so
/// they are bounded by the number of statics (R7).
struct Known {
    object: TypeId,
    fields: ShadowFields,
    next: AtomicPtr<Known>,
}

/// What a `&'static T` refers to. There is no other way to one than [`Fixed::of`], so it stands where it stands for
/// ever, however short it is borrowed.
#[expect(missing_debug_implementations, reason = "hidden from users")]
#[repr(transparent)]
pub struct Fixed<T: 'static> {
    object: T,
}

impl<T> Fixed<T> {
    /// Takes a static for a host.
    #[inline]
    #[must_use]
    pub const fn of(object: &'static T) -> &'static Self {
        const { refuse_zero_sized::<T>() };
        // SAFETY: `Fixed<T>` is a transparent `T`, and the reference is as shared and as long as the given one.
        unsafe { &*ptr::from_ref(object).cast() }
    }

    fn key(&self) -> (usize, TypeId) {
        (ptr::from_ref(&self.object).addr(), TypeId::of::<T>())
    }
}

/// Refuses at compile time to take zero-sized objects for hosts.
///
/// # Panics
///
/// If `T` is zero-sized, which is a compile error where this is called in a constant.
pub const fn refuse_zero_sized<T>() {
    assert!(
        size_of::<T>() != 0,
        "a zero-sized static is no host: it may share its address with another; give it a member, such as a `u8`"
    );
}

/// The first of the hosts of an address, found in the table, or behind another.
fn known(pointer: Option<NonNull<Known>>) -> Option<&'static Known> {
    // SAFETY: nothing but a `Known` that is never freed is in the table, or behind another.
    pointer.map(|known| unsafe { known.as_ref() })
}

/// The one of those hosts that has this type.
fn of_type(first: Option<&'static Known>, object: TypeId) -> Option<&'static Known> {
    let mut next = first;
    while let Some(seen) = next {
        if seen.object == object {
            return Some(seen);
        }
        // Acquire: pairs with the Release of `enter`.
        next = known(NonNull::new(seen.next.load(Ordering::Acquire)));
    }
    None
}

#[cold]
fn enter((address, object): (usize, TypeId)) -> &'static Known {
    let hash = hash(address);
    // Made before the shard is locked, and, if it is not needed, freed after that: the allocator may be code of the
    // user (R4).
    let new = Box::new(Known { object, fields: ShadowFields::new(), next: AtomicPtr::new(ptr::null_mut()) });
    let shard = TABLE.shard(hash).lock_with_room();
    let first = known(shard.find(address, hash));
    if let Some(there) = of_type(first, object) {
        drop(shard);
        return there;
    }
    let new = NonNull::from(Box::leak(new));
    match first {
        None => shard.insert(address, hash, new),
        Some(first) => {
            // Relaxed: under the lock, by which alone this is stored.
            let second = first.next.load(Ordering::Relaxed);
            // SAFETY: it was just made, and nobody else has it.
            unsafe { new.as_ref() }.next.store(second, Ordering::Relaxed);
            // Release: pairs with the Acquire of `of_type`.
            first.next.store(new.as_ptr(), Ordering::Release);
        }
    }
    // SAFETY: it is never freed.
    unsafe { new.as_ref() }
}

impl<T> Fixed<T> {
    /// The fields of this host, if it has entered the table.
    #[inline]
    fn fields(&self) -> Option<&'static ShadowFields> {
        let (address, object) = self.key();
        Some(&of_type(known(TABLE.find(address)), object)?.fields)
    }
}

// SAFETY: P1 to P3 are what the `ShadowFields` promise that the table has for the address and type, which are the same
// from the first time on, since nothing is taken out.
unsafe impl<T> Host for Fixed<T> {
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
            // SAFETY: it comes from the `new_first` of these fields, and the caller says that its first cell is ready.
            Some(fields) => unsafe { fields.insert_first(new) },
            None => Err(new),
        }
    }

    fn identity(host: &Self) -> Identity {
        let (address, object) = host.key();
        Identity { address, object: Some(object) }
    }
}

/// A `&'static T` that goes by another name, such as that of a type alias, which the macros cannot see through.
/// Accessors then borrow the reference itself.
// SAFETY: the host is what it refers to, which is one.
unsafe impl<T> Host for &'static T {
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        Host::find(Fixed::of(*host))
    }

    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S {
        Host::find_or_insert(Fixed::of(*host))
    }

    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>> {
        Host::new_first(Fixed::of(*host))
    }

    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        // SAFETY: it comes from the `new_first` of this `Fixed`, and the caller says that its first cell is ready.
        unsafe { Host::insert_first(Fixed::of(*host), new) }
    }

    fn identity(host: &Self) -> Identity {
        Host::identity(Fixed::of(*host))
    }
}
