//! The table of a [`PointerId`](super::PointerId): stores the values themselves, which are owning pointers.
//!
//! In: a pointer, for an object. Out: the pointer. Neighbours: `table.rs`, the map from objects to pointers;
//! `pointer_id.rs`, which acquires the init lock of a field before an attach.
//!
//! - **W2** A pointer in such a table comes from [`Pointer::into_raw`]. The table owns the pointee. A thread that takes
//!   the pointer out gets the ownership, and calls [`Pointer::from_raw`] once.
//!
//! # Lookup beside a detach
//!
//! A lookup does not dereference the pointer. So a detach may end the pointee at any time, and the lookup needs no
//! hazard pointer. The lookup returns a pointer that the object had at a time during the call (T8 of
//! `side_table/mod.rs`).
//!
//! An attach does not replace a pointer: the init lock of the field excludes a second attach. An attach allocates
//! before the initialiser runs ([`Table::try_reserve`]), so the result of an initialiser is never refused.
//!
//! [`Typed::inspect`] calls a closure with the pointer, under the lock of the object. A detach takes this lock, too, so
//! the pointee stays until the unlock.

use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::fallible::OutOfMemory;
use crate::raw::Pointer;
use crate::raw::ids::{ErasedTable, Typed, ValueTable};
use crate::raw::objects;
use crate::raw::table::{Cursor, Reserved, Table};
use crate::side_table::Miss;

/// The values of one number.
pub(super) struct PointerTable<P: Pointer> {
    pointers: Table<P::Target>,
    pointees: PhantomData<fn() -> P>,
}

impl<P: Pointer> Typed<PointerTable<P>> {
    /// A pointer that `object` had at a time during the call. Takes no lock.
    #[inline]
    pub(super) fn find(&self, object: usize) -> Option<NonNull<P::Target>> {
        self.table.pointers.find_counted(object)
    }

    /// As [`find`](Self::find), in the fastest case alone. After [`Miss::NotHome`], the caller calls `find`.
    #[inline]
    pub(super) fn find_at_home(&self, object: usize) -> Result<NonNull<P::Target>, Miss> {
        self.table.pointers.find_counted_at_home(object)
    }

    /// Calls `look` with the pointer of `object`, under the lock of the object.
    pub(super) fn inspect<R>(&self, object: usize, look: impl FnOnce(NonNull<P::Target>) -> R) -> Option<R> {
        let locked = objects::lock(object);
        let pointer = self.table.pointers.find(object)?;
        // A detach takes the lock of the object, so the table has the pointer, and by W2 the pointee stays, until the
        // unlock.
        let result = look(pointer);
        drop(locked);
        Some(result)
    }

    /// Allocates the memory for an attach to `object`.
    pub(super) fn try_reserve(&self, object: usize) -> Result<Reserved<'static, P::Target>, OutOfMemory> {
        self.table.pointers.try_reserve(self.registration, object)
    }

    /// Attaches a pointer to the object of `reserved`. The field is empty, and the caller holds the init lock of the
    /// field. A detach on another thread may end the pointee before the return.
    pub(super) fn attach(&self, reserved: Reserved<'static, P::Target>, pointer: P) -> NonNull<P::Target> {
        let pointer = pointer.into_raw();
        reserved.attach(pointer);
        self.registration.field.attached();
        pointer
    }
}

impl<P: Pointer> ErasedTable for PointerTable<P> {
    fn none() -> Self {
        Self { pointers: Table::new(), pointees: PhantomData }
    }

    fn take(&self, object: usize) -> Option<NonNull<()>> {
        self.pointers.remove(object).map(NonNull::cast)
    }

    unsafe fn destroy(&'static self, object: usize, taken: NonNull<()>) {
        // SAFETY: by the contract, which is the same.
        drop(unsafe { self.value_of(object, taken) });
    }

    fn next_object(&self, cursor: &mut Cursor) -> Option<usize> {
        self.pointers.next_object(cursor)
    }
}

impl<P: Pointer> ValueTable for PointerTable<P> {
    type Value = P;

    unsafe fn value_of(&'static self, _object: usize, taken: NonNull<()>) -> P {
        // SAFETY: by the contract `take` has removed the pointer from this table, so by W2 the pointer comes from
        // `into_raw`; and this call alone ends the value.
        unsafe { P::from_raw(taken.cast()) }
    }
}
