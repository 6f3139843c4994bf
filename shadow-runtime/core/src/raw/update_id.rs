//! `raw::UpdateId<V>`: replaceable fields of any address; the last update wins.
//!
//! In: an address, and a value or a closure. Out: clones of the newest value. Neighbours: `update_id/init.rs`, the
//! methods with an initialiser; `update_table.rs`, the values and their hazards; `ids.rs`, the types that numbers name.

mod init;

use std::alloc::{Layout, handle_alloc_error};
use std::convert::Infallible;
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use crate::closures;
use crate::host::SweepDeferred;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::raw::ids::{self, IdType, Typed};
use crate::raw::update_table::UpdateTable;
use crate::raw::{Drain, DrainObject, InitError, Objects, TypeMismatch};
use crate::registry::RawNumber;

/// A number that names a field of any object, and the type of the field's values. A field keeps only its newest value.
///
/// See [the module](super) for the promises of the caller.
///
/// ```
/// use shadow_runtime::raw;
///
/// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
/// assert_eq!(NAME.to_string(), "raw id 2");
/// ```
pub struct UpdateId<V> {
    number: RawNumber,
    declared_at: &'static Location<'static>,
    value: PhantomData<fn() -> V>,
}

/// The values of the number, if the number is bound.
type Known<V> = Typed<UpdateTable<V>>;

impl<V> UpdateId<V> {
    /// Names a field by a number. The number is bound to the type by the first attach, not by this call.
    ///
    /// ```
    /// const NAME: shadow_runtime::raw::UpdateId<&str> = shadow_runtime::raw::UpdateId::new(2);
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
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::named(2, "name");
    /// assert_eq!(NAME.to_string(), r#"raw id 2 "name""#);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn named(number: u64, name: &'static str) -> Self {
        Self { number: RawNumber { number, name: Some(name) }, declared_at: Location::caller(), value: PhantomData }
    }
}

impl<V: Clone + Send + Sync + 'static> UpdateId<V> {
    /// A clone of the newest value of this field of `object`. Takes no lock. A detach or an update may run during the
    /// call.
    ///
    /// The value's `Clone` runs under no lock, behind a hazard, so writers do not wait for the clone.
    ///
    /// ```
    /// const NAME: shadow_runtime::raw::UpdateId<&str> = shadow_runtime::raw::UpdateId::new(2);
    ///
    /// // SAFETY: nothing is attached.
    /// assert_eq!(unsafe { NAME.get(std::ptr::null()) }.unwrap(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Panics
    ///
    /// If `Clone` panics, or the destructor of a value that was replaced or detached during a read.
    ///
    /// # Safety
    ///
    /// The fields at this address were attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
    pub unsafe fn get(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.table.get(object.addr())))
    }

    /// Calls `look` with the newest value of this field of `object`, and returns the result of `look`. Takes no lock,
    /// and clones nothing. A detach or an update may run during the call.
    ///
    /// `look` runs under no lock, behind a hazard, so writers do not wait for `look`. A writer that replaces or
    /// detaches the value meanwhile clones the value, and this call drops the value after `look`.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<String> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     NAME.get_or_update(key, "first".into()).unwrap();
    ///     assert_eq!(NAME.inspect(key, |name| name.len()).unwrap(), Some(5));
    ///     assert_eq!(NAME.detach(key).unwrap().as_deref(), Some("first"));
    ///     assert_eq!(NAME.inspect(key, |name| name.len()).unwrap(), None);
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// A mismatch if the number names another type or kind; or [`OutOfMemory`](super::OutOfMemory) if there is no
    /// memory for a hazard slot: on the first read of a thread, or on a read inside of a clone or of `look`. On an
    /// error, `look` has not run.
    ///
    /// # Panics
    ///
    /// If `look` panics, or the destructor of a value that was replaced or detached during a read.
    ///
    /// # Safety
    ///
    /// The fields at this address were attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
    pub unsafe fn inspect<R>(
        self,
        object: *const (),
        look: impl FnOnce(&V) -> R,
    ) -> Result<Option<R>, InitError<Infallible>> {
        let known = self.known().map_err(InitError::TypeMismatch)?;
        known.map_or(Ok(None), |known| Ok(known.table.inspect(object.addr(), look)?))
    }

    /// Attaches or replaces the value of this field of `object`. Returns the previous value, or a clone if a reader is
    /// cloning the previous value. Waits for no reader.
    ///
    /// Takes the lock of a shard for a moment, and the lock of the object for a first value. Mostly allocates.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     assert_eq!(NAME.get_or_update(key, "first").unwrap(), None);
    ///     assert_eq!(NAME.get_or_update(key, "second").unwrap(), Some("first"));
    ///     assert_eq!(NAME.detach(key).unwrap(), Some("second"));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind. The error hands the value back.
    ///
    /// # Panics
    ///
    /// If a reader is cloning the previous value, and `Clone` or a destructor panics; or inside of a closure of
    /// [`update_with`](Self::update_with) or [`try_update_with`](Self::try_update_with) that makes the next value of
    /// the same field of `object`.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn get_or_update(self, object: *const (), value: V) -> Result<Option<V>, TypeMismatch<V>> {
        match ids::register::<UpdateTable<V>>(self.number.number, self.id_type()) {
            Ok(known) => {
                closures::refuse_own(|| identity(object), &known.registration.field);
                Ok(known.update(object.addr(), value))
            }
            Err(mismatch) => Err(mismatch.refusing(value)),
        }
    }

    /// As [`get_or_update`](Self::get_or_update), with an error if there is no memory. The error changes nothing, and
    /// drops `value`.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     assert_eq!(NAME.try_get_or_update(key, "first").unwrap(), None);
    ///     assert_eq!(NAME.detach(key).unwrap(), Some("first"));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](super::OutOfMemory); or a mismatch if the number names another type or kind.
    ///
    /// # Panics
    ///
    /// As [`get_or_update`](Self::get_or_update).
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn try_get_or_update(self, object: *const (), value: V) -> Result<Option<V>, InitError<Infallible>> {
        let registered = ids::try_register::<UpdateTable<V>>(self.number.number, self.id_type())?;
        let known = registered.map_err(InitError::TypeMismatch)?;
        closures::refuse_own(|| identity(object), &known.registration.field);
        Ok(known.try_update(object.addr(), value)?)
    }

    /// Detaches this field of `object`. Returns the value, or a clone if a reader is cloning the value. Takes the locks
    /// of the object and of a shard for a moment. Waits for no reader.
    ///
    /// ```
    /// const NAME: shadow_runtime::raw::UpdateId<&str> = shadow_runtime::raw::UpdateId::new(2);
    ///
    /// // SAFETY: nothing is attached.
    /// assert_eq!(unsafe { NAME.detach(std::ptr::null()) }.unwrap(), None);
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Panics
    ///
    /// If a reader is cloning the value, and `Clone` or a destructor panics.
    ///
    /// # Safety
    ///
    /// The fields at this address were attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
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
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     NAME.get_or_update(key, "first").unwrap();
    ///     assert_eq!(NAME.detach_all(|_, name| assert_eq!(name, "first")).unwrap(), 1);
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Panics
    ///
    /// If `each`, `Clone` or a destructor panics: the first panic is raised again after the last object.
    ///
    /// # Safety
    ///
    /// Each field of this id was attached to the object that is now at its address. See [the
    /// module](super#what-the-caller-promises).
    pub unsafe fn detach_all(self, each: impl FnMut(*const (), V)) -> Result<usize, TypeMismatch> {
        Ok(Drain::of(self.known()?).detach_each(each))
    }

    /// Detaches this field of one object after the other: an iterator of the objects and the values, in an unspecified
    /// order. The drop of the iterator detaches the field of the remaining objects, and drops the values. A value that
    /// a reader is cloning comes as a clone.
    ///
    /// Visits every entry of this id's table, under no lock between two objects. Allocates no memory. See [`Drain`]
    /// for attaches during the iteration.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let objects = [0_u8; 3];
    /// // SAFETY: the objects outlive their fields.
    /// unsafe {
    ///     for object in &objects {
    ///         NAME.get_or_update((&raw const *object).cast(), "first").unwrap();
    ///     }
    ///     let mut fields = NAME.drain().unwrap();
    ///     let (object, value) = fields.next().unwrap();
    ///     assert_eq!((NAME.get(object).unwrap(), value), (None, "first"));
    ///     drop(fields);
    /// }
    /// assert_eq!(NAME.objects().unwrap().count(), 0);
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
    pub unsafe fn drain(self) -> Result<Drain<V>, TypeMismatch> {
        Ok(Drain::of(self.known()?))
    }

    /// Detaches all fields of `object` whose numbers name an `UpdateId<V>`: an iterator of the numbers and the values,
    /// in an unspecified order. The drop of the iterator drops the remaining values. A value that a reader is cloning
    /// comes as a clone.
    ///
    /// The call detaches all of these fields at once, under the lock of the object. Allocates no memory.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     NAME.get_or_update(key, "first").unwrap();
    ///     let mut fields = raw::UpdateId::<&str>::drain_object(key);
    ///     assert_eq!((fields.next(), fields.next()), (Some((2, "first")), None));
    /// }
    /// ```
    ///
    /// # Safety
    ///
    /// The fields at this address were attached to `object`, not to an earlier object at the address. See
    /// [the module](super#what-the-caller-promises).
    pub unsafe fn drain_object(object: *const ()) -> DrainObject<V> {
        DrainObject::of::<UpdateTable<V>>(object)
    }

    /// The addresses of the objects that have this field, in an unspecified order. Locks a shard for a moment at each
    /// step, and allocates no memory. See [`Objects`] for changes during the iteration.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     NAME.get_or_update(key, "first").unwrap();
    ///     assert!(NAME.objects().unwrap().eq([key]));
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

    /// Replaces the value of this field of `object` by the result of `next`, and returns the previous value, as
    /// [`get_or_update`](Self::get_or_update) does. `next` gets the newest value, or `None` if the object has no such
    /// field.
    ///
    /// If the field changes meanwhile, by another thread, or since `next` detaches or attaches this field, `next` runs
    /// again. `next` runs under no lock, behind a hazard.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const COUNT: raw::UpdateId<u32> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     assert_eq!(COUNT.update_with(key, |count| count.map_or(1, |count| count + 1)).unwrap(), None);
    ///     assert_eq!(COUNT.update_with(key, |count| count.map_or(1, |count| count + 1)).unwrap(), Some(1));
    ///     assert_eq!(COUNT.detach(key).unwrap(), Some(2));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// If the number names another type or kind.
    ///
    /// # Panics
    ///
    /// If `next` panics, or updates this field of `object`; or if a reader is cloning the previous value, and `Clone`
    /// or a destructor panics.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn update_with(
        self,
        object: *const (),
        mut next: impl FnMut(Option<&V>) -> V,
    ) -> Result<Option<V>, TypeMismatch> {
        // SAFETY: the contract is the same.
        match unsafe { self.try_update_with(object, |last| Ok::<_, Infallible>(next(last))) } {
            Ok(previous) => Ok(previous),
            Err(InitError::TypeMismatch(mismatch)) => Err(mismatch),
            Err(InitError::OutOfMemory(_)) => handle_alloc_error(Layout::new::<V>()),
            Err(_) => unreachable!("neither the closure nor an update fails otherwise"),
        }
    }

    /// As [`update_with`](Self::update_with), unless `next` fails or there is no memory: then the field keeps its
    /// value.
    ///
    /// ```
    /// use shadow_runtime::raw;
    ///
    /// const SEATS: raw::UpdateId<u32> = raw::UpdateId::new(2);
    ///
    /// let object = 0_u8;
    /// let key = (&raw const object).cast();
    /// let take = |seats: Option<&u32>| seats.copied().unwrap_or(1).checked_sub(1).ok_or("sold out");
    /// // SAFETY: the object outlives its fields.
    /// unsafe {
    ///     assert!(SEATS.try_update_with(key, take).is_ok());
    ///     assert_eq!(SEATS.try_update_with(key, take).unwrap_err().to_string(), "sold out");
    ///     assert_eq!(SEATS.detach(key).unwrap(), Some(0));
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`InitError::Init`] with the error of `next`; a mismatch if the number names another type or kind; or
    /// [`OutOfMemory`](super::OutOfMemory), which drops the result of `next`.
    ///
    /// # Panics
    ///
    /// As [`update_with`](Self::update_with).
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    #[track_caller]
    pub unsafe fn try_update_with<E>(
        self,
        object: *const (),
        mut next: impl FnMut(Option<&V>) -> Result<V, E>,
    ) -> Result<Option<V>, InitError<E>> {
        let mut made = None;
        let known = if let Some(known) = self.known().map_err(InitError::TypeMismatch)? {
            known
        } else {
            // The closure runs before the number gets a table, so a closure that fails binds no number.
            made = Some(next(None).map_err(InitError::Init)?);
            ids::try_register(self.number.number, self.id_type())?.map_err(InitError::TypeMismatch)?
        };
        let _sweep_deferred = SweepDeferred;
        let (host, field) = (identity(object), &known.registration.field);
        closures::refuse_own(|| host, field);
        let next = |last: Option<&V>| {
            // A value that was made of an empty field, and that lost a race, is dropped before the closure runs again.
            let made = made.take().filter(|_| last.is_none());
            made.map_or_else(|| closures::run(host, field, || next(last)), Ok)
        };
        known.try_update_with(object.addr(), next)
    }

    fn id_type(self) -> IdType {
        IdType::new::<V>("UpdateId", Policy::GetOrUpdate, self.number.name, self.declared_at)
    }

    /// The kind that the number names, if its type is this id's type.
    #[inline]
    fn known(self) -> Result<Option<Typed<UpdateTable<V>>>, TypeMismatch> {
        ids::find(self.number.number, || self.id_type())
    }
}

/// The object as the host of a closure.
fn identity(object: *const ()) -> Identity {
    Identity { address: object.addr(), type_id: None }
}

impl<V> Clone for UpdateId<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for UpdateId<V> {}

impl<V: 'static> fmt::Debug for UpdateId<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UpdateId<{}>({:?})", std::any::type_name::<V>(), self.number)
    }
}

/// The field's name in messages.
impl<V> fmt::Display for UpdateId<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(formatter)
    }
}
