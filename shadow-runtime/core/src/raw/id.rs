//! `raw::Id<V>`: write-once fields of any address.
//!
//! In: an address and a value, or an initialiser. Out: `&V`, for as long as the caller promises. Neighbours: `once.rs`,
//! the values; `kind.rs`, the types that numbers name; `claim.rs`, the claims.
//!
//! An attach first claims the place (`claim.rs`), as a `get_or_attach` cell does. So an initialiser runs once and under
//! no lock, and no attach intervenes.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use crate::claim::{Claim, Place, Record};
use crate::error::AlreadyAttached;
use crate::host::SweepDeferred;
use crate::policy::Policy;
use crate::raw::kind::{self, Known, Wanted};
use crate::raw::once::{Once, Onces};
use crate::raw::{AttachError, InitError, TypeMismatch};

/// A number that names a field of any object, and the type of the field's write-once values.
///
/// See [the module](super) for the promises of the caller.
///
/// ```
/// use std::sync::Mutex;
/// use shadow_runtime::raw;
///
/// const PS_LOCK: raw::Id<Mutex<()>> = raw::Id::new(1);
/// assert_eq!(PS_LOCK.to_string(), "raw id 1");
/// ```
pub struct Id<V> {
    number: u64,
    declared_at: &'static Location<'static>,
    value: PhantomData<fn() -> V>,
}

impl<V> Id<V> {
    /// Names a field by a number. The number is bound to the type by the first attach, not by this call.
    ///
    /// ```
    /// const SIZE: shadow_runtime::raw::Id<usize> = shadow_runtime::raw::Id::new(7);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn new(number: u64) -> Self {
        Self { number, declared_at: Location::caller(), value: PhantomData }
    }
}

impl<V: Send + Sync + 'static> Id<V> {
    /// The value of this field of `object`. Takes no lock, and allocates no memory.
    ///
    /// ```
    /// const SIZE: shadow_runtime::raw::Id<usize> = shadow_runtime::raw::Id::new(1);
    ///
    /// // SAFETY: nothing is attached.
    /// assert_eq!(unsafe { SIZE.get(std::ptr::null()) }.unwrap(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`. See [the module](super#what-the-caller-promises).
    pub unsafe fn get<'a>(self, object: *const ()) -> Result<Option<&'a V>, TypeMismatch> {
        // The type check comes before the lookup, so a mismatch is an error for any object.
        let known = self.known()?;
        // SAFETY: the caller promises that the field is not detached during `'a`, as `find` requires.
        Ok(known.and_then(|known| unsafe { known.find(object.addr()) }).map(|once| &once.value))
    }

    /// Attaches `value` to `object`, unless the object has this field. A refusal logs a warning with the places of both
    /// attaches.
    ///
    /// Allocates, locks for a moment, and waits for a running initialiser of this field of `object`. Of racing threads,
    /// one attaches.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// unsafe {
    ///     assert_eq!(SIZE.attach(key, 8).unwrap(), &8);
    ///     assert_eq!(SIZE.attach(key, 9).unwrap_err().into_value(), 9);
    ///     assert_eq!(SIZE.detach(key).unwrap(), Some(8));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the field is attached already, or its number names another type or kind. Both errors hand the value back.
    ///
    /// # Panics
    ///
    /// If an initialiser of this field of `object` calls `attach`, itself or through a cycle of waiting threads.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn attach<'a>(self, object: *const (), value: V) -> Result<&'a V, AttachError<V>> {
        let place = Location::caller();
        let refuse = |value, mismatch: TypeMismatch| AttachError::TypeMismatch(mismatch.refusing(value));
        if let Err(mismatch) = self.known() {
            return Err(refuse(value, mismatch));
        }
        let record = Record::new(Place::Raw { object: object.addr(), id: self.number });
        // SAFETY: the caller promises that the field is not detached during `'a`, as `claim` requires.
        let claim = match unsafe { self.claim(object, &record) } {
            Ok(claim) => claim,
            Err(first) => {
                let error = AlreadyAttached::refuse(first.field, value, first.place, place);
                return Err(AttachError::AlreadyAttached(error));
            }
        };
        // SAFETY: the claim is held, and `claim` found no value; the field is not detached during `'a`.
        let attached = unsafe { self.put(object, value, place) };
        drop(claim);
        attached.map_err(|(value, mismatch)| refuse(value, mismatch))
    }

    /// The value of this field of `object`; on a miss, attaches the result of `init`.
    ///
    /// Of racing threads, one runs its initialiser at a time; after a success, no thread runs an initialiser. No lock
    /// is held during `init`. If `init` fails or panics, the field stays empty, and the next caller runs its own
    /// `init`. A hit takes no lock, and allocates no memory.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// unsafe {
    ///     assert!(SIZE.get_or_attach(key, || "x".parse()).is_err());
    ///     assert_eq!(SIZE.get_or_attach(key, || "8".parse()).unwrap(), &8);
    ///     assert_eq!(SIZE.detach(key).unwrap(), Some(8));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `init`, or a mismatch if the number names another type or kind. On a mismatch `init` has not run,
    /// unless a first attach bound the number during `init`.
    ///
    /// # Panics
    ///
    /// If `init` panics; or if `init` requests this field of `object`, itself or through a cycle of waiting threads.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn get_or_attach<'a, E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<&'a V, InitError<E>> {
        let place = Location::caller();
        self.known().map_err(InitError::TypeMismatch)?;
        let record = Record::new(Place::Raw { object: object.addr(), id: self.number });
        // Dropped after the claim, also if `init` panics.
        let sweep_deferred = SweepDeferred;
        // SAFETY: the caller promises that the field is not detached during `'a`, as `claim` requires.
        let claim = match unsafe { self.claim(object, &record) } {
            Ok(claim) => claim,
            Err(there) => return Ok(&there.value),
        };
        let value = match init() {
            Ok(value) => value,
            Err(error) => {
                drop(claim);
                return Err(InitError::Init(error));
            }
        };
        // SAFETY: the claim is held, and `claim` found no value; the field is not detached during `'a`.
        let attached = unsafe { self.put(object, value, place) };
        // The claim goes before a refused value and before values that a sweep drops: their destructors may use this
        // field.
        drop(claim);
        drop(sweep_deferred);
        attached.map_err(|(_, mismatch)| InitError::TypeMismatch(mismatch))
    }

    /// Detaches this field of `object`, and returns the value. A running initialiser is not affected, and the field
    /// counts as empty. Locks for a moment. Of racing threads, one gets the value.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// // SAFETY: nothing is attached.
    /// assert_eq!(unsafe { SIZE.detach(std::ptr::null()) }.unwrap(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// No thread holds a reference to the value. See [the module](super#what-the-caller-promises).
    pub unsafe fn detach(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.detach(object.addr())))
    }

    /// Detaches this field of every object, and returns the number of detached fields. Calls `each` with the values, in
    /// an unspecified order, under no lock.
    ///
    /// Visits every entry of this id's table. The call may miss an object that gets the field during the call.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// let objects = [0_u8; 3];
    /// let mut sum = 0;
    /// // SAFETY: the objects outlive their fields, and no reference to a value is kept.
    /// unsafe {
    ///     for object in &objects {
    ///         SIZE.attach((&raw const *object).cast(), 8).unwrap();
    ///     }
    ///     assert_eq!(SIZE.detach_all(|_, size| sum += size).unwrap(), 3);
    /// }
    /// assert_eq!(sum, 24);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Panics
    ///
    /// If `each` panics: the first panic is raised again after the last object.
    ///
    /// # Safety
    ///
    /// No thread holds a reference to a value of this id. See [the module](super#what-the-caller-promises).
    pub unsafe fn detach_all(self, each: impl FnMut(*const (), V)) -> Result<usize, TypeMismatch> {
        Ok(self.known()?.map_or(0, |known| known.detach_all(each)))
    }

    fn wanted(self) -> Wanted {
        Wanted::new::<V>(Policy::GetOrAttach, self.declared_at)
    }

    /// The kind that the number names, if its type is this id's type.
    #[inline]
    fn known(self) -> Result<Option<Known<Onces<V>>>, TypeMismatch> {
        kind::known(self.number, self.wanted())
    }

    /// Claims the place of an empty field, or finds the field.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`.
    unsafe fn claim<'a>(self, object: *const (), record: &Record) -> Result<Claim<'_>, &'a Once<V>> {
        let mut claim = None;
        loop {
            let known = self.known().ok().flatten();
            // SAFETY: the caller promises that the field is not detached during `'a`, as `find` requires.
            if let Some(there) = known.and_then(|known| unsafe { known.find(object.addr()) }) {
                return Err(there);
            }
            // The claim excludes other attaches, so the second lookup is final.
            if let Some(claim) = claim {
                return Ok(claim);
            }
            claim = Claim::take(record, &self);
        }
    }

    /// Attaches `value`, if the number names this id's type, or no type yet.
    ///
    /// # Safety
    ///
    /// This thread holds the claim, the field is empty, and the field is not detached during `'a`.
    unsafe fn put<'a>(
        self,
        object: *const (),
        value: V,
        place: &'static Location<'static>,
    ) -> Result<&'a V, (V, TypeMismatch)> {
        match kind::name::<Onces<V>>(self.number, self.wanted()) {
            // SAFETY: the caller holds the claim of the empty field, and promises no detach during `'a`, as `attach`
            // requires.
            Ok(known) => Ok(unsafe { known.attach(object.addr(), value, place) }),
            Err(mismatch) => Err((value, mismatch)),
        }
    }
}

impl<V> Clone for Id<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Id<V> {}

impl<V: 'static> fmt::Debug for Id<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Id<{}>({})", std::any::type_name::<V>(), self.number)
    }
}

/// The field's name in messages.
impl<V> fmt::Display for Id<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "raw id {}", self.number)
    }
}
