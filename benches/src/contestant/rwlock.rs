//! One `pthread_rwlock_t` over a hash table of `glib.rs`: the side table of a C program.
//!
//! In: a host and a value. Out: the value, by the host. A lookup takes the lock for reading, calls the table, and
//! unlocks.
//!
//! - **L3** A thread borrows `table` only while the thread holds the lock: as `&` for reading, as `&mut` for writing.
//!   The lock is in a box of its own, so the lock does not move, and does not share a cache line with the table.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::ptr;
use std::sync::Arc;

use libc::{
    PTHREAD_RWLOCK_INITIALIZER, pthread_rwlock_destroy, pthread_rwlock_rdlock, pthread_rwlock_t, pthread_rwlock_unlock,
    pthread_rwlock_wrlock,
};

use crate::contestant::glib::HashTable;
use crate::contestant::{Get, Table, address};
use crate::hosts::Object;

/// The table and its lock.
pub struct RwLocked {
    lock: Box<UnsafeCell<pthread_rwlock_t>>,
    table: UnsafeCell<HashTable>,
}

// SAFETY: every thread may use the lock. By L3 a thread that borrows the table holds the lock, which excludes a `&mut`
// beside another borrow.
unsafe impl Sync for RwLocked {}

impl Table for RwLocked {
    const NAME: &'static str = "rwlock, like GHashTable";

    fn empty() -> Self {
        Self { lock: Box::new(UnsafeCell::new(PTHREAD_RWLOCK_INITIALIZER)), table: UnsafeCell::new(HashTable::new()) }
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        // SAFETY: by L3 the lock is initialised and does not move. This thread does not hold the lock.
        assert_eq!(unsafe { pthread_rwlock_wrlock(self.lock.get()) }, 0);
        // SAFETY: this thread holds the lock for writing, so by L3 no other borrow exists.
        let inserted = unsafe { &mut *self.table.get() }.insert(address(host), Box::new(value));
        // SAFETY: this thread holds the lock, and the borrow has ended.
        unsafe { pthread_rwlock_unlock(self.lock.get()) };
        assert!(inserted, "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        self.find(host, |value| *value)
    }
}

impl Get for RwLocked {
    #[inline]
    fn get(&self, host: &Arc<Object>) -> usize {
        self.find(host, |value| ptr::from_ref(value).addr()).unwrap_or(0)
    }
}

impl RwLocked {
    /// Calls `look` with the value of `host`, under the lock.
    #[inline]
    fn find<R>(&self, host: &Arc<Object>, look: impl FnOnce(&u64) -> R) -> Option<R> {
        // SAFETY: by L3 the lock is initialised and does not move. No call under the lock takes the lock again.
        if unsafe { pthread_rwlock_rdlock(self.lock.get()) } != 0 {
            return None;
        }
        // SAFETY: this thread holds the lock for reading, so by L3 all other borrows are shared.
        let result = unsafe { &*self.table.get() }.find(address(host)).map(look);
        // SAFETY: this thread holds the lock, and the borrow has ended.
        unsafe { pthread_rwlock_unlock(self.lock.get()) };
        result
    }
}

impl fmt::Debug for RwLocked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RwLocked").finish_non_exhaustive()
    }
}

impl Drop for RwLocked {
    fn drop(&mut self) {
        // SAFETY: `&mut self` excludes a thread with the lock, and the lock is not used again.
        unsafe { pthread_rwlock_destroy(self.lock.get()) };
    }
}
