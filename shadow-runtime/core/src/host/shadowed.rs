//! `Shadowed<T>`: a value of a foreign type, with embedded fields.
//!
//! In: a value that the program owns. Out: the same value, as a host. Neighbours: `fields/mod.rs`, the fields;
//! `embedded.rs`, the hosts that derive `Shadow`.

use std::fmt;
use std::ops::{Deref, DerefMut};

use crate::field_set::FieldSet;
use crate::fields::{Found, ShadowFields, Unpublished};
use crate::host::{ExclusiveHost, Host};
use crate::identity::Identity;
use crate::sync::const_fn;

/// A value of any type together with its shadow fields: a host for types that embed no fields.
///
/// Costs 8 bytes beside the value, and one allocation per declaration whose fields are used. The drop of the wrapper
/// drops the fields before the value. The wrapper dereferences to the value. An accessor hides a method of the value
/// with the same name; `(*wrapped).method()` calls the hidden method. `Shadowed` itself has no methods, only associated
/// functions, and so hides no method of the value.
///
/// ```
/// use shadow_runtime::{Shadowed, shadow};
///
/// shadow! {
///     trait ListFields for Shadowed<Vec<u8>> {
///         attach origin: String;
///     }
/// }
///
/// let mut list = Shadowed::new(vec![1, 2]);
/// list.attach_origin("a file".to_owned()).unwrap();
/// list.push(3);
/// assert_eq!(list.origin().unwrap(), "a file");
/// assert_eq!(list.detach_origin().as_deref(), Some("a file"));
/// assert_eq!(Shadowed::into_inner(list), [1, 2, 3]);
/// ```
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shadowed<T> {
    fields: ShadowFields,
    value: T,
}

impl<T> Shadowed<T> {
    const_fn! {
        /// Makes a host of `value`. Allocates no memory.
        ///
        /// ```
        /// let host = shadow_runtime::Shadowed::new(1);
        /// assert_eq!(*host, 1);
        /// ```
        #[must_use]
        pub const fn new(value: T) -> Self {
            Self { fields: ShadowFields::new(), value }
        }
    }

    /// Drops the fields and returns the value. The cost is the cost of the destructors.
    ///
    /// ```
    /// use shadow_runtime::Shadowed;
    ///
    /// assert_eq!(Shadowed::into_inner(Shadowed::new(1)), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// If the destructor of a field panics: after all destructors have run.
    pub fn into_inner(this: Self) -> T {
        let Self { fields, value } = this;
        // Before the return, while `value` is a local variable: if a destructor panics, unwinding drops a local, but
        // leaks a return value.
        drop(fields);
        value
    }
}

impl<T> From<T> for Shadowed<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T> Deref for Shadowed<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> DerefMut for Shadowed<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Shadowed<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Shadowed").field("value", &self.value).field("fields", &self.fields).finish()
    }
}

// SAFETY: a `Shadowed` embeds one `ShadowFields`, so P1 to P3 hold by the functions of `ShadowFields`.
unsafe impl<T> Host for Shadowed<T> {
    #[inline]
    fn find<S: FieldSet + 'static>(host: &Self) -> Option<Found<'_, S>> {
        host.fields.find()
    }

    #[inline]
    fn find_or_insert<S: FieldSet + 'static>(host: &Self) -> &S {
        host.fields.find_or_insert()
    }

    #[inline]
    fn new_first<S: FieldSet + 'static>(host: &Self) -> Option<Unpublished<S>> {
        host.fields.new_first()
    }

    #[inline]
    unsafe fn insert_first<S: FieldSet + 'static>(host: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        // SAFETY: by the contract `new` comes from `new_first` of these fields, and its first cell is ready.
        unsafe { host.fields.insert_first(new) }
    }

    #[inline]
    fn identity(host: &Self) -> Identity {
        host.fields.identity()
    }

    #[inline]
    fn fields_mut(host: &mut Self) -> Option<&mut ShadowFields> {
        Some(&mut host.fields)
    }
}

impl<T> ExclusiveHost for Shadowed<T> {}
