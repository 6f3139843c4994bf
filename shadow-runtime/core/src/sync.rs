//! The primitives of the library: atomics, locks, statics and thread-locals, from std or from loom.
//!
//! In: no input. Out: the names that every other module imports. The names are std's, and loom's under `--cfg loom`. So
//! the models (`loom_tests/`, `tests/loom_*.rs`) run the code that users run. `Arc` here is the type of `Arc` hosts: in
//! models of this crate a type with counts that loom observes (`loom_tests/modelled_arc.rs`). The counters of fields
//! are always std's: they are in statics of user crates, and publish no other memory.
#![forbid(unsafe_code)]

#[cfg(all(test, loom))]
pub(crate) use crate::loom_tests::modelled_arc::{Arc, Weak};
#[cfg(loom)]
pub(crate) use loom::cell::UnsafeCell;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(loom)]
pub(crate) use loom::sync::{Condvar, Mutex};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, fence};
#[cfg(not(all(test, loom)))]
pub(crate) use std::sync::{Arc, Weak};
#[cfg(not(loom))]
pub(crate) use std::sync::{Condvar, Mutex};

pub(crate) use std::sync::PoisonError;
pub(crate) use std::sync::atomic::Ordering;

/// The guard of a lock.
#[cfg(loom)]
pub(crate) type Locked<'mutex, T> = loom::sync::MutexGuard<'mutex, T>;
#[cfg(not(any(loom, debug_assertions)))]
pub(crate) type Locked<'mutex, T> = std::sync::MutexGuard<'mutex, T>;
#[cfg(all(debug_assertions, not(loom)))]
pub use counted::locks_held;
#[cfg(all(debug_assertions, not(loom)))]
pub(crate) use counted::{Count as LockCount, Locked};

/// Always std's: for statics in user crates, and for their lock and counters.
pub(crate) mod plain {
    pub(crate) use std::sync::Mutex;
    #[cfg(feature = "counts")]
    pub(crate) use std::sync::atomic::AtomicU64;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

    #[cfg(not(loom))]
    pub(crate) use super::lock;

    /// Locks `mutex`, as [`lock`](super::lock) does.
    #[cfg(loom)]
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
        mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Lock guards that count the locks of each thread. A test's global allocator asserts a count of zero during an
/// allocation (R4). Only in a build with debug assertions.
#[cfg(all(debug_assertions, not(loom)))]
mod counted {
    use std::cell::Cell;
    use std::ops::{Deref, DerefMut};
    use std::sync::MutexGuard;

    std::thread_local! {
        static HELD: Cell<usize> = const { Cell::new(0) };
    }

    /// The number of the library's locks that this thread holds. For tests, in a build with debug assertions only.
    #[must_use]
    pub fn locks_held() -> usize {
        HELD.try_with(Cell::get).unwrap_or_default()
    }

    /// The guard of a lock.
    pub(crate) struct Locked<'mutex, T> {
        // Fields drop in the order of declaration, so the unlock comes before the decrement of the count.
        pub(super) guard: MutexGuard<'mutex, T>,
        pub(super) count: Count,
    }

    /// A share of the thread's count: increments on construction, decrements on drop.
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

/// std's cell with the interface of loom's, which observes every access.
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

/// Locks `mutex`. Ignores poison: neither user code nor the global allocator runs under a lock of the library (R4), so
/// a panic under the lock leaves no broken invariant.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> Locked<'_, T> {
    let guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(all(debug_assertions, not(loom)))]
    let guard = Locked { guard, count: counted::Count::one() };
    guard
}

/// Unlocks, sleeps until a notification of `condvar` or a spurious wake-up, and locks again.
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

/// Locks `mutex`, or returns `None` if a thread holds the lock.
#[cfg(loom)]
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<Locked<'_, T>> {
    mutex.try_lock().ok()
}

/// A store-load fence under loom, which treats `SeqCst` accesses as `AcqRel`; a no-op otherwise, where the `SeqCst`
/// accesses before and after provide the order.
#[inline]
pub(crate) fn full_fence() {
    #[cfg(loom)]
    fence(Ordering::SeqCst);
}

/// Yields the processor, so that another thread can finish a short critical step.
#[cold]
pub(crate) fn yield_now() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}

/// Declares a `const fn`, or a plain `fn` under loom, where atomics have no `const` constructors.
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

/// Makes an array of atomics; under loom at run time, since loom's atomics have no `const` constructors.
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

/// Declares a static that threads share. Under loom, each run of a model has its own.
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

/// Declares thread-locals with constant initialisers. Under loom, declares thread-locals of loom's own threads.
macro_rules! local {
    ($($(#[$attribute:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
        #[cfg(not(loom))]
        std::thread_local! { $($(#[$attribute])* static $name: $type = const { $value };)* }
        #[cfg(loom)]
        loom::thread_local! { $($(#[$attribute])* static $name: $type = $value;)* }
    };
}
pub(crate) use local;
