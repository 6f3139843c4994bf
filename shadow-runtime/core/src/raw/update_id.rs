//! `raw::UpdateId<V>`: fields of any address, replaced by whoever updates last.
//!
//! In: an address and a value. Out: clones of the newest value.
//!
//! Neighbour: `newest.rs`, where the values are.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::raw::kind::{self, Known, Wanted};
use crate::raw::newest::Newest;

/// A number that names a field of any object, and the type of its values, of which only the newest counts.
///
/// See [the module](super) for what its methods ask of the caller.
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
    /// Names a field by a number. Nothing happens before something is attached by it.
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
    /// A clone of the newest value of this field of `object`. Takes no lock; a detach or an update may run meanwhile.
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
    /// If `Clone` does, or the `Drop` of a value that was replaced or detached meanwhile.
    ///
    /// # Safety
    ///
    /// The fields at this address are those of `object`. See [the module](super#what-the-caller-promises).
    pub unsafe fn get(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        Ok(self.known()?.and_then(|known| known.values.get(object.addr())))
    }

    /// Replaces the value of this field of `object`, or attaches it, and returns the previous one, or a clone of it if
    /// somebody is cloning it just then. Mostly allocates, and locks for a moment; waits for no reader.
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
    /// If `Clone` or `Drop` does, where somebody is cloning the previous value.
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

    /// Ends this field of `object`, and returns its value, or a clone of it if somebody is cloning it just then. Locks
    /// for a moment; waits for no reader.
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
    /// If `Clone` or `Drop` does, where somebody is cloning the previous value.
    ///
    /// # Safety
    ///
    /// The fields at this address are those of `object`. See [the module](super#what-the-caller-promises).
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
    /// If `each` does: the first panic is raised again after every object has had its turn.
    ///
    /// # Safety
    ///
    /// The fields of this id are those of the objects at their addresses. See
    /// [the module](super#what-the-caller-promises).
    pub unsafe fn detach_all(self, each: impl FnMut(*const (), V)) -> Result<usize, TypeMismatch> {
        Ok(self.known()?.map_or(0, |known| known.detach_all(each)))
    }

    fn wanted(self) -> Wanted {
        Wanted::new::<V>(Policy::GetOrUpdate, self.declared_at)
    }

    /// What the number names, if it names this.
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

/// What messages call it.
impl<V> fmt::Display for UpdateId<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "raw id {}", self.number)
    }
}
