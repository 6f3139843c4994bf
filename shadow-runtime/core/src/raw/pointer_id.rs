//! `raw::PointerId<P>`: fields of any address. The values are owning pointers, and a lookup returns no borrow.
//!
//! In: an address, and a pointer or an initialiser. Out: a copy of the pointer. Neighbours:
//! `pointer_table.rs`, the pointers; `ids.rs`, the types that numbers name; `field_lock.rs`, the init lock of a field.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::ptr::NonNull;

use crate::error::AlreadyAttached;
use crate::host::SweepDeferred;
use crate::policy::Policy;
use crate::raw::field_lock::{FieldLock, find_or_lock, request};
use crate::raw::ids::{self, IdType, Typed};
use crate::raw::pointer_table::PointerTable;
use crate::raw::{Drain, DrainObject, InitError, Objects, TypeMismatch};
use crate::registry::RawNumber;
use crate::side_table::Miss;

/// A pointer that owns its pointee: a `Box`, or a type of the caller.
///
/// # Safety
///
/// - `into_raw` gives up the ownership of the pointee. The pointee is valid for reads as a `Target`, at the returned
///   address, until the call of `from_raw`.
/// - `from_raw` accepts each pointer that `into_raw` of this type has returned, and returns the ownership.
pub unsafe trait Pointer: Send + Sync + 'static {
    /// The pointee.
    type Target;

    /// Gives up the ownership of the pointee.
    fn into_raw(self) -> NonNull<Self::Target>;

    /// Takes the ownership of the pointee back.
    ///
    /// # Safety
    ///
    /// `pointer` comes from [`into_raw`](Self::into_raw) of this type. The caller calls `from_raw` once for each call
    /// of `into_raw`.
    unsafe fn from_raw(pointer: NonNull<Self::Target>) -> Self;
}

// SAFETY: `Box::into_raw` and `Box::from_raw` behave as required.
unsafe impl<T: Send + Sync + 'static> Pointer for Box<T> {
    type Target = T;

    fn into_raw(self) -> NonNull<T> {
        NonNull::from(Self::leak(self))
    }

    unsafe fn from_raw(pointer: NonNull<T>) -> Self {
        // SAFETY: by the contract the pointer comes from a box, whose ownership the caller passes on.
        unsafe { Self::from_raw(pointer.as_ptr()) }
    }
}

/// A number that names a field of any object, and the type of the field's values: pointers that own their pointees.
///
/// [`get`](Self::get) returns a copy of the pointer, not a borrow, and a detach of the same field may run at the same
/// time. This is the promise of the kernel's `klp_shadow_get`: the lookup is always allowed, and the caller
/// dereferences the pointer only while no thread detaches the field. [`Id`](super::Id) returns references instead.
///
/// The table stores the pointer itself. So a field needs no allocation for its value, beside the pointee, and a lookup
/// does not touch the pointee.
///
/// See [the module](super) for the promises of the caller.
///
/// ```
/// use shadow_runtime::raw;
///
/// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
/// assert_eq!(COUNTER.to_string(), "raw id 3");
/// ```
pub struct PointerId<P> {
    number: RawNumber,
    declared_at: &'static Location<'static>,
    value: PhantomData<fn() -> P>,
}

/// A field after the request for its pointer.
enum Initialised<P: Pointer> {
    /// This request has attached the pointer.
    Attached(NonNull<P::Target>),
    /// The field was attached.
    Found(Typed<PointerTable<P>>, NonNull<P::Target>),
}

impl<P> PointerId<P> {
    /// Names a field by a number. The first attach binds the number to the type, before its initialiser runs; this call
    /// does not.
    ///
    /// ```
    /// const COUNTER: shadow_runtime::raw::PointerId<Box<u64>> = shadow_runtime::raw::PointerId::new(3);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn new(number: u64) -> Self {
        Self { number: RawNumber { number, name: None }, declared_at: Location::caller(), value: PhantomData }
    }

    /// As [`new`](Self::new), with a name for the report and for messages: see [`Id::named`](super::Id::named).
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::named(3, "counter");
    /// assert_eq!(COUNTER.to_string(), r#"raw id 3 "counter""#);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn named(number: u64, name: &'static str) -> Self {
        Self { number: RawNumber { number, name: Some(name) }, declared_at: Location::caller(), value: PhantomData }
    }
}

impl<P: Pointer> PointerId<P> {
    /// The pointer of this field of `object`, which the field had at a time during the call. Takes no lock, and
    /// allocates no memory. A detach may run at the same time, and may end the pointee.
    ///
    /// ```
    /// const COUNTER: shadow_runtime::raw::PointerId<Box<u64>> = shadow_runtime::raw::PointerId::new(3);
    ///
    /// // SAFETY: nothing is attached.
    /// assert_eq!(unsafe { COUNTER.get(std::ptr::null()) }.unwrap(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// The field at this address was attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
    #[inline]
    pub unsafe fn get(self, object: *const ()) -> Result<Option<NonNull<P::Target>>, TypeMismatch> {
        if let Some(known) = ids::find_by_shortcut::<PointerTable<P>>(self.number.number) {
            match known.find_at_home(object.addr()) {
                Ok(pointer) => return Ok(Some(pointer)),
                Err(Miss::Absent) => return Ok(None),
                Err(Miss::NotHome) => {}
            }
        }
        let Self { number: RawNumber { number, name }, declared_at, .. } = self;
        Self::search(number, name, declared_at, object)
    }

    /// Continues [`get`](Self::get) in all but the fastest cases. The lookup begins anew, and the arguments are the
    /// parts of the id, in registers. So the fastest cases keep no state for this call, and need no stack frame.
    #[cold]
    #[inline(never)]
    fn search(
        number: u64,
        name: Option<&'static str>,
        declared_at: &'static Location<'static>,
        object: *const (),
    ) -> Result<Option<NonNull<P::Target>>, TypeMismatch> {
        let id = Self { number: RawNumber { number, name }, declared_at, value: PhantomData };
        Ok(id.known()?.and_then(|known| known.find(object.addr())))
    }

    /// Calls `look` with the pointer of this field of `object`. No detach ends the pointee during the call. Locks the
    /// object for the time of the call.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its field. The closure copies an integer, and no thread writes to the integer.
    /// unsafe {
    ///     COUNTER.get_or_attach(key, || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     assert_eq!(COUNTER.inspect(key, |counter| *counter.as_ref()).unwrap(), Some(8));
    ///     assert_eq!(COUNTER.detach(key).unwrap(), Some(Box::new(8)));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// `look` runs under a lock of the library: it calls neither the library nor an allocator, and does not panic or
    /// wait. The field at this address was attached to `object`, not to an earlier object at the address.
    pub unsafe fn inspect<R>(
        self,
        object: *const (),
        look: impl FnOnce(NonNull<P::Target>) -> R,
    ) -> Result<Option<R>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.inspect(object.addr(), look)))
    }

    /// The pointer of this field of `object`; on a miss, attaches the result of `init`.
    ///
    /// Of racing threads, one runs its initialiser at a time, as in [`Id::get_or_attach`](super::Id::get_or_attach). A
    /// hit takes no lock, and allocates no memory.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its field, and no thread detaches the field while the pointer is used.
    /// unsafe {
    ///     let counter = COUNTER.get_or_attach(key, || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     assert_eq!(*counter.as_ref(), 8);
    ///     assert_eq!(COUNTER.detach(key).unwrap(), Some(Box::new(8)));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `init`; a mismatch if the number names another type or kind; a [`Circle`](super::Circle) if an
    /// initialiser requests the field that it initialises, itself or through a cycle of waiting threads; or
    /// [`OutOfMemory`](super::OutOfMemory) if there is no memory for the field. The call allocates before `init` runs:
    /// if `init` returns a pointer, the pointer is attached.
    ///
    /// # Panics
    ///
    /// If `init` panics.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    #[inline]
    pub unsafe fn get_or_attach<E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<P, E>,
    ) -> Result<NonNull<P::Target>, InitError<E>> {
        let known = self.known().map_err(InitError::TypeMismatch)?;
        if let Some(there) = known.and_then(|known| known.find(object.addr())) {
            return Ok(there);
        }
        match self.initialise(object, init)? {
            Initialised::Attached(pointer) | Initialised::Found(_, pointer) => Ok(pointer),
        }
    }

    /// Attaches the result of `init` to `object`, unless the object has this field. A refusal logs a warning, and does
    /// not run `init`.
    ///
    /// Of racing threads, one runs its initialiser at a time, and one attaches.
    ///
    /// ```
    /// use shadow_runtime::raw::{self, InitError};
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its field.
    /// unsafe {
    ///     COUNTER.attach_with(key, || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     let refused = COUNTER.attach_with(key, || Ok::<_, ()>(Box::new(9)));
    ///     assert!(matches!(refused, Err(InitError::AlreadyAttached(_))));
    ///     assert_eq!(COUNTER.detach(key).unwrap(), Some(Box::new(8)));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`get_or_attach`](Self::get_or_attach); and if the field is attached already.
    ///
    /// # Panics
    ///
    /// If `init` panics.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn attach_with<E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<P, E>,
    ) -> Result<NonNull<P::Target>, InitError<E>> {
        let place = Location::caller();
        match self.initialise(object, init)? {
            Initialised::Attached(pointer) => Ok(pointer),
            Initialised::Found(known, _) => {
                let error = AlreadyAttached::refuse(&known.registration.field, (), None, place);
                Err(InitError::AlreadyAttached(error))
            }
        }
    }

    /// Detaches this field of `object`, and returns the pointer with the ownership. Locks for a moment. Of racing
    /// threads, one gets the pointer.
    ///
    /// ```
    /// const COUNTER: shadow_runtime::raw::PointerId<Box<u64>> = shadow_runtime::raw::PointerId::new(3);
    ///
    /// // SAFETY: nothing is attached.
    /// assert_eq!(unsafe { COUNTER.detach(std::ptr::null()) }.unwrap(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// The field at this address was attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
    pub unsafe fn detach(self, object: *const ()) -> Result<Option<P>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.detach(object.addr())))
    }

    /// Detaches this field of every object, and returns the number of detached fields. Calls `each` with the pointers,
    /// in an unspecified order, under no lock.
    ///
    /// Visits every entry of this id's table. The call may miss an object that gets the field during the call.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its field.
    /// unsafe {
    ///     COUNTER.attach_with(key, || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     assert_eq!(COUNTER.detach_all(|_, counter| assert_eq!(*counter, 8)).unwrap(), 1);
    /// }
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
    /// Each field of this id was attached to the object that is now at its address. See [the
    /// module](super#what-the-caller-promises).
    pub unsafe fn detach_all(self, each: impl FnMut(*const (), P)) -> Result<usize, TypeMismatch> {
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
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let objects = [0_u8; 3];
    /// // SAFETY: the objects outlive their fields.
    /// unsafe {
    ///     for object in &objects {
    ///         COUNTER.attach_with((&raw const *object).cast(), || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     }
    ///     let mut fields = COUNTER.drain().unwrap();
    ///     let (object, value) = fields.next().unwrap();
    ///     assert_eq!((COUNTER.get(object).unwrap(), value), (None, Box::new(8)));
    ///     drop(fields);
    /// }
    /// assert_eq!(COUNTER.objects().unwrap().count(), 0);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Safety
    ///
    /// Each field of this id was attached to the object that is now at its address. See [the
    /// module](super#what-the-caller-promises).
    pub unsafe fn drain(self) -> Result<Drain<P>, TypeMismatch> {
        Ok(Drain::of(self.known()?))
    }

    /// Detaches all fields of `object` whose numbers name a `PointerId<P>`: an iterator of the numbers and the values,
    /// in an unspecified order. The drop of the iterator drops the remaining values.
    ///
    /// The call detaches all of these fields at once, under the lock of the object. Allocates no memory.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     COUNTER.attach_with(key, || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     let mut fields = raw::PointerId::<Box<u64>>::drain_object(key);
    ///     assert_eq!((fields.next(), fields.next()), (Some((3, Box::new(8))), None));
    /// }
    /// ```
    ///
    /// # Safety
    ///
    /// The fields at this address were attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
    pub unsafe fn drain_object(object: *const ()) -> DrainObject<P> {
        DrainObject::of::<PointerTable<P>>(object)
    }

    /// The addresses of the objects that have this field, in an unspecified order. Locks a shard for a moment at each
    /// step, and allocates no memory. See [`Objects`] for changes during the iteration.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNTER: raw::PointerId<Box<u64>> = raw::PointerId::new(3);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     COUNTER.attach_with(key, || Ok::<_, ()>(Box::new(8))).unwrap();
    ///     assert!(COUNTER.objects().unwrap().eq([key]));
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
        IdType::new::<P>("PointerId", Policy::GetOrAttach, self.number.name, self.declared_at)
    }

    /// The kind that the number names, if its type is this id's type.
    #[inline]
    fn known(self) -> Result<Option<Typed<PointerTable<P>>>, TypeMismatch> {
        ids::find(self.number.number, || self.id_type())
    }

    /// Attaches the result of `init`, or finds the field. Runs `init` under the init lock of the field, and under no
    /// lock of a table.
    #[cold]
    fn initialise<E>(
        self,
        object: *const (),
        init: impl FnOnce() -> Result<P, E>,
    ) -> Result<Initialised<P>, InitError<E>> {
        self.known().map_err(InitError::TypeMismatch)?;
        let request = request(object, self.number);
        // Dropped after the lock, also if `init` unwinds.
        let _sweep_deferred = SweepDeferred;
        // Dropped after the lock if `init` fails: the drop calls the allocator, which may use this field.
        let reserved;
        let find = || self.known().ok().flatten().and_then(|known| known.find(object.addr()).zip(Some(known)));
        // SAFETY: the request is new. The guard is a local variable, which this function drops.
        let guard = match unsafe { find_or_lock(&request, find) }.map_err(InitError::Circle)? {
            FieldLock::Empty(guard) => guard,
            FieldLock::Attached((there, known)) => return Ok(Initialised::Found(known, there)),
        };
        let registered = ids::try_register::<PointerTable<P>>(self.number.number, self.id_type());
        let known = registered?.map_err(InitError::TypeMismatch)?;
        reserved = known.try_reserve(object.addr())?;
        let pointer = init().map_err(InitError::Init)?;
        let pointer = known.attach(reserved, pointer);
        drop(guard);
        Ok(Initialised::Attached(pointer))
    }
}

impl<P> Clone for PointerId<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for PointerId<P> {}

impl<P: 'static> fmt::Debug for PointerId<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PointerId<{}>({:?})", std::any::type_name::<P>(), self.number)
    }
}

/// The field's name in messages.
impl<P> fmt::Display for PointerId<P> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(formatter)
    }
}
