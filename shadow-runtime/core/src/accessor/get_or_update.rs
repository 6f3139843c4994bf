//! Accessors of `get_or_update` fields; and, but for the trait, of `get_or_update(copy)` fields, whose cell has methods
//! of the same names.

use crate::cell::GetOrUpdate;
use crate::field_set::Declares;
use crate::value::{Replaceable, Value};

/// Field `I` of `D` is declared `get_or_update`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one cell of the field set that they are given, always the same; of field 0 it is the
/// first that [`FieldSet::each`](crate::field_set::FieldSet::each) shows.
pub unsafe trait GetOrUpdateField<D, const I: usize> {
    /// The declared type.
    type Value: Value + Replaceable;

    /// The field's cell.
    fn cell(set: &Self::Set) -> &GetOrUpdate<Self::Value>
    where
        Self: Declares<D>;

    /// The field's cell, exclusively.
    fn cell_mut(set: &mut Self::Set) -> &mut GetOrUpdate<Self::Value>
    where
        Self: Declares<D>;
}

/// The accessors of fields that a trait says are replaced. The two traits ask for different bounds and have different
/// cells, and are otherwise the same.
macro_rules! accessors {
    ($field:ident) => {
        use $crate::accessor::field;
        use $crate::closures;
        use $crate::fields::Unpublished;
        use $crate::host::{ExclusiveHost, SweepDeferred};

        /// `f(&self) -> Option<V>`
        #[inline]
        pub fn get<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized>(host: &H) -> Option<H::Value> {
            let found = H::find(host)?;
            let cell = H::cell(found.set());
            if const { I == 0 } && found.first_ready() {
                // SAFETY: by N6 the first cell is ready and this thread has acquired it, and of field 0 it is this one.
                Some(unsafe { cell.ready() })
            } else {
                cell.get()
            }
        }

        /// `update_f(&self, V) -> Option<V>`
        ///
        /// # Panics
        ///
        /// Inside of a closure that makes the next value of this very field.
        #[inline]
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

        /// `update_f_with(&self, impl FnMut(Option<&V>) -> V) -> Option<V>`
        ///
        /// # Panics
        ///
        /// If `next` does, or updates the field that it makes a value for.
        #[inline]
        pub fn update_with<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized>(
            host: &H,
            mut next: impl FnMut(Option<&H::Value>) -> H::Value,
        ) -> Option<H::Value> {
            let sweep_deferred = SweepDeferred;
            let (identity, field) = (H::identity(host), field::<H, D, I>());
            closures::refuse_own(|| identity, field);
            let next = |last: Option<&H::Value>| closures::run(identity, field, || next(last));
            let previous = match H::find(host) {
                Some(found) => H::cell(found.set()).update_with(field, next),
                None => update_first_with(host, next),
            };
            drop(sweep_deferred);
            if previous.is_none() {
                H::after_attach(host);
            }
            previous
        }

        /// The same, where there was no field set.
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

        /// The same, where there was no field set.
        #[cold]
        fn update_first_with<D, const I: usize, H>(
            host: &H,
            mut next: impl FnMut(Option<&H::Value>) -> H::Value,
        ) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            let mut made = None;
            if const { I == 0 } {
                if let Some(new) = H::new_first(host) {
                    made = Some(insert_first(host, new, next(None))?);
                }
            }
            // The closure runs before there is a field set, so a host whose closure panics pays for nothing (R6).
            made = made.or_else(|| Some(next(None)));
            // The host has another field by now. What was made of nothing will do if this one is still nothing. An
            // attempt that is lost is dropped before the closure runs again.
            H::cell(H::find_or_insert(host)).update_with(field::<H, D, I>(), |last| {
                made.take().filter(|_| last.is_none()).unwrap_or_else(|| next(last))
            })
        }

        /// Attaches a value to a host that has no field set yet, by `new`, which is of that host, or gives it back.
        fn insert_first<D, const I: usize, H>(
            host: &H,
            mut new: Unpublished<H::Set>,
            value: H::Value,
        ) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            H::cell_mut(new.set_mut()).fill(value);
            // SAFETY: it is of this host; its first cell, which is that of field 0, was just filled.
            match unsafe { H::insert_first(host, new) } {
                Ok(_) => {
                    field::<H, D, I>().attached();
                    None
                }
                Err(mut back) => Some(H::cell_mut(back.set_mut()).take_back().expect("it was just filled")),
            }
        }

        /// `f_mut(&mut self) -> Option<&mut V>`
        #[inline]
        pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
        {
            H::cell_mut(H::fields_mut(host).find_mut()?).get_mut()
        }

        /// `detach_f(&mut self) -> Option<V>`
        #[inline]
        pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
        {
            H::cell_mut(H::fields_mut(host).find_mut()?).detach(field::<H, D, I>())
        }
    };
}
pub(super) use accessors;

accessors!(GetOrUpdateField);
