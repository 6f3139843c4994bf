//! The error of a request that would close a cycle of initialisers.
//!
//! In: the keys of the fields of the cycle, by `graph.rs`. Out: [`Circle`]: an error of `raw`, and the panic of a
//! declared field. Without memory for the names, the error has a fixed message.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use super::InitKey;
use crate::fallible::{OutOfMemory, try_format};

/// An initialiser requests the field that it initialises, itself or through a cycle of waiting threads.
///
/// A wait for the init lock of the field would be a deadlock. So the request fails, and names all fields of the cycle.
/// Without memory, the error is the same, and the message names no field. The error is an ordinary error for the
/// initialiser: other threads of the cycle go on when the initialiser returns.
/// For a declared field, the same message is a panic.
///
/// ```
/// use shadow_runtime::raw::{self, InitError};
///
/// const SIZE: raw::Id<usize> = raw::Id::new(1);
///
/// let object = std::ptr::null();
/// // SAFETY: no field is attached.
/// let own = || unsafe { SIZE.get_or_attach(object, || Ok::<_, ()>(8)) }.copied();
/// // SAFETY: as above.
/// let failed = unsafe { SIZE.get_or_attach(object, own) }.unwrap_err();
/// let InitError::Init(InitError::Circle(circle)) = failed else { panic!("{failed:?}") };
/// assert!(circle.to_string().starts_with("raw id 1 is asked for by its own initialiser"));
/// ```
#[must_use]
pub struct Circle<V = ()> {
    message: Cow<'static, str>,
    value: V,
}

const WITHOUT_MEMORY: &str = "a field is asked for in a cycle of initialisers (no memory for the names of the fields)";

struct Message<'a> {
    fields: &'a [InitKey],
    alone: bool,
}

impl Circle {
    /// `fields`: the fields of the cycle, the first of which is the requested field, or no memory for them. `alone`: no
    /// other thread is in the cycle.
    #[cold]
    pub(super) fn new(fields: Result<&[InitKey], OutOfMemory>, alone: bool) -> Self {
        let message = fields.and_then(|fields| try_format(&Message { fields, alone }));
        Self { message: message.map_or(Cow::Borrowed(WITHOUT_MEMORY), Cow::Owned), value: () }
    }

    /// Panics with the message of the error, and the location of the caller.
    #[cold]
    #[track_caller]
    pub(crate) fn raise(self) -> ! {
        panic!("{}", self.message)
    }

    /// The same error, with the ownership of the refused value.
    pub(crate) fn refusing<V>(self, value: V) -> Circle<V> {
        Circle { message: self.message, value }
    }
}

impl<V> Circle<V> {
    /// The refused value of [`Id::attach`](crate::raw::Id::attach).
    ///
    /// ```
    /// use shadow_runtime::raw::{self, AttachError};
    ///
    /// const SIZE: raw::Id<usize> = raw::Id::new(1);
    ///
    /// let object = std::ptr::null();
    /// // SAFETY: no field is attached.
    /// let attached = unsafe {
    ///     SIZE.get_or_attach(object, || match SIZE.attach(object, 8) {
    ///         Err(AttachError::Circle(circle)) => Err(circle.into_value()),
    ///         other => Ok(*other.unwrap()),
    ///     })
    /// };
    /// assert!(matches!(attached, Err(raw::InitError::Init(8))));
    /// ```
    pub fn into_value(self) -> V {
        self.value
    }
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, others @ ..] = self.fields else { return Ok(()) };
        let how = if self.alone { "by its own initialiser" } else { "in a cycle of initialisers" };
        write!(formatter, "{first} is asked for {how}")?;
        if others.is_empty() {
            return formatter.write_str(", which has to compute the value without the field");
        }
        write!(formatter, ": {first} → ")?;
        others.iter().try_for_each(|field| write!(formatter, "{field} → "))?;
        write!(formatter, "{first}; one of these initialisers has to compute its value without the next field")
    }
}

// `Debug` and `Display` have no bound on `V`, so `unwrap` works for every value.
impl<V> fmt::Debug for Circle<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Circle").field("message", &self.message).finish_non_exhaustive()
    }
}

impl<V> fmt::Display for Circle<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.message)
    }
}

impl<V> Error for Circle<V> {}
