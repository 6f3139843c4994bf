//! Iterators over the fields of a number, and over the fields of an object. None allocates memory.
//!
//! In: the registration of a number, or the lock of an object. Out: addresses; or values, which the iterator detaches.
//! Neighbours: `table.rs`, the walk over a table; `objects.rs`, which removes fields; `id.rs`, `update_id.rs` and
//! `pointer_id.rs`, the callers.
//!
//! A step of [`Objects`] or [`Drain`] locks one shard of the table, finds the next object, and unlocks the shard. So no
//! lock is held between two steps, and user code may use every field meanwhile. [`DrainObject`] gets fields that are
//! removed already. The drop of a [`Drain`] or [`DrainObject`] ends the remaining fields, and contains the panics of
//! their destructors (R5).
#![forbid(unsafe_code)]

use std::fmt;
use std::iter::FusedIterator;
use std::ptr;

use crate::panics::Panics;
use crate::raw::ids::{Registration, Typed, ValueTable};
use crate::raw::objects::{self, AllTaken, Taken};
use crate::raw::table::Cursor;

/// The addresses of the objects that have a field, by [`Id::objects`](super::Id::objects) and the method of the same
/// name of the other kinds of ids.
///
/// Each object that has the field during the whole iteration comes exactly once, in an unspecified order. An object
/// that gets or loses the field during the iteration may come, once, or not.
///
/// A step locks a shard of the field's table for a moment, and allocates no memory. Between two steps no lock is held:
/// the loop may attach, update and detach the field, also of the current object.
#[derive(Clone)]
pub struct Objects {
    registration: Option<&'static Registration>,
    cursor: Cursor,
}

/// Detaches a field of one object after the other, by [`Id::drain`](super::Id::drain) and the method of the same name
/// of the other kinds of ids. Returns the objects and the values.
///
/// Each object that has the field until its turn comes once, in an unspecified order. An object that gets the field
/// during the iteration may come, or not: it comes if its place in the order is still ahead. So the iteration ends even
/// if the loop attaches the field to other objects. With one attach in each step, the iteration has about 1.7 times the
/// steps; with k attaches, about `(e^k - 1) / k` times.
///
/// Each step locks shards and an object for a moment, and allocates no memory. Between two steps no lock is held.
///
/// The drop detaches the field of the remaining objects, and drops the values. If destructors panic, the drop raises
/// the first panic again at the end. During unwinding, the log gets the panic. A leaked `Drain` leaves the remaining
/// fields attached.
#[must_use = "a drop detaches all fields"]
pub struct Drain<V> {
    objects: Objects,
    into_value: fn(Taken) -> V,
}

/// The detached fields of one object, by [`Id::drain_object`](super::Id::drain_object) and the function of the same
/// name of the other kinds of ids. Returns the numbers and the values, in an unspecified order.
///
/// All fields are detached before the first step. A step takes no lock, and allocates no memory.
///
/// The drop drops the remaining values. If destructors panic, the drop raises the first panic again at the end. During
/// unwinding, the log gets the panic. A leaked `DrainObject` leaks the remaining values.
#[must_use = "a drop drops all values"]
pub struct DrainObject<V> {
    taken: AllTaken,
    into_value: fn(Taken) -> V,
}

impl Objects {
    /// The objects of a number; none, if the number is not bound.
    pub(super) fn of<T>(known: Option<Typed<T>>) -> Self {
        Self { registration: known.map(|known| known.registration), cursor: Cursor::default() }
    }

    fn step(&mut self) -> Option<(&'static Registration, usize)> {
        let registration = self.registration?;
        Some((registration, registration.table.next_object(&mut self.cursor)?))
    }
}

impl<V> Drain<V> {
    /// The fields of a number; none, if the number is not bound.
    pub(super) fn of<T: ValueTable<Value = V>>(known: Option<Typed<T>>) -> Self {
        Self { objects: Objects::of(known), into_value: Taken::into_value::<T> }
    }

    /// Detaches the remaining fields, and calls `each` with the objects and the values. Returns the number of values.
    ///
    /// # Panics
    ///
    /// If `each`, `Clone` or a destructor panics: the first panic is raised again after the last object.
    pub(super) fn detach_each(mut self, mut each: impl FnMut(*const (), V)) -> usize {
        let into_value = self.into_value;
        self.end(|object, taken| each(object, into_value(taken)))
    }

    /// As [`detach_each`](Self::detach_each), for fields whose values are not unwrapped yet.
    fn end(&mut self, mut each: impl FnMut(*const (), Taken)) -> usize {
        let mut panics = Panics::none();
        let mut count = 0;
        while let Some((registration, object)) = self.objects.step() {
            if let Some(taken) = objects::lock(object).take(registration) {
                count += 1;
                panics.contain(&registration.field, || each(ptr::without_provenance(object), taken));
            }
        }
        panics.raise();
        count
    }
}

impl<V> DrainObject<V> {
    /// Detaches the fields of `object` whose values are in a table of type `T`.
    pub(super) fn of<T: ValueTable<Value = V>>(object: *const ()) -> Self {
        let taken = objects::lock(object.addr()).take_all(|registration| registration.typed::<T>().is_some());
        Self { taken, into_value: Taken::into_value::<T> }
    }
}

impl Iterator for Objects {
    type Item = *const ();

    fn next(&mut self) -> Option<*const ()> {
        self.step().map(|(_, object)| ptr::without_provenance(object))
    }
}

impl FusedIterator for Objects {}

impl<V> Iterator for Drain<V> {
    type Item = (*const (), V);

    /// # Panics
    ///
    /// For an [`UpdateId`](super::UpdateId), as [`UpdateId::detach`](super::UpdateId::detach).
    fn next(&mut self) -> Option<(*const (), V)> {
        loop {
            let (registration, object) = self.objects.step()?;
            if let Some(taken) = objects::lock(object).take(registration) {
                return Some((ptr::without_provenance(object), (self.into_value)(taken)));
            }
        }
    }
}

impl<V> FusedIterator for Drain<V> {}

impl<V> Drop for Drain<V> {
    fn drop(&mut self) {
        self.end(|_, taken| drop(taken));
    }
}

impl<V> Iterator for DrainObject<V> {
    type Item = (u64, V);

    /// # Panics
    ///
    /// For an [`UpdateId`](super::UpdateId), as [`UpdateId::detach`](super::UpdateId::detach).
    fn next(&mut self) -> Option<(u64, V)> {
        let taken = self.taken.next()?;
        Some((taken.registration.number, (self.into_value)(taken)))
    }
}

impl<V> FusedIterator for DrainObject<V> {}

impl fmt::Debug for Objects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Objects").finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for Drain<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Drain").finish_non_exhaustive()
    }
}

impl<V> fmt::Debug for DrainObject<V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DrainObject").finish_non_exhaustive()
    }
}
