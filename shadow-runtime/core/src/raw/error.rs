//! The errors of the raw interface.
//!
//! In: a refused value, and the reason. Out: error types that name the reason and hand the value back. Neighbours:
//! `id.rs`, `update_id.rs` and `pointer_id.rs`, which return the errors; `ids.rs`, which detects a mismatch.
#![forbid(unsafe_code)]

use std::error::Error;
use std::fmt;

use crate::error::AlreadyAttached;
use crate::fallible::OutOfMemory;
use crate::init_lock::Circle;
use crate::raw::ids::IdType;
use crate::registry::RawNumber;

/// A number was used with a second type, or with a second kind of id, in this process.
///
/// The first attach by a number binds the number to a type. A mismatch is an error value, so no value is borrowed with
/// a wrong type. [`into_value`](Self::into_value) returns the ownership of a refused value.
///
/// ```
/// use shadow_runtime::raw;
///
/// const SIZE: raw::Id<usize> = raw::Id::new(7);
/// const NAME: raw::UpdateId<&str> = raw::UpdateId::new(7);
///
/// let object = 0_u8;
/// let key = (&raw const object).cast();
/// // SAFETY: the object outlives its fields, and no reference to a value is kept.
/// unsafe {
///     SIZE.attach(key, 8).unwrap();
///     let mismatch = NAME.get_or_update(key, "first").unwrap_err();
///     assert_eq!(mismatch.to_string(), "raw id 7 names `Id<usize>` in this process, not `UpdateId<&str>`");
///     assert_eq!(mismatch.id(), 7);
///     assert_eq!(mismatch.into_value(), "first");
///     raw::detach_object(key);
/// }
/// ```
#[must_use]
pub struct TypeMismatch<V = ()> {
    number: u64,
    known: &'static IdType,
    wanted: IdType,
    value: V,
}

impl TypeMismatch {
    pub(super) fn new(number: u64, known: &'static IdType, wanted: IdType) -> Self {
        Self { number, known, wanted, value: () }
    }

    /// The same error, with the ownership of the refused value.
    pub(super) fn refusing<V>(self, value: V) -> TypeMismatch<V> {
        TypeMismatch { number: self.number, known: self.known, wanted: self.wanted, value }
    }
}

impl<V> TypeMismatch<V> {
    /// The number.
    ///
    /// ```
    /// # use shadow_runtime::raw;
    /// # const SIZE: raw::Id<usize> = raw::Id::new(7);
    /// # const NAME: raw::UpdateId<&str> = raw::UpdateId::new(7);
    /// # let object = 0_u8;
    /// # let key = (&raw const object).cast();
    /// # // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// # unsafe {
    /// # SIZE.attach(key, 8).unwrap();
    /// let mismatch = NAME.get_or_update(key, "first").unwrap_err();
    /// assert_eq!(mismatch.id(), 7);
    /// # raw::detach_object(key);
    /// # }
    /// ```
    #[must_use]
    pub fn id(&self) -> u64 {
        self.number
    }

    /// The refused value.
    ///
    /// ```
    /// # use shadow_runtime::raw;
    /// # const SIZE: raw::Id<usize> = raw::Id::new(7);
    /// # const NAME: raw::UpdateId<&str> = raw::UpdateId::new(7);
    /// # let object = 0_u8;
    /// # let key = (&raw const object).cast();
    /// # // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// # unsafe {
    /// # SIZE.attach(key, 8).unwrap();
    /// let mismatch = NAME.get_or_update(key, "first").unwrap_err();
    /// assert_eq!(mismatch.into_value(), "first");
    /// # raw::detach_object(key);
    /// # }
    /// ```
    pub fn into_value(self) -> V {
        self.value
    }
}

impl<V> fmt::Display for TypeMismatch<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, known, wanted, .. } = self;
        let number = RawNumber { number: *number, name: wanted.name().or(known.name()) };
        write!(formatter, "{number} names `{known}` in this process, not `{wanted}`")
    }
}

impl<V> fmt::Debug for TypeMismatch<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("TypeMismatch")
            .field("id", &self.number)
            .field("names", &format_args!("{}", self.known))
            .field("wanted", &format_args!("{}", self.wanted))
            .finish_non_exhaustive()
    }
}

impl<V> Error for TypeMismatch<V> {}

/// The reason for a refusal by [`Id::attach`](super::Id::attach). Each variant hands the value back.
///
/// ```
/// use shadow_runtime::raw::{self, AttachError};
///
/// const SIZE: raw::Id<usize> = raw::Id::new(1);
///
/// let object = 0_u8;
/// let key = (&raw const object).cast();
/// // SAFETY: the object outlives its fields, and no reference to a value is kept.
/// unsafe {
///     SIZE.attach(key, 8).unwrap();
///     let refused = SIZE.attach(key, 9).unwrap_err();
///     assert!(matches!(refused, AttachError::AlreadyAttached(_)));
///     assert_eq!(refused.into_value(), 9);
///     raw::detach_object(key);
/// }
/// ```
#[must_use]
#[non_exhaustive]
pub enum AttachError<V> {
    /// The object has a field of this id.
    AlreadyAttached(AlreadyAttached<V>),
    /// The id names a second type or kind in this process.
    TypeMismatch(TypeMismatch<V>),
    /// An initialiser of the field called `attach`, itself or through a cycle of waiting threads.
    Circle(Circle<V>),
}

impl<V> AttachError<V> {
    /// The refused value.
    ///
    /// ```
    /// # use shadow_runtime::raw;
    /// # const SIZE: raw::Id<usize> = raw::Id::new(7);
    /// # const NAME: raw::UpdateId<&str> = raw::UpdateId::new(7);
    /// # let object = 0_u8;
    /// # let key = (&raw const object).cast();
    /// # // SAFETY: the object outlives its fields, and no reference to a value is kept.
    /// # unsafe {
    /// # SIZE.attach(key, 8).unwrap();
    /// let refused = SIZE.attach(key, 9).unwrap_err();
    /// assert_eq!(refused.into_value(), 9);
    /// # raw::detach_object(key);
    /// # }
    /// ```
    pub fn into_value(self) -> V {
        match self {
            Self::AlreadyAttached(error) => error.into_value(),
            Self::TypeMismatch(error) => error.into_value(),
            Self::Circle(error) => error.into_value(),
        }
    }
}

impl<V> fmt::Display for AttachError<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyAttached(error) => error.fmt(formatter),
            Self::TypeMismatch(error) => error.fmt(formatter),
            Self::Circle(error) => error.fmt(formatter),
        }
    }
}

impl<V> fmt::Debug for AttachError<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyAttached(error) => error.fmt(formatter),
            Self::TypeMismatch(error) => error.fmt(formatter),
            Self::Circle(error) => error.fmt(formatter),
        }
    }
}

impl<V> Error for AttachError<V> {}

/// The reason for a failure of a method with an initialiser, or of a method that may lack memory. The call attached no
/// value.
///
/// ```
/// use shadow_runtime::raw::{self, InitError};
///
/// const SIZE: raw::Id<usize> = raw::Id::new(1);
///
/// // SAFETY: nothing is attached.
/// let failed = unsafe { SIZE.get_or_attach(std::ptr::null(), || "x".parse()) }.unwrap_err();
/// assert!(matches!(failed, InitError::Init(_)));
/// assert_eq!(failed.to_string(), "invalid digit found in string");
/// ```
#[derive(Debug)]
#[must_use]
#[non_exhaustive]
pub enum InitError<E> {
    /// The initialiser failed.
    Init(E),
    /// The id names a second type or kind in this process.
    TypeMismatch(TypeMismatch),
    /// An initialiser of the field requested the field, itself or through a cycle of waiting threads.
    Circle(Circle),
    /// The object has a field of this id: [`Id::attach_with`](super::Id::attach_with),
    /// [`UpdateId::attach_with`](super::UpdateId::attach_with) and
    /// [`PointerId::attach_with`](super::PointerId::attach_with) attach to an empty field only.
    AlreadyAttached(AlreadyAttached<()>),
    /// There is no memory for the field. Methods of an [`Id`](super::Id) do not return this error: without memory, they
    /// end the process.
    OutOfMemory(OutOfMemory),
}

impl<E> From<OutOfMemory> for InitError<E> {
    fn from(none: OutOfMemory) -> Self {
        Self::OutOfMemory(none)
    }
}

impl<E: fmt::Display> fmt::Display for InitError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Init(error) => error.fmt(formatter),
            Self::TypeMismatch(error) => error.fmt(formatter),
            Self::Circle(error) => error.fmt(formatter),
            Self::AlreadyAttached(error) => error.fmt(formatter),
            Self::OutOfMemory(error) => error.fmt(formatter),
        }
    }
}

impl<E: Error> Error for InitError<E> {
    /// This error displays as the inner error, so its source is the inner error's source.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Init(error) => error.source(),
            Self::TypeMismatch(error) => error.source(),
            Self::Circle(error) => error.source(),
            Self::AlreadyAttached(error) => error.source(),
            Self::OutOfMemory(error) => error.source(),
        }
    }
}
