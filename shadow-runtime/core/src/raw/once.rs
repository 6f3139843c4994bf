//! The values of an [`Id`](super::Id): written once, and where they are until they are detached (R8).
//!
//! In: a value, for an object. Out: a reference to it. Neighbour: `table.rs`, which has a box for each object.
//!
//! - **W1** A node in such a table is a `Once` in a box, given up by `Box::leak`; so by F1 (`table.rs`) it is whole for
//!   as long as it is in the table, and whoever takes it out has the box.

use std::panic::Location;
use std::ptr::NonNull;

use crate::raw::kind::{Known, Values};
use crate::raw::table::Table;
use crate::registry::Field;

/// The values of one kind.
pub(super) type Onces<V> = Table<Once<V>>;

/// A value, and what a second one is told about it.
pub(super) struct Once<V> {
    pub(super) value: V,
    pub(super) field: &'static Field,
    /// Where it was attached.
    pub(super) place: &'static Location<'static>,
}

impl<V: 'static> Known<Onces<V>> {
    /// The field of `object`. Takes no lock.
    ///
    /// # Safety
    ///
    /// It is not detached while this runs, and during `'a`.
    #[inline]
    pub(super) unsafe fn find<'a>(&self, object: usize) -> Option<&'a Once<V>> {
        // SAFETY: by W1 it is there until it is detached, which the caller rules out.
        self.values.find(object).map(|once| unsafe { once.as_ref() })
    }

    /// Attaches a value to `object`.
    ///
    /// # Safety
    ///
    /// The field is not there, the caller has claimed it, and it is not detached during `'a`.
    pub(super) unsafe fn attach<'a>(&self, object: usize, value: V, place: &'static Location<'static>) -> &'a V {
        let field = &self.kind.field;
        let once = NonNull::from(Box::leak(Box::new(Once { value, field, place })));
        let previous = self.values.put(self.kind, object, once);
        debug_assert!(previous.is_none(), "the place is claimed");
        field.attached();
        // SAFETY: by W1 it is there until it is detached, which the caller rules out.
        &unsafe { once.as_ref() }.value
    }

    /// Ends the field of `object`, and returns its value.
    pub(super) fn detach(&self, object: usize) -> Option<V> {
        let once = self.values.take(self.kind, object)?;
        // SAFETY: it was in the table until now.
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
        // SAFETY: the caller promises that `take` has taken it out of this table, so it is a `Once<V>`; and that once.
        drop(unsafe { unbox(taken.cast::<Once<V>>()) });
    }
}

/// # Safety
///
/// It was taken out of a table.
unsafe fn unbox<V>(once: NonNull<Once<V>>) -> Box<Once<V>> {
    // SAFETY: by W1 it is the caller's box.
    unsafe { Box::from_raw(once.as_ptr()) }
}
