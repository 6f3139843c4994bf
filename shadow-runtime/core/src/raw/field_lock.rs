//! The init lock of an empty field of `raw`.
//!
//! In: the object and the number of a field, and a lookup of the field. Out: the field, or the init lock of the empty
//! field. Neighbours: `init_lock/mod.rs`, the locks; `id.rs`, `update_id/init.rs` and `pointer_id.rs`, which run an
//! initialiser under the lock.

use crate::init_lock::{Circle, InitGuard, InitKey, Request};
use crate::registry::RawNumber;

/// A field, after the request for its init lock.
pub(super) enum FieldLock<'request, T> {
    /// The field is empty, and the init lock is held.
    Empty(InitGuard<'request>),
    Attached(T),
}

/// A request for the init lock of a field.
pub(super) fn request(object: *const (), id: RawNumber) -> Request {
    Request::new(InitKey::Raw { object: object.addr(), id })
}

/// Finds the field of `request` by `find`, or acquires the init lock of the empty field. Waits while another thread
/// holds the lock.
///
/// # Errors
///
/// If a wait for the lock would be a deadlock.
///
/// # Safety
///
/// The request has no guard, and the returned guard is dropped before the request moves or goes: no code forgets the
/// guard (I3).
pub(super) unsafe fn find_or_lock<T>(
    request: &Request,
    find: impl Fn() -> Option<T>,
) -> Result<FieldLock<'_, T>, Circle> {
    let mut guard = None;
    loop {
        if let Some(there) = find() {
            return Ok(FieldLock::Attached(there));
        }
        // The lock excludes other initialisers, so the lookup after the acquisition is the last.
        if let Some(guard) = guard {
            return Ok(FieldLock::Empty(guard));
        }
        // SAFETY: by the contract the request had no guard, and no earlier round has acquired a guard. This function
        // drops the guard if it finds the field; else the contract applies.
        guard = unsafe { InitGuard::acquire(request) }?;
    }
}
