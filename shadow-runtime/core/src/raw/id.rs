//! `raw::Id<V>`: write-once fields of any address.
//!
//! In: an address and a value, or an initialiser. Out: `&V`, for as long as the caller promises. Neighbours:
//! `write_once.rs`, the values; `ids.rs`, the types that numbers name; `field_lock.rs`, the init lock of a field.
//!
//! An attach first acquires the init lock of the field (`init_lock/mod.rs`), as a `get_or_attach` cell does. So an
//! initialiser runs once and under no lock, and no attach intervenes.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use crate::error::AlreadyAttached;
use crate::host::SweepDeferred;
use crate::init_lock::{Circle, Request};
use crate::policy::Policy;
use crate::raw::field_lock::{FieldLock, find_or_lock, request};
use crate::raw::ids::{self, IdType, Typed};
use crate::raw::write_once::{Attached, WriteOnceTable};
use crate::raw::{AttachError, Drain, DrainObject, InitError, Objects, TypeMismatch};
use crate::registry::RawNumber;

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
    number: RawNumber,
    declared_at: &'static Location<'static>,
    value: PhantomData<fn() -> V>,
}

/// A field after the request for its value.
enum Initialised<'a, V> {
    /// This request has attached the value.
    Attached(&'a V),
    /// The field was attached.
    Found(&'a Attached<V>),
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
        Self { number: RawNumber { number, name: None }, declared_at: Location::caller(), value: PhantomData }
    }

    /// Names a field by a number, and gives the number a name for the report and for messages. The name does not tell
    /// fields apart: two ids of one number are one field.
    ///
    /// The report has the name of the id that attaches the first value in the process. A [description](super::describe)
    /// of the number replaces the name.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::named(7, "size");
    /// assert_eq!(SIZE.to_string(), r#"raw id 7 "size""#);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn named(number: u64, name: &'static str) -> Self {
        Self { number: RawNumber { number, name: Some(name) }, declared_at: Location::caller(), value: PhantomData }
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
        // SAFETY: by the contract the field is not detached during `'a`, and `'a` outlives this call.
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
    /// If the field is attached already; if its number names another type or kind; or if an initialiser of this field
    /// of `object` calls `attach`, itself or through a cycle of waiting threads. Each error hands the value back.
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
        let request = request(object, self.number);
        // SAFETY: by the contract the field is not detached during `'a`, and `'a` outlives this call. The request is
        // new, and the guard is a local variable, which this function drops.
        let guard = match unsafe { self.init_lock(object, &request) } {
            Ok(FieldLock::Empty(guard)) => guard,
            Ok(FieldLock::Attached(first)) => {
                let error = AlreadyAttached::refuse(first.field, value, Some(first.place), place);
                return Err(AttachError::AlreadyAttached(error));
            }
            Err(circle) => return Err(AttachError::Circle(circle.refusing(value))),
        };
        // SAFETY: the init lock is held, and `init_lock` found no value; the field is not detached during `'a`.
        let attached = unsafe { self.put(object, value, place) };
        drop(guard);
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
    /// The error of `init`; a mismatch if the number names another type or kind; or a [`Circle`] if an initialiser
    /// requests the field that it initialises, itself or through a cycle of waiting threads. On a mismatch `init` has
    /// not run, unless a first attach bound the number during `init`. On a cycle `init` has not run.
    ///
    /// # Panics
    ///
    /// If `init` panics.
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
        // SAFETY: by the contract the field is not detached during `'a`.
        match unsafe { self.initialise(object, init, Location::caller()) }? {
            Initialised::Attached(value) => Ok(value),
            Initialised::Found(there) => Ok(&there.value),
        }
    }

    /// Attaches the result of `init` to `object`, unless the object has this field. A refusal logs a warning with the
    /// places of both attaches.
    ///
    /// `init` runs only if the field is empty, at most one initialiser of the field at a time, and under no lock. If
    /// `init` fails or panics, the field stays empty. Of racing threads, one attaches.
    ///
    /// ```
    /// use shadow_runtime::raw::{self, InitError};
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// unsafe {
    ///     assert!(SIZE.attach_with(key, || "x".parse()).is_err());
    ///     assert_eq!(SIZE.attach_with(key, || "8".parse()).unwrap(), &8);
    ///     let refused = SIZE.attach_with(key, || -> Result<_, ()> { unreachable!() }).unwrap_err();
    ///     assert!(matches!(refused, InitError::AlreadyAttached(_)));
    ///     assert_eq!(SIZE.detach(key).unwrap(), Some(8));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InitError::AlreadyAttached`] if the field is attached; then `init` has not run. The other errors are those of
    /// [`get_or_attach`](Self::get_or_attach).
    ///
    /// # Panics
    ///
    /// If `init` panics.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn attach_with<'a, E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<V, E>,
    ) -> Result<&'a V, InitError<E>> {
        let place = Location::caller();
        // SAFETY: by the contract the field is not detached during `'a`.
        match unsafe { self.initialise(object, init, place) }? {
            Initialised::Attached(value) => Ok(value),
            Initialised::Found(Attached { field, place: first, .. }) => {
                let refused = AlreadyAttached::refuse(field, (), Some(first), place);
                Err(InitError::AlreadyAttached(refused))
            }
        }
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
        Ok(Drain::of(self.known()?).detach_each(each))
    }

    /// Detaches this field of one object after the other: an iterator of the objects and the values, in an unspecified
    /// order. The drop of the iterator detaches the field of the remaining objects, and drops the values.
    ///
    /// Visits every entry of this id's table, under no lock between two objects. Allocates no memory. See [`Drain`]
    /// for attaches during the iteration.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// let objects = [0_u8; 3];
    /// // SAFETY: the objects outlive their fields, and no reference to a value is kept.
    /// unsafe {
    ///     for object in &objects {
    ///         SIZE.attach((&raw const *object).cast(), 8).unwrap();
    ///     }
    ///     let mut fields = SIZE.drain().unwrap();
    ///     let (object, value) = fields.next().unwrap();
    ///     assert_eq!((SIZE.get(object).unwrap(), value), (None, 8));
    ///     drop(fields);
    /// }
    /// assert_eq!(SIZE.objects().unwrap().count(), 0);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// No thread holds a reference to a value of this id, or gets one, while the iterator lives. See [the
    /// module](super#what-the-caller-promises).
    pub unsafe fn drain(self) -> Result<Drain<V>, TypeMismatch> {
        Ok(Drain::of(self.known()?))
    }

    /// Detaches all fields of `object` whose numbers name an `Id<V>`: an iterator of the numbers and the values,
    /// in an unspecified order. The drop of the iterator drops the remaining values.
    ///
    /// The call detaches all of these fields at once, under the lock of the object. Allocates no memory.
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
    ///     SIZE.attach(key, 8).unwrap();
    ///     let mut fields = raw::Id::<usize>::drain_object(key);
    ///     assert_eq!((fields.next(), fields.next()), (Some((1, 8)), None));
    /// }
    /// ```
    ///
    /// # Safety
    ///
    /// No thread holds a reference to a value of these fields. See [the module](super#what-the-caller-promises).
    pub unsafe fn drain_object(object: *const ()) -> DrainObject<V> {
        DrainObject::of::<WriteOnceTable<V>>(object)
    }

    /// The addresses of the objects that have this field, in an unspecified order. Locks a shard for a moment at each
    /// step, and allocates no memory. See [`Objects`] for changes during the iteration.
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
    ///     SIZE.attach(key, 8).unwrap();
    ///     assert!(SIZE.objects().unwrap().eq([key]));
    ///     raw::detach_object(key);
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    pub fn objects(self) -> Result<Objects, TypeMismatch> {
        Ok(Objects::of(self.known()?))
    }

    fn id_type(self) -> IdType {
        IdType::new::<V>("Id", Policy::GetOrAttach, self.number.name, self.declared_at)
    }

    /// The kind that the number names, if its type is this id's type.
    #[inline]
    fn known(self) -> Result<Option<Typed<WriteOnceTable<V>>>, TypeMismatch> {
        ids::find(self.number.number, || self.id_type())
    }

    /// Attaches the result of `init`, or finds the field.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`.
    unsafe fn initialise<'a, E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<V, E>,
        place: &'static Location<'static>,
    ) -> Result<Initialised<'a, V>, InitError<E>> {
        self.known().map_err(InitError::TypeMismatch)?;
        let request = request(object, self.number);
        // Dropped after the lock, also if `init` panics.
        let sweep_deferred = SweepDeferred;
        // SAFETY: by the contract the field is not detached during `'a`, and `'a` outlives this call. The request is
        // new, and the guard is a local variable, which this function drops.
        let guard = match unsafe { self.init_lock(object, &request) } {
            Ok(FieldLock::Empty(guard)) => guard,
            Ok(FieldLock::Attached(there)) => return Ok(Initialised::Found(there)),
            Err(circle) => return Err(InitError::Circle(circle)),
        };
        let value = match init() {
            Ok(value) => value,
            Err(error) => {
                drop(guard);
                return Err(InitError::Init(error));
            }
        };
        // SAFETY: the init lock is held, and `init_lock` found no value; the field is not detached during `'a`.
        let attached = unsafe { self.put(object, value, place) };
        // The lock is released before a refused value and before values that a sweep drops: their destructors may use
        // this field.
        drop(guard);
        drop(sweep_deferred);
        attached.map(Initialised::Attached).map_err(|(_, mismatch)| InitError::TypeMismatch(mismatch))
    }

    /// Finds the field, or acquires the init lock of the empty field.
    ///
    /// # Errors
    ///
    /// If a wait for the lock would be a deadlock.
    ///
    /// # Safety
    ///
    /// The field is not detached during `'a`. The request has no guard, and the returned guard is dropped before the
    /// request moves or goes (I3).
    unsafe fn init_lock<'a>(
        self,
        object: *const (),
        request: &Request,
    ) -> Result<FieldLock<'_, &'a Attached<V>>, Circle> {
        // SAFETY: by the contract the field is not detached during `'a`, and `'a` outlives this call.
        let find = || self.known().ok().flatten().and_then(|known| unsafe { known.find(object.addr()) });
        // SAFETY: by the contract the request has no guard, and the returned guard is dropped before the request moves
        // or goes.
        unsafe { find_or_lock(request, find) }
    }

    /// Attaches `value`, if the number names this id's type, or no type yet.
    ///
    /// # Safety
    ///
    /// This thread holds the init lock, the field is empty, and the field is not detached during `'a`.
    unsafe fn put<'a>(
        self,
        object: *const (),
        value: V,
        place: &'static Location<'static>,
    ) -> Result<&'a V, (V, TypeMismatch)> {
        match ids::register::<WriteOnceTable<V>>(self.number.number, self.id_type()) {
            // SAFETY: by the contract this thread holds the init lock, the field is empty, and the field is not
            // detached during `'a`.
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
        write!(formatter, "Id<{}>({:?})", std::any::type_name::<V>(), self.number)
    }
}

/// The field's name in messages.
impl<V> fmt::Display for Id<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(formatter)
    }
}
