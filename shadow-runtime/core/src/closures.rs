//! Running closures of `update_f_with`: an update of a field inside of its own closure is refused. And running clones
//! of carried values.
//!
//! In: a closure, its field and its host. Out: the closure's result, or a panic with the name of the field. Neighbours:
//! the accessors of `get_or_update` and `get_or_update(copy)` fields, which call [`run`] for each closure and
//! [`refuse_own`] before each update; `fields/clone.rs`, which calls [`run_clone`]; `host/arc/sweep.rs`, which defers
//! sweeps inside of a closure and of such a clone.
//!
//! A compare-and-swap publishes the closure's value. If another update comes between, the compare-and-swap fails, and
//! the closure runs again on the newer value. An update of the same field inside of the closure would come between in
//! every run, and the retry loop would never end. The library refuses such an update, as R3 refuses an initialiser that
//! asks for its own field. An update on a second thread is allowed: the library cannot tell an update on behalf of the
//! closure from an independent update. So the retry loop never ends if each run makes a second thread update the field,
//! and waits for the second thread.
//!
//! # The list
//!
//! Each thread has a stack of running closures: a singly linked list in a thread-local without a destructor. The
//! records are on the call stack. [`push`] pushes a record before the call of a closure, and pops the record after the
//! call, also on unwinding. An update outside of all closures, and an attach to an `Arc` host, load one thread-local
//! pointer, which is null. A read does not use the list. No other thread accesses the list, so the list needs no
//! atomics.
//!
//! - **C1** Every record in the list is in a frame of [`push`] on this thread. Frames return in the reverse order of
//!   their calls, and each frame pops its record before the record's end.
//! - **C2** A record never changes.

use std::cell::Cell;
use std::ptr;

use crate::identity::Identity;
use crate::registry::Field;
use crate::sync::local;

/// A running closure or clone.
struct Running {
    /// The host and the field of a closure; `None` for a clone.
    updated: Option<(Identity, &'static Field)>,
    /// The enclosing closure or clone, or null.
    outer: *const Running,
}

/// Pops a record on drop.
struct Pop {
    outer: *const Running,
}

local! {
    /// The innermost closure or clone, or null.
    static INNERMOST: Cell<*const Running> = Cell::new(ptr::null());
}

/// Whether this thread is running a closure of `update_f_with`, or the clone of a carried value.
#[inline]
pub(crate) fn is_in_closure() -> bool {
    !innermost().is_null()
}

#[inline]
fn innermost() -> *const Running {
    // An emulated thread-local may be gone at the end of a thread.
    INNERMOST.try_with(Cell::get).unwrap_or(ptr::null())
}

/// Runs a closure of an update of `field` of `host`.
#[inline]
pub(crate) fn run<R>(host: Identity, field: &'static Field, closure: impl FnOnce() -> R) -> R {
    push(Some((host, field)), closure)
}

/// Runs clones of carried values. Inside, no update is refused.
pub(crate) fn run_clone<R>(clone: impl FnOnce() -> R) -> R {
    push(None, clone)
}

#[inline]
fn push<R>(updated: Option<(Identity, &'static Field)>, closure: impl FnOnce() -> R) -> R {
    let running = Running { updated, outer: innermost() };
    let _pop = Pop { outer: running.outer };
    // The drop of `_pop` pops the record before the end of `running`: C1.
    let _ = INNERMOST.try_with(|innermost| innermost.set(&raw const running));
    closure()
}

/// Refuses an update of `field` of `host` inside of a closure of an update of the same field of the same host.
///
/// # Panics
///
/// On refusal, with the location of the caller.
#[inline]
#[track_caller]
pub(crate) fn refuse_own(host: impl FnOnce() -> Identity, field: &'static Field) {
    if is_in_closure() {
        refuse(host(), field);
    }
}

#[cold]
#[track_caller]
fn refuse(host: Identity, field: &'static Field) {
    let mut next = innermost();
    // SAFETY: `next` is null or points to a record in the list. By C1 the record's frame is below this frame on the
    // call stack, so the record outlives the loop; by C2 a shared reference to the record is sound.
    while let Some(running) = unsafe { next.as_ref() } {
        assert!(
            running.updated.is_none_or(|(updated, its_field)| updated != host || !ptr::eq(its_field, field)),
            "{field} is updated by its own closure, which has to return the value instead"
        );
        next = running.outer;
    }
}

impl Drop for Pop {
    #[inline]
    fn drop(&mut self) {
        let _ = INNERMOST.try_with(|innermost| innermost.set(self.outer));
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::policy::Policy;

    static FIELD: Field = Field::new("app", "Host", "field", "u8", Policy::GetOrUpdate, None);
    static OTHER: Field = Field::new("app", "Host", "other", "u8", Policy::GetOrUpdate, None);

    fn host(address: usize) -> Identity {
        Identity { address, type_id: None }
    }

    fn is_refused(address: usize, field: &'static Field) -> bool {
        catch_unwind(|| refuse_own(|| host(address), field)).is_err()
    }

    #[test]
    fn a_running_closure_is_found_at_every_depth_and_only_for_its_own_field_and_host() {
        assert!(!is_refused(1, &FIELD));
        run(host(1), &FIELD, || {
            assert!(is_refused(1, &FIELD) && !is_refused(2, &FIELD) && !is_refused(1, &OTHER));
            run(host(2), &OTHER, || {
                assert!(is_refused(1, &FIELD) && is_refused(2, &OTHER));
                assert!(!is_refused(2, &FIELD) && !is_refused(1, &OTHER));
            });
            assert!(is_refused(1, &FIELD) && !is_refused(2, &OTHER));
        });
        assert!(!is_refused(1, &FIELD) && !is_in_closure());
    }

    #[test]
    fn a_closure_that_unwinds_is_taken_out() {
        run(host(1), &FIELD, || {
            let inner = AssertUnwindSafe(|| run(host(2), &FIELD, || panic!("no next")));
            assert!(catch_unwind(inner).is_err());
            assert!(is_in_closure() && is_refused(1, &FIELD) && !is_refused(2, &FIELD));
        });
        assert!(!is_in_closure());
    }
}
