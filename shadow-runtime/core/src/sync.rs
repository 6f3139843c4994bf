//! The one place that says whose atomics, locks, statics and thread-locals the library uses.
//!
//! In: nothing. Out: the names that every other module imports. They are std's; under `--cfg loom` they are the model
//! checker's, so that the models (`tests/loom_*.rs`) run the code that users run. The `Arc` here
//! is the one that is a host: under the model checker one of its own, whose counts it sees (`host/arc/modelled.rs`). The
//! counts of fields stay std's: they are in statics of the users' crates, and nothing is concluded from them.
#![forbid(unsafe_code)]

#[cfg(loom)]
pub(crate) use crate::host::modelled::{Arc, Weak};
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, Weak};

pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::sync::{PoisonError, TryLockError};

/// std's in any case, for what is in statics that are not in this library, and for what goes with them.
pub(crate) mod plain {
    #[cfg(not(feature = "counts"))]
    pub(crate) use std::sync::atomic::AtomicBool;
    #[cfg(feature = "counts")]
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Mutex, MutexGuard};

    /// As [`lock`](super::lock).
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// std's, in the words of the model checker's, which sees every access.
#[cfg(not(loom))]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) const fn new(inner: T) -> Self {
        Self(std::cell::UnsafeCell::new(inner))
    }

    #[inline]
    pub(crate) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// Locks `mutex`. No code of a user runs under a lock of the library, so a poisoned one holds nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex`, if no thread has it.
#[inline]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Nothing: what stands around it is `SeqCst`, which a model checker takes for no more than `AcqRel`, so that it needs a
/// fence there.
#[inline]
pub(crate) fn full_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Lets another thread finish the few steps that it is in the middle of.
#[cold]
pub(crate) fn wait_a_moment() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}

/// A `const fn`, but under a model checker, whose atomics are not made in constants.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis const fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        $visibility const fn $($rest)*
        #[cfg(loom)]
        $(#[$attribute])*
        $visibility fn $($rest)*
    };
}
pub(crate) use const_fn;

/// An array of atomics, which are not made in constants under a model checker.
macro_rules! array_of {
    ($count:expr, $item:expr) => {{
        #[cfg(not(loom))]
        let array = [const { $item }; $count];
        #[cfg(loom)]
        let array: [_; $count] = std::array::from_fn(|_| $item);
        array
    }};
}
pub(crate) use array_of;

/// A static that is shared between threads; under a model checker each run of a model has its own.
macro_rules! shared {
    ($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;) => {
        #[cfg(not(loom))]
        $(#[$attribute])*
        static $name: $type = $value;
        #[cfg(loom)]
        loom::lazy_static! {
            $(#[$attribute])*
            static ref $name: $type = $value;
        }
    };
}
pub(crate) use shared;

/// Thread-locals that are made without code. A model checker's threads are none of the system's, and have their own.
macro_rules! local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        #[cfg(not(loom))]
        std::thread_local! { $($(#[$attribute])* static $name: $type = const { $value };)* }
        #[cfg(loom)]
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $value;)* }
    };
}
pub(crate) use local;
