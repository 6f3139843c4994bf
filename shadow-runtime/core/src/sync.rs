//! The one place that says whose atomics, locks, statics and thread-locals the library uses.
//!
//! In: nothing. Out: the names that every other module imports. They are std's; under `--cfg loom` they are the model
//! checker's, so that the models (`tests/loom_*.rs`) run the code that users run. The `Arc` here is the one that is a
//! host: under the model checker one of its own, whose counts it sees (`host/arc/modelled.rs`). The counts of fields
//! stay std's: they are in statics of the users' crates, and nothing is concluded from them.
#![forbid(unsafe_code)]

#[cfg(loom)]
pub(crate) use crate::host::modelled::{Arc, Weak};
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, Weak};

pub(crate) use std::sync::PoisonError;
pub(crate) use std::sync::atomic::Ordering;

/// A lock that is held.
#[cfg(loom)]
pub(crate) type Locked<'mutex, T> = loom::sync::MutexGuard<'mutex, T>;
#[cfg(not(any(loom, debug_assertions)))]
pub(crate) type Locked<'mutex, T> = std::sync::MutexGuard<'mutex, T>;
#[cfg(all(debug_assertions, not(loom)))]
pub use counted::locks_held;
#[cfg(all(debug_assertions, not(loom)))]
pub(crate) use counted::{Count as LockCount, Locked};

/// std's in any case, for what is in statics that are not in this library, and for what goes with them.
pub(crate) mod plain {
    pub(crate) use std::sync::Mutex;
    #[cfg(feature = "counts")]
    pub(crate) use std::sync::atomic::AtomicU64;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicUsize};

    #[cfg(not(loom))]
    pub(crate) use super::lock;

    /// As [`lock`](super::lock).
    #[cfg(loom)]
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Locks that count, for each thread, how many of them the thread holds: a global allocator of a test asserts that
/// there are none while it runs. In a build with debug assertions only.
#[cfg(all(debug_assertions, not(loom)))]
mod counted {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::MutexGuard;

    std::thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
    }

    /// How many locks of the library this thread holds. In a build with debug assertions only, for tests.
    #[must_use]
    pub fn locks_held() -> usize {
        HELD.try_with(Cell::get).unwrap_or_default()
    }

    /// A lock that is held.
    pub(crate) struct Locked<'mutex, T> {
        // Unlocked before it is no longer counted: fields are dropped in this order.
        pub(super) guard: MutexGuard<'mutex, T>,
        pub(super) count: Count,
    }

    /// One lock in the count of this thread.
    pub(crate) struct Count(());

    impl Count {
        pub(crate) fn one() -> Self {
            let _ = HELD.try_with(|held| held.set(held.get() + 1));
            Self(())
        }
    }

    impl Drop for Count {
        fn drop(&mut self) {
            let _ = HELD.try_with(|held| held.set(held.get() - 1));
        }
    }

    impl<T> Deref for Locked<'_, T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for Locked<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
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

/// Locks `mutex`. Neither code of a user nor the global allocator runs under a lock of the library (R4), so a poisoned
/// one holds nothing half done.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Locked<'_, T> {
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(all(debug_assertions, not(loom)))]
    let guard = Locked { guard, count: counted::Count::one() };
    guard
}

/// Unlocks, sleeps until `condvar` is notified, or for no reason, and locks again.
pub(crate) fn wait<'mutex, T>(condvar: &Condvar, locked: Locked<'mutex, T>) -> Locked<'mutex, T> {
    #[cfg(all(debug_assertions, not(loom)))]
    {
        let Locked { guard, count } = locked;
        let guard = condvar.wait(guard).unwrap_or_else(PoisonError::into_inner);
        Locked { guard, count }
    }
    #[cfg(any(loom, not(debug_assertions)))]
    condvar.wait(locked).unwrap_or_else(PoisonError::into_inner)
}

/// Locks `mutex`, if no thread has it.
#[cfg(loom)]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<Locked<'_, T>> {
    mutex.try_lock().ok()
}

/// Nothing: what stands around it is `SeqCst`, which a model checker takes for no more than `AcqRel`, so that it needs
/// a fence there.
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
