//! `raw::UpdateId<V>`: replaceable fields of any address; the last update wins.
//!
//! In: an address and a value. Out: clones of the newest value.
//!
//! Neighbours: `newest.rs`, the values and their hazards; `kind.rs`, the types that numbers name.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::raw::kind::{self, Known, Wanted};
use crate::raw::newest::Newest;

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
    number: u64,
    declared_at: &'static Location<'static>,
    value: PhantomData<fn() -> V>,
}

impl<V> UpdateId<V> {
    /// Names a field by a number. The number is bound to the type by the first attach, not by this call.
    ///
    /// ```
    /// const NAME: shadow_runtime::raw::UpdateId<&str> = shadow_runtime::raw::UpdateId::new(2);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn new(number: u64) -> Self {
        Self { number, declared_at: Location::caller(), value: PhantomData }
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
    /// The fields at this address are fields of `object`. See [the module](super#what-the-caller-promises).
    pub unsafe fn get(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.values.get(object.addr())))
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
    /// If a reader is cloning the previous value, and `Clone` or a destructor panics.
    ///
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    pub unsafe fn get_or_update(self, object: *const (), value: V) -> Result<Option<V>, TypeMismatch<V>> {
        match kind::name::<Newest<V>>(self.number, self.wanted()) {
            Ok(known) => Ok(known.update(object.addr(), value)),
            Err(mismatch) => Err(mismatch.refusing(value)),
        }
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
    /// The fields at this address are fields of `object`. See [the module](super#what-the-caller-promises).
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
    /// The fields of this id are fields of the objects at their addresses. See [the
    /// module](super#what-the-caller-promises).
    pub unsafe fn detach_all(self, each: impl FnMut(*const (), V)) -> Result<usize, TypeMismatch> {
        Ok(self.known()?.map_or(0, |known| known.detach_all(each)))
    }

    fn wanted(self) -> Wanted {
        Wanted::new::<V>(Policy::GetOrUpdate, self.declared_at)
    }

    /// The kind that the number names, if its type is this id's type.
    #[inline]
    fn known(self) -> Result<Option<Known<Newest<V>>>, TypeMismatch> {
        kind::known(self.number, self.wanted())
    }
}

impl<V> Clone for UpdateId<V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for UpdateId<V> {}

impl<V: 'static> fmt::Debug for UpdateId<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "UpdateId<{}>({})", std::any::type_name::<V>(), self.number)
    }
}

/// The field's name in messages.
impl<V> fmt::Display for UpdateId<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "raw id {}", self.number)
    }
}
