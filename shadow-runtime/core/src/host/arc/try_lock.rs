//! The lock of a log, which an attach tries: if another thread has it, the attach goes to another log.
//!
//! In: a value. Out: exclusive access to it, one thread at a time. Neighbour: `logs.rs`.
//!
//! Releasing a lock on which threads may sleep is an exchange, since a sleeping thread has to be woken; releasing this
//! one is a store. That is 4 of 90 ns of an attach in row 9 of the benchmarks. The few that wait for it, sweeps on
//! demand, yield until it is free: it is held for some hundred instructions, under which neither user code nor the
//! allocator runs.
//!
//! - **Y1** The value is accessed by the thread alone that has taken `is_taken` from `false` to `true` and not yet
//!   back.
//!
//! *Acquire* on taking pairs with the *Release* on giving back: the next thread sees all that the last one has written.

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
    use crate::sync::wait_a_moment;

    pub(in crate::host::arc) struct TryLock<T> {
        is_taken: AtomicBool,
        value: UnsafeCell<T>,
    }

    /// Exclusive access, given back when this is dropped.
    pub(in crate::host::arc) struct Guard<'lock, T> {
        lock: &'lock TryLock<T>,
        #[cfg(debug_assertions)]
        _count: LockCount,
    }

    // SAFETY: by Y1 one thread at a time has the value, which asks for `Send`.
    unsafe impl<T: Send> Sync for TryLock<T> {}

    impl<T> TryLock<T> {
        pub(in crate::host::arc) const fn new(value: T) -> Self {
            Self { is_taken: AtomicBool::new(false), value: UnsafeCell::new(value) }
        }

        #[inline]
        pub(in crate::host::arc) fn try_lock(&self) -> Option<Guard<'_, T>> {
            // Acquire: pairs with the Release of the guard's drop.
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
                wait_a_moment();
            }
        }
    }

    impl<T> Deref for Guard<'_, T> {
        type Target = T;

        #[inline]
        fn deref(&self) -> &T {
            // SAFETY: by Y1 no other thread accesses the value while the guard is there.
            unsafe { &*self.lock.value.get() }
        }
    }

    impl<T> DerefMut for Guard<'_, T> {
        #[inline]
        fn deref_mut(&mut self) -> &mut T {
            // SAFETY: as in `deref`, and the guard is borrowed exclusively.
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

/// The model checker's own lock, whose waits it sees.
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
