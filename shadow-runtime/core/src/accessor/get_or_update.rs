//! Accessors of `get_or_update` fields. The macro `accessors` also generates the accessors of `get_or_update(copy)`
//! fields, whose cell has methods of the same names.
//!
//! In: a host, and a value, or a closure that computes the next value. Out: clones of the newest value, and previous
//! values. Neighbours: `mod.rs`, the way of every accessor; `cell/get_or_update.rs`, the cell; `closures.rs`, which
//! refuses an update inside of its own closure.

use crate::cell::GetOrUpdate;
use crate::host::Declares;
use crate::value::{CloneValue, Value};

/// Field `I` of `D` is declared `get_or_update`.
///
/// # Safety
///
/// `cell` and `cell_mut` return the same cell of the given field set at each call. For field 0, the cell is the first
/// cell that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrUpdateField<D, const I: usize> {
    /// The declared type.
    type Value: Value + CloneValue;

    /// The cell of the field.
    fn cell(set: &Self::Set) -> &GetOrUpdate<Self::Value>
    where
        Self: Declares<D>;

    /// The cell of the field, by an exclusive borrow.
    fn cell_mut(set: &mut Self::Set) -> &mut GetOrUpdate<Self::Value>
    where
        Self: Declares<D>;
}

/// The accessors of fields whose trait is `$field`. The two traits differ in the bounds of the value type and in the
/// type of the cell. `$deferred` is the guard of a read that runs user code: the clone.
macro_rules! accessors {
    ($field:ident $(, $deferred:ident)?) => {
        use std::convert::Infallible;

        use $crate::accessor::field;
        use $crate::closures;
        use $crate::fields::Unpublished;
        use $crate::host::SweepDeferred;

        /// `f(&self) -> Option<V>`: returns a clone or a copy of the newest value.
        #[inline]
        pub fn get<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized>(host: &H) -> Option<H::Value> {
            let found = H::find(host)?;
            // Dropped last: runs the sweeps that attaches inside of the clone have deferred.
            $(let _sweep_deferred = $deferred;)?
            let cell = H::cell(found.set());
            if const { I == 0 } && found.first_ready() {
                // SAFETY: by N6 the first cell is ready and the attach happens before this read; field 0 has the first
                // cell.
                unsafe { cell.get_unchecked() }
            } else {
                cell.get()
            }
        }

        /// `update_f(&self, V) -> Option<V>`: replaces the value, and returns the previous value.
        ///
        /// # Panics
        ///
        /// Inside of a closure that computes the next value of the same field.
        #[inline]
        #[track_caller]
        pub fn update<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized>(
            host: &H,
            value: H::Value,
        ) -> Option<H::Value> {
            let _sweep_deferred = SweepDeferred;
            closures::refuse_own(|| H::identity(host), field::<H, D, I>());
            let previous = match H::find(host) {
                Some(found) => H::cell(found.set()).update(field::<H, D, I>(), value),
                None => update_first(host, value),
            };
            if previous.is_none() {
                H::after_attach(host);
            }
            previous
        }

        /// `update_f_with(&self, impl FnMut(Option<&V>) -> V) -> Option<V>`: computes the next value from the newest,
        /// and returns the previous value.
        ///
        /// # Panics
        ///
        /// If `next` panics, or updates the field for which `next` computes a value.
        #[inline]
        #[track_caller]
        pub fn update_with<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized>(
            host: &H,
            mut next: impl FnMut(Option<&H::Value>) -> H::Value,
        ) -> Option<H::Value> {
            match try_update_with(host, |last| Ok::<_, Infallible>(next(last))) {
                Ok(previous) => previous,
                Err(never) => match never {},
            }
        }

        /// `try_update_f_with(&self, impl FnMut(Option<&V>) -> Result<V, E>) -> Result<Option<V>, E>`: computes the
        /// next value from the newest, unless the closure refuses, and returns the previous value.
        ///
        /// # Errors
        ///
        /// If `next` returns an error. Then the field keeps its value.
        ///
        /// # Panics
        ///
        /// If `next` panics, or updates the field for which `next` computes a value.
        #[inline]
        #[track_caller]
        pub fn try_update_with<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized, E>(
            host: &H,
            mut next: impl FnMut(Option<&H::Value>) -> Result<H::Value, E>,
        ) -> Result<Option<H::Value>, E> {
            let sweep_deferred = SweepDeferred;
            let (identity, field) = (H::identity(host), field::<H, D, I>());
            closures::refuse_own(|| identity, field);
            let next = |last: Option<&H::Value>| closures::run(identity, field, || next(last));
            let previous = match H::find(host) {
                Some(found) => H::cell(found.set()).try_update_with(field, next),
                None => try_update_first_with(host, next),
            }?;
            drop(sweep_deferred);
            if previous.is_none() {
                H::after_attach(host);
            }
            Ok(previous)
        }

        /// The slow path of `update`, for a host without the field set.
        #[cold]
        fn update_first<D, const I: usize, H>(host: &H, mut value: H::Value) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            if const { I == 0 } {
                if let Some(new) = H::new_first(host) {
                    value = insert_first(host, new, value)?;
                }
            }
            H::cell(H::find_or_insert(host)).update(field::<H, D, I>(), value)
        }

        /// The slow path of `try_update_with`, for a host without the field set.
        #[cold]
        fn try_update_first_with<D, const I: usize, H, E>(
            host: &H,
            mut next: impl FnMut(Option<&H::Value>) -> Result<H::Value, E>,
        ) -> Result<Option<H::Value>, E>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            // The closure runs before the allocation of a field set, so a host whose closure refuses or panics costs no
            // memory (R6).
            let mut made = Some(next(None)?);
            if const { I == 0 } {
                if let Some((new, value)) = H::new_first(host).and_then(|new| Some((new, made.take()?))) {
                    made = insert_first(host, new, value);
                    if made.is_none() {
                        return Ok(None);
                    }
                }
            }
            // Another thread may have attached this field by now. A value computed from `None` is valid only if this
            // field has no value. A value that loses the race is dropped before the closure runs again.
            H::cell(H::find_or_insert(host)).try_update_with(field::<H, D, I>(), |last| {
                made.take().filter(|_| last.is_none()).map_or_else(|| next(last), Ok)
            })
        }

        /// Publishes `new`, which was made for this host, as the first field set, with the attached value. Returns the
        /// value if the host has a field set by now.
        fn insert_first<D, const I: usize, H>(
            host: &H,
            mut new: Unpublished<H::Set>,
            value: H::Value,
        ) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            H::cell_mut(new.set_mut()).fill(value);
            // SAFETY: `new` comes from `new_first` of this host. The first cell, which is the cell of field 0, was just
            // filled.
            match unsafe { H::insert_first(host, new) } {
                Ok(_) => {
                    field::<H, D, I>().attached();
                    None
                }
                Err(mut back) => Some(H::cell_mut(back.set_mut()).take_back().expect("it was just filled")),
            }
        }

        /// `f_mut(&mut self) -> Option<&mut V>`: borrows the value exclusively.
        #[inline]
        pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            H::cell_mut(H::fields_mut(host)?.find_mut()?).get_mut()
        }

        /// `detach_f(&mut self) -> Option<V>`: moves the value out of the cell, without a drop.
        #[inline]
        pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            H::cell_mut(H::fields_mut(host)?.find_mut()?).take_back().inspect(|_| field::<H, D, I>().counts().detached())
        }
    };
}
pub(super) use accessors;

accessors!(GetOrUpdateField, SweepDeferred);

/// `take_f(&self) -> Option<V>`: takes the value out of the cell, which is then without a value.
///
/// # Panics
///
/// Inside of a closure that computes the next value of the same field.
#[inline]
#[track_caller]
pub fn take<D, const I: usize, H: Declares<D> + GetOrUpdateField<D, I> + ?Sized>(host: &H) -> Option<H::Value> {
    let _sweep_deferred = SweepDeferred;
    closures::refuse_own(|| H::identity(host), field::<H, D, I>());
    H::cell(H::find(host)?.set()).take(field::<H, D, I>())
}
