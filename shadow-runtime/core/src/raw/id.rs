//! `raw::Id<V>`: fields of any address, written once.
//!
//! In: an address and a value, or an initialiser. Out: `&V`, for as long as the caller promises.
//!
//! Attaching takes the claim of the place (`claim.rs`) first, as a `get_or_attach` cell does: so an initialiser runs
//! under no lock, once, and an attach does not slip in beside it.

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

/// A number that names a field of any object, and the type of its values, which are written once.
///
/// See [the module](super) for what its methods ask of the caller.
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
    /// Names a field by a number. Nothing happens before something is attached by it.
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
    /// The value of this field of `object`. Takes no lock, and allocates nothing.
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
        // What it names is compared before what the object has: a mismatch is one whatever the object.
        let known = self.known()?;
        // SAFETY: the caller's promise is the same.
        Ok(known.and_then(|known| unsafe { known.find(object.addr()) }).map(|once| &once.value))
    }

    /// Attaches `value` to `object`, unless it has this field. A refusal is a warning in the log, with both places.
    ///
    /// Allocates, locks for a moment, and waits for an initialiser of this very field of `object`. Of threads that
    /// race, one attaches.
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
    /// If the field is attached already, or its number names another type or kind. Both hand the value back.
    ///
    /// # Panics
    ///
    /// If an initialiser of this very field of `object` calls it.
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
        // SAFETY: the caller's promise is the one that `claim` asks for.
        let claim = match unsafe { self.claim(object, &record) } {
            Ok(claim) => claim,
            Err(first) => {
                let error = AlreadyAttached::refuse(first.field, value, first.place, place);
                return Err(AttachError::AlreadyAttached(error));
            }
        };
        // SAFETY: the same promise; and the place is claimed.
        let attached = unsafe { self.put(object, value, place) };
        drop(claim);
        attached.map_err(|(value, mismatch)| refuse(value, mismatch))
    }

    /// The value of this field of `object`, or the one that `init` makes.
    ///
    /// However many threads race, one initialiser runs at a time, and none after one has succeeded. No lock is held
    /// while it runs. If it fails or panics, nothing is attached, and the next caller runs its own. A hit takes no
    /// lock, and allocates nothing.
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
    /// What `init` returns, and if the number names another type or kind; then `init` has not run, unless the number
    /// was named while it ran.
    ///
    /// # Panics
    ///
    /// If `init` does, or asks for this very field of `object`, itself or in a circle of threads.
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
        // SAFETY: the caller's promise is the one that `claim` asks for.
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
        // SAFETY: the same promise; and the place is claimed.
        let attached = unsafe { self.put(object, value, place) };
        // Before a value that is refused, and those that a sweep drops, whose destructors may use this very field.
        drop(claim);
        drop(sweep_deferred);
        attached.map_err(|(_, mismatch)| InitError::TypeMismatch(mismatch))
    }

    /// Ends this field of `object`, and returns its value. While an initialiser runs there is nothing to end. Locks for
    /// a moment. Of threads that race, one gets the value.
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
    /// Nobody holds a reference to the value. See [the module](super#what-the-caller-promises).
    pub unsafe fn detach(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.detach(object.addr())))
    }

    /// Ends this field of every object that has it, and returns how many there were. `each` gets the values, in no
    /// order, under no lock.
    ///
    /// Looks at every object of the raw interface. An object that gets the field meanwhile may be missed.
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
    /// If `each` does: the first panic is raised again after every object has had its turn.
    ///
    /// # Safety
    ///
    /// Nobody holds a reference to a value of this id. See [the module](super#what-the-caller-promises).
    pub unsafe fn detach_all(self, each: impl FnMut(*const (), V)) -> Result<usize, TypeMismatch> {
        Ok(self.known()?.map_or(0, |known| known.detach_all(each)))
    }

    fn wanted(self) -> Wanted {
        Wanted::new::<V>(Policy::GetOrAttach, self.declared_at)
    }

    /// What the number names, if it names this.
    #[inline]
    fn known(self) -> Result<Option<Known<Onces<V>>>, TypeMismatch> {
        kind::known(self.number, self.wanted())
    }

    /// Claims the place of a field that is not there, or finds the field.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`.
    unsafe fn claim<'a>(self, object: *const (), record: &Record) -> Result<Claim<'_>, &'a Once<V>> {
        let mut claim = None;
        loop {
            let known = self.known().ok().flatten();
            // SAFETY: the caller's promise is the same.
            if let Some(there) = known.and_then(|known| unsafe { known.find(object.addr()) }) {
                return Err(there);
            }
            // Once claimed, nobody else attaches, so the second look decides.
            if let Some(claim) = claim {
                return Ok(claim);
            }
            claim = Claim::take(record, &self);
        }
    }

    /// Attaches `value`, if the number names its type, from now on at the latest.
    ///
    /// # Safety
    ///
    /// The place is claimed and empty, and the field is not detached during `'a`.
    unsafe fn put<'a>(
        self,
        object: *const (),
        value: V,
        place: &'static Location<'static>,
    ) -> Result<&'a V, (V, TypeMismatch)> {
        match kind::name::<Onces<V>>(self.number, self.wanted()) {
            // SAFETY: the caller's promise is the same.
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

/// What messages call it.
impl<V> fmt::Display for Id<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "raw id {}", self.number)
    }
}
