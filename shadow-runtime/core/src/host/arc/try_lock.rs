//! The lock of a log, and of a group of old hosts. An attach tries the lock of a log. If another thread has the lock,
//! the attach uses another log.
//!
//! In: a value. Out: exclusive access to the value, for one thread at a time. Neighbour: `logs.rs`.
//!
//! The unlock is a store. The unlock of a mutex with sleeping waiters is an atomic exchange, since the unlock may have
//! to wake a thread. The difference is 4 of the 90 ns of an attach (row 9 of the benchmarks). Waiters are rare:
//! sweeps on demand, and attaches that find every log or every group of old hosts locked. A waiter yields until the
//! lock is free. The lock is held for some hundred instructions, without user code and without the allocator.
//!
//! - **Y1** While `is_taken` is `true`, only the thread that has set `is_taken` accesses the value. While `is_taken` is
//!   `false`, no thread does.
//!
//! The *Acquire* of a lock pairs with the *Release* of the unlock before: the next thread sees all writes of the last
//! thread.

#[cfg(loom)]
pub(super) use loomed::{Guard, TryLock};
#[cfg(not(loom))]
pub(super) use real::{Guard, TryLock};

#[cfg(not(loom))]
mod real {
    use std::cell::UnsafeCell;
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicBool, Ordering};

    #[cfg(debug_assertions)]
    use crate::sync::LockCount;
    use crate::sync::yield_now;

    pub(in crate::host::arc) struct TryLock<T> {
        is_taken: AtomicBool,
        value: UnsafeCell<T>,
    }

    /// Exclusive access. The drop unlocks.
    pub(in crate::host::arc) struct Guard<'lock, T> {
        lock: &'lock TryLock<T>,
        #[cfg(debug_assertions)]
        _count: LockCount,
    }

    // SAFETY: by Y1 one thread at a time accesses the value, so a shared lock requires `Send` of the value only.
    unsafe impl<T: Send> Sync for TryLock<T> {}

    impl<T> TryLock<T> {
        pub(in crate::host::arc) const fn new(value: T) -> Self {
            Self { is_taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        #[inline]
        pub(in crate::host::arc) fn try_lock(&self) -> Option<Guard<'_, T>> {
            // Acquire: pairs with the Release of the guard's drop. Relaxed on failure: the value is not accessed.
            let is_taken = self.is_taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
            is_taken.is_ok().then(|| Guard {
                lock: self,
                #[cfg(debug_assertions)]
                _count: LockCount::one(),
            })
        }

        pub(in crate::host::arc) fn lock(&self) -> Guard<'_, T> {
            loop {
                if let Some(guard) = self.try_lock() {
                    return guard;
                }
                yield_now();
            }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            // SAFETY: by Y1 no other thread accesses the value while the guard exists.
            unsafe { &*self.lock.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: by Y1 no other thread accesses the value, and the exclusive borrow of the guard excludes other
            // references.
            unsafe { &mut *self.lock.value.get() }
        }
    }

    impl<T> Drop for Guard<'_, T> {
        #[inline]
        fn drop(&mut self) {
            // Release: pairs with the Acquire of `try_lock`.
            self.lock.is_taken.store(false, Ordering::Release);
        }
    }
}

/// A mutex of loom, so that loom sees the waits.
#[cfg(loom)]
mod loomed {
    use crate::sync::{Locked, Mutex, lock, try_lock};

    pub(in crate::host::arc) type Guard<'lock, T> = Locked<'lock, T>;

    pub(in crate::host::arc) struct TryLock<T>(Mutex<T>);

    impl<T> TryLock<T> {
        pub(in crate::host::arc) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(in crate::host::arc) fn try_lock(&self) -> Option<Guard<'_, T>> {
            try_lock(&self.0)
        }

        pub(in crate::host::arc) fn lock(&self) -> Guard<'_, T> {
            lock(&self.0)
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::TryLock;
    use crate::fewer::fewer;

    #[test]
    fn one_thread_at_a_time_has_the_value() {
        let (lock, rounds) = (Arc::new(TryLock::new(0_usize)), fewer(50_000, 50));
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let lock = Arc::clone(&lock);
                thread::spawn(move || {
                    for round in 0..rounds {
                        let guard = if (round + number) % 2 == 0 { lock.try_lock() } else { None };
                        let mut guard = guard.unwrap_or_else(|| lock.lock());
                        let before = *guard;
                        assert!(lock.try_lock().is_none());
                        *guard = before + 1;
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it holds");
        }
        assert_eq!(*lock.lock(), 4 * rounds);
    }
}
