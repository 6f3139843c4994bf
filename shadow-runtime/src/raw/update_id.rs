//! `raw::UpdateId<V>`: fields of any address, replaced by whoever updates last.
//!
//! In: an address and a value. Out: clones of the newest value.
//!
//! The value is in an `Arc` in the table. A reader takes one more `Arc` of it under the shard's lock, and clones the
//! value when it has let go of the lock (R4).

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

use crate::panics::Held;
use crate::policy::Policy;
use crate::raw::TypeMismatch;
use crate::raw::kind::{self, Wanted};
use crate::raw::table::{self, Attached};

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
    /// A clone of the newest value of this field of `object`.
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
    /// # Safety
    ///
    /// The fields at this address are those of `object`. See [the module](super#what-the-caller-promises).
    pub unsafe fn get(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        let kind = kind::known(self.number, self.wanted())?;
        let held = Held::new(kind.and_then(|kind| table::with(object.addr(), kind, Arc::<V>::clone)));
        let value = held.get().and_then(Option::as_deref).cloned();
        held.release();
        Ok(value)
    }

    /// Replaces the value of this field of `object`, or attaches it, and returns the previous one.
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
    /// # Safety
    ///
    /// The object outlives the field. See [the module](super#what-the-caller-promises).
    pub unsafe fn get_or_update(self, object: *const (), value: V) -> Result<Option<V>, TypeMismatch<V>> {
        let kind = match kind::name(self.number, self.wanted()) {
            Ok(kind) => kind,
            Err(mismatch) => return Err(mismatch.refusing(value)),
        };
        let previous = table::replace(object.addr(), kind, Arc::new(value));
        Ok(previous.map(value_of))
    }

    /// Ends this field of `object`, and returns its value.
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
    /// # Safety
    ///
    /// The fields at this address are those of `object`. See [the module](super#what-the-caller-promises).
    pub unsafe fn detach(self, object: *const ()) -> Result<Option<V>, TypeMismatch> {
        let kind = kind::known(self.number, self.wanted())?;
        Ok(kind.and_then(|kind| table::take(object.addr(), kind)).and_then(Self::end))
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
        let kind = kind::known(self.number, self.wanted())?;
        Ok(kind.map_or(0, |kind| table::end_all(kind, Self::end, each)))
    }

    fn wanted(self) -> Wanted {
        Wanted::new::<V>(Policy::GetOrUpdate, self.declared_at)
    }

    fn end(attached: Attached) -> Option<V> {
        attached.end::<Arc<V>>().map(value_of)
    }
}

/// The value, or a clone of it if somebody reads it now.
fn value_of<V: Clone>(shared: Arc<V>) -> V {
    Arc::try_unwrap(shared).unwrap_or_else(|shared| {
        let shared = Held::new(shared);
        let clone = shared.get().map(|shared| V::clone(shared));
        // The clone is a local while this may run a destructor: what is returned already would leak if it panics.
        shared.release();
        clone.expect("held until just now")
    })
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
