//! `ArcRef<T, V>`: a reference to a value, together with the `Arc` that keeps the value alive.
//!
//! In: an `Arc`, and a closure that borrows a value from the `Arc`. Out: an owned reference to the value. Neighbours:
//! `host/arc/mod.rs` and `host/embedded.rs`, the hosts whose accessors the closures call.
//!
//! An accessor of an `Arc` host is a method of the `Arc`, not of the object behind it. So the closure borrows the
//! `Arc`, which `ArcRef` moves afterwards:
//!
//! - **A3** `value` is valid for reads as long as a strong count of the object of `host` exists.
//!
//! The closure accepts every lifetime `'a`, and gets nothing of this lifetime but a `&'a Arc<T>`. So the `&'a V` of the
//! closure has one of three origins. It is a `&'static V`; or it leads into the memory of the `Arc` itself, which
//! `ArcRef` refuses; or it leads to what a strong count keeps alive: the object, and its fields. With `T: 'static` and
//! `V: 'static`, no shorter lifetime is hidden in the types.

use std::fmt;
use std::ops::Deref;
use std::ptr::{self, NonNull};
use std::sync::Arc;

/// An owned reference to a value of a shadow field: holds the `Arc` of the host, and dereferences to the value.
///
/// A `&V` of an accessor borrows the host. An `ArcRef` borrows nothing, so a function can return the `ArcRef`, a struct
/// can store it, and a task can own it. Any value behind the `Arc` will do: a field of an `Arc` host, a field of an
/// embedded host or a [`Shadowed`](crate::Shadowed) behind an `Arc`, or a member.
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use std::thread;
/// use shadow_runtime::{ArcRef, shadow};
///
/// struct Connection;
///
/// shadow! {
///     trait ConnectionFields for Arc<Connection> { get_or_attach sent: AtomicU64; }
/// }
///
/// fn sent(connection: &Arc<Connection>) -> ArcRef<Connection, AtomicU64> {
///     ArcRef::new(Arc::clone(connection), ConnectionFields::sent)
/// }
///
/// let connection = Arc::new(Connection);
/// let sent = sent(&connection);
/// thread::spawn(move || sent.fetch_add(1, Ordering::Relaxed)).join().unwrap();
/// assert_eq!(connection.sent().load(Ordering::Relaxed), 1);
/// ```
///
/// # Cost
///
/// The size of the `Arc` and of a `&V`. Neither the functions here nor a dereference allocates, blocks or takes a lock;
/// a clone increments the reference count of the `Arc`. As long as an `ArcRef` exists, the host is alive, and so are
/// its fields.
///
/// # Threads
///
/// An `ArcRef<T, V>` is `Send` and `Sync` if `Arc<T>` is and `V: Sync`. Values of shadow fields always are `Sync`.
pub struct ArcRef<T: ?Sized, V: ?Sized> {
    value: NonNull<V>,
    host: Arc<T>,
}

// SAFETY: an `ArcRef` is an `Arc<T>` and, by A3, a `&V`.
unsafe impl<T: ?Sized, V: ?Sized + Sync> Send for ArcRef<T, V> where Arc<T>: Send {}
// SAFETY: as for `Send`.
unsafe impl<T: ?Sized, V: ?Sized + Sync> Sync for ArcRef<T, V> where Arc<T>: Sync {}

impl<T: ?Sized + 'static, V: ?Sized + 'static> ArcRef<T, V> {
    /// Borrows a value from `host` by `borrow`, and keeps the two together.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::ArcRef;
    ///
    /// let name = ArcRef::new(Arc::new((1, String::from("one"))), |pair| pair.1.as_str());
    /// assert_eq!(&*name, "one");
    /// ```
    ///
    /// # Panics
    ///
    /// If `borrow` panics, or returns a reference to the `Arc` itself instead of a value behind the `Arc`.
    #[track_caller]
    pub fn new(host: Arc<T>, borrow: impl for<'a> FnOnce(&'a Arc<T>) -> &'a V) -> Self {
        let value = value_behind(&host, borrow(&host));
        Self { value, host }
    }

    /// As [`new`](Self::new), if `borrow` finds a value. Else drops `host`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{ArcRef, shadow};
    ///
    /// struct Connection;
    ///
    /// shadow! {
    ///     trait ConnectionFields for Arc<Connection> { attach peer: String; }
    /// }
    ///
    /// let connection = Arc::new(Connection);
    /// let peer = |connection: &Arc<Connection>| ArcRef::find(Arc::clone(connection), ConnectionFields::peer);
    /// assert!(peer(&connection).is_none());
    /// connection.attach_peer("backup".to_owned()).unwrap();
    /// assert_eq!(*peer(&connection).unwrap(), "backup");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn find(host: Arc<T>, borrow: impl for<'a> FnOnce(&'a Arc<T>) -> Option<&'a V>) -> Option<Self> {
        let value = value_behind(&host, borrow(&host)?);
        Some(Self { value, host })
    }

    /// As [`new`](Self::new), if `borrow` succeeds. Else drops `host`, and returns the error.
    ///
    /// ```
    /// use std::num::ParseIntError;
    /// use std::sync::Arc;
    /// use shadow_runtime::{ArcRef, shadow};
    ///
    /// shadow! {
    ///     trait TextFields for Arc<str> { get_or_attach number: u32; }
    /// }
    ///
    /// fn number(text: &str) -> Result<ArcRef<str, u32>, ParseIntError> {
    ///     ArcRef::try_new(text.into(), |text| text.get_or_try_attach_number(|| text.parse()))
    /// }
    ///
    /// assert_eq!(*number("7").unwrap(), 7);
    /// assert!(number("seven").is_err());
    /// ```
    ///
    /// # Errors
    ///
    /// The error of `borrow`.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[track_caller]
    pub fn try_new<E>(host: Arc<T>, borrow: impl for<'a> FnOnce(&'a Arc<T>) -> Result<&'a V, E>) -> Result<Self, E> {
        let value = value_behind(&host, borrow(&host)?);
        Ok(Self { value, host })
    }

    /// A reference to a part of the value, with the same host.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::ArcRef;
    ///
    /// let pair = ArcRef::new(Arc::new([(1, "one")]), |pairs| &pairs[0]);
    /// assert_eq!(*ArcRef::map(pair, |pair| &pair.0), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// If `part` panics.
    pub fn map<P: ?Sized + 'static>(this: Self, part: impl for<'a> FnOnce(&'a V) -> &'a P) -> ArcRef<T, P> {
        let value = NonNull::from(part(&this));
        ArcRef { value, host: this.host }
    }
}

impl<T: ?Sized, V: ?Sized> ArcRef<T, V> {
    /// The host.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::ArcRef;
    ///
    /// let first = ArcRef::new(Arc::new([1, 2]), |numbers| &numbers[0]);
    /// assert_eq!(**ArcRef::host(&first), [1, 2]);
    /// ```
    #[must_use]
    pub const fn host(this: &Self) -> &Arc<T> {
        &this.host
    }

    /// The host, by value. Ends the reference to the value.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::ArcRef;
    ///
    /// let first = ArcRef::new(Arc::new([1, 2]), |numbers| &numbers[0]);
    /// assert_eq!(*ArcRef::into_host(first), [1, 2]);
    /// ```
    #[must_use]
    pub fn into_host(this: Self) -> Arc<T> {
        this.host
    }
}

/// The pointer to a value that a closure has borrowed from `host`, for A3.
#[track_caller]
fn value_behind<T: ?Sized, V: ?Sized>(host: &Arc<T>, value: &V) -> NonNull<V> {
    let (start, own) = (ptr::from_ref(value).addr(), ptr::from_ref(host).addr());
    let is_apart = start + size_of_val(value) <= own || own + size_of_val(host) <= start;
    assert!(is_apart, "the closure has returned a reference to the `Arc` itself, not to a value behind the `Arc`");
    NonNull::from(value)
}

impl<T: ?Sized, V: ?Sized> Deref for ArcRef<T, V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        // SAFETY: `self.host` is a strong count, which lives as long as the borrow of `self`. So by A3 the value is
        // valid for reads.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized, V: ?Sized> AsRef<V> for ArcRef<T, V> {
    fn as_ref(&self) -> &V {
        self
    }
}

impl<T: ?Sized, V: ?Sized> Clone for ArcRef<T, V> {
    fn clone(&self) -> Self {
        Self { value: self.value, host: Arc::clone(&self.host) }
    }
}

impl<T: ?Sized, V: ?Sized + fmt::Debug> fmt::Debug for ArcRef<T, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}

impl<T: ?Sized, V: ?Sized + fmt::Display> fmt::Display for ArcRef<T, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(formatter)
    }
}
