//! The values of an [`Id`](super::Id): write-once, at a constant address until the detach (R8).
//!
//! In: a value, for an object. Out: a reference to the value. Neighbours: `table.rs`, the map from objects to boxes;
//! `id.rs`, which acquires the init lock of a field before an attach.
//!
//! - **W1** A node in such a table is an `Attached` in a box that was given up by `Box::leak`. So by F1 (`table.rs`)
//!   the `Attached` is valid while the node is in the table. A thread that takes the node out gets the ownership of the
//!   box.

use std::panic::Location;
use std::ptr::NonNull;

use crate::raw::ids::{ErasedTable, Typed, ValueTable};
use crate::raw::table::{Cursor, Table};
use crate::registry::Field;

/// The values of one number.
pub(super) type WriteOnceTable<V> = Table<Attached<V>>;

/// A value, and the field and place that an error of a second attach names.
pub(super) struct Attached<V> {
    pub(super) value: V,
    pub(super) field: &'static Field,
    /// The place of the attach.
    pub(super) place: &'static Location<'static>,
}

impl<V: 'static> Typed<WriteOnceTable<V>> {
    /// The value of `object`. Takes no lock.
    ///
    /// # Safety
    ///
    /// The field is not detached during the call and during `'a`.
    #[inline]
    pub(super) unsafe fn find<'a>(&self, object: usize) -> Option<&'a Attached<V>> {
        // SAFETY: by W1 the `Attached` is valid while the table has the node. By the contract no thread detaches the
        // field, so no thread takes the node out, during the call and during `'a`.
        self.table.find(object).map(|attached| unsafe { attached.as_ref() })
    }

    /// Attaches a value to `object`.
    ///
    /// # Safety
    ///
    /// The field is empty, the caller holds the init lock of the field, and the field is not detached during `'a`.
    pub(super) unsafe fn attach<'a>(&self, object: usize, value: V, place: &'static Location<'static>) -> &'a V {
        let field = &self.registration.field;
        let attached = NonNull::from(Box::leak(Box::new(Attached { value, field, place })));
        let inserted = self.table.attach(self.registration, object, attached);
        debug_assert!(inserted.is_ok(), "the init lock is held");
        field.attached();
        // SAFETY: by W1 the `Attached` is valid while the table has the node. By the contract no thread detaches the
        // field, so no thread takes the node out, during `'a`.
        &unsafe { attached.as_ref() }.value
    }
}

impl<V: Send + Sync + 'static> ErasedTable for WriteOnceTable<V> {
    fn none() -> Self {
        Self::new()
    }

    fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.remove(object).map(NonNull::cast)
    }

    unsafe fn destroy(&'static self, object: usize, taken: NonNull<()>) {
        // SAFETY: by the contract, which is the same.
        drop(unsafe { self.value_of(object, taken) });
    }

    fn next_object(&self, cursor: &mut Cursor) -> Option<usize> {
        Self::next_object(self, cursor)
    }
}

impl<V: Send + Sync + 'static> ValueTable for WriteOnceTable<V> {
    type Value = V;

    unsafe fn value_of(&'static self, _object: usize, taken: NonNull<()>) -> V {
        // SAFETY: by the contract `take` has removed the pointer from this table, so by W1 the pointer is a leaked box
        // of an `Attached<V>`, which the caller owns; and this call alone ends the value.
        let attached = unsafe { Box::from_raw(taken.cast::<Attached<V>>().as_ptr()) };
        attached.value
    }
}
