//! `&'static T` as a host: an object that stays for ever, at a fixed address.
//!
//! In: a `&'static T`. Out: the fields of that address and type, which are never dropped, so that they are `'static`.
//!
//! The key is the address and the type: a static and its first member share an address. A zero-sized `T` is refused,
//! because two of them may share one.

use std::any::TypeId;
use std::ptr;

use crate::field_set::FieldSet;
use crate::fields::ShadowFields;
use crate::host::{Host, Identity};
use crate::side_table::{AddressMap, SHARDS, SideTable};
use crate::sync::{RwLock, read, write};

type Shard = AddressMap<(usize, TypeId), &'static ShadowFields>;

static TABLE: SideTable<Shard> =
    SideTable::new([const { RwLock::new(Shard::with_hasher(std::hash::BuildHasherDefault::new())) }; SHARDS]);

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

impl<T> Host for Fixed<T> {
    fn look<S: FieldSet + 'static>(host: &Self) -> Option<&S> {
        let key = host.key();
        let fields = read(TABLE.shard(key.0)).get(&key).copied();
        fields?.look()
    }

    fn reach<S: FieldSet + 'static>(host: &Self) -> &S {
        let key = host.key();
        let shard = TABLE.shard(key.0);
        let known = read(shard).get(&key).copied();
        // Never freed: what it belongs to stays for ever, too, so this is bounded by the number of statics (R7).
        let fields = known
            .unwrap_or_else(|| *write(shard).entry(key).or_insert_with(|| Box::leak(Box::new(ShadowFields::new()))));
        fields.reach()
    }

    fn identity(host: &Self) -> Identity {
        let (address, object) = host.key();
        Identity { address, object: Some(object) }
    }
}

/// A `&'static T` that goes by another name, such as that of a type alias, which the macros cannot see through. Accessors
/// then borrow the reference itself.
impl<T> Host for &'static T {
    fn look<S: FieldSet + 'static>(host: &Self) -> Option<&S> {
        Host::look(Fixed::of(*host))
    }

    fn reach<S: FieldSet + 'static>(host: &Self) -> &S {
        Host::reach(Fixed::of(*host))
    }

    fn identity(host: &Self) -> Identity {
        Host::identity(Fixed::of(*host))
    }
}
