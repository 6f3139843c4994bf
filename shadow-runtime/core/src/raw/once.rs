//! The values of an [`Id`](super::Id): write-once, at a constant address until the detach (R8).
//!
//! In: a value, for an object. Out: a reference to the value. Neighbours: `table.rs`, the map from objects to boxes;
//! `id.rs`, which claims a place before an attach.
//!
//! - **W1** A node in such a table is a `Once` in a box that was given up by `Box::leak`. So by F1 (`table.rs`) the
//!   `Once` is valid while the node is in the table. A thread that takes the node out gets the ownership of the box.

use std::panic::Location;
use std::ptr::NonNull;

use crate::raw::kind::{Known, Values};
use crate::raw::table::Table;
use crate::registry::Field;

/// The values of one kind.
pub(super) type Onces<V> = Table<Once<V>>;

/// A value, and the field and place that an error of a second attach names.
pub(super) struct Once<V> {
    pub(super) value: V,
    pub(super) field: &'static Field,
    /// The place of the attach.
    pub(super) place: &'static Location<'static>,
}

impl<V: 'static> Known<Onces<V>> {
    /// The value of `object`. Takes no lock.
    ///
    /// # Safety
    ///
    /// The field is not detached during the call and during `'a`.
    #[inline]
    pub(super) unsafe fn find<'a>(&self, object: usize) -> Option<&'a Once<V>> {
        // SAFETY: by W1 the `Once` is valid until the detach, and the caller promises no detach during `'a`.
        self.values.find(object).map(|once| unsafe { once.as_ref() })
    }

    /// Attaches a value to `object`.
    ///
    /// # Safety
    ///
    /// The field is empty, the caller holds the claim, and the field is not detached during `'a`.
    pub(super) unsafe fn attach<'a>(&self, object: usize, value: V, place: &'static Location<'static>) -> &'a V {
        let field = &self.kind.field;
        let once = NonNull::from(Box::leak(Box::new(Once { value, field, place })));
        let previous = self.values.put(self.kind, object, once);
        debug_assert!(previous.is_none(), "the place is claimed");
        field.attached();
        // SAFETY: by W1 the `Once` is valid until the detach, and the caller promises no detach during `'a`.
        &unsafe { once.as_ref() }.value
    }

    /// Detaches the field of `object`, and returns the value. Takes the object's lock and a shard's lock for a moment.
    pub(super) fn detach(&self, object: usize) -> Option<V> {
        let once = self.values.take(self.kind, object)?;
        // SAFETY: `take` has removed the pointer from this table.
        Some(unsafe { unbox(once) }.value)
    }

    pub(super) fn detach_all(&self, each: impl FnMut(*const (), V)) -> usize {
        self.values.end_each(self.kind, |object| self.detach(object), each)
    }
}

impl<V: Send + Sync + 'static> Values for Onces<V> {
    fn none() -> Self {
        Self::new()
    }

    fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.remove(object).map(NonNull::cast)
    }

    unsafe fn end(&'static self, _object: usize, taken: NonNull<()>) {
        // SAFETY: the caller promises that `take` removed the pointer from this table, and that the value ends once. So
        // by W1 the pointer is a `Once<V>`.
        drop(unsafe { unbox(taken.cast::<Once<V>>()) });
    }
}

/// Takes the box back.
///
/// # Safety
///
/// The caller has removed `once` from a table of this type, and unboxes it once.
unsafe fn unbox<V>(once: NonNull<Once<V>>) -> Box<Once<V>> {
    // SAFETY: by W1 the pointer comes from a leaked box, which the caller owns since the removal.
    unsafe { Box::from_raw(once.as_ptr()) }
}
