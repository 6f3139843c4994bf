//! Accessors of `get_or_update` fields; and, but for the trait, of `get_or_update(copy)` fields, whose cell has methods
//! of the same names.

use crate::cell::GetOrUpdate;
use crate::field_set::Declares;
use crate::value::{Replaceable, Value};

/// Field `I` of `D` is declared `get_or_update`.
///
/// # Safety
///
/// `cell` and `cell_mut` give out one member of the field set, always the same; of field 0 it is the first.
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
        use $crate::accessor::{field, first};
        use $crate::closures;
        use $crate::host::{ExclusiveHost, sweep_deferred};

        /// `f(&self) -> Option<V>`
        #[inline]
        pub fn get<D, const I: usize, H: Declares<D> + $field<D, I> + ?Sized>(host: &H) -> Option<H::Value> {
            // SAFETY: the first cell is ready, and that is this one.
            let when_ready = |set| unsafe { H::cell(set).ready() };
            first::read::<H, D, I, _>(host, when_ready, |set| H::cell(set).get())
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
            closures::refuse_own(|| H::identity(host), field::<H, D, I>());
            let previous = match H::look(host) {
                Some(set) => H::cell(set).update(field::<H, D, I>(), value),
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
            let (identity, field) = (H::identity(host), field::<H, D, I>());
            closures::refuse_own(|| identity, field);
            let next = |last: Option<&H::Value>| closures::run(identity, field, || next(last));
            let previous = match H::look(host) {
                Some(set) => H::cell(set).update_with(field, next),
                None => update_first_with(host, next),
            };
            // Attaches inside of the outermost closure have put their sweeps off until here.
            if !closures::is_in_closure() {
                sweep_deferred();
            }
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
            if const { I == 0 } && H::is_bare(host) {
                value = start(host, value)?;
            }
            H::cell(H::reach(host)).update(field::<H, D, I>(), value)
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
            if const { I == 0 } && H::is_bare(host) {
                made = Some(start(host, next(None))?);
            }
            // The host has another field by now. What was made of nothing will do if this one is still nothing. An attempt
            // that is lost is dropped before the closure runs again.
            H::cell(H::reach(host)).update_with(field::<H, D, I>(), |last| {
                made.take().filter(|_| last.is_none()).unwrap_or_else(|| next(last))
            })
        }

        /// Attaches a value to a bare host, or gives it back.
        fn start<D, const I: usize, H>(host: &H, value: H::Value) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized,
        {
            let fill = |set: &mut H::Set, value| H::cell_mut(set).fill(value);
            // SAFETY: the first cell is ready then, since that is this one, and it is attached.
            let started = unsafe { first::start(host, value, fill, |set| H::cell_mut(set).take_back()) };
            if started.is_ok() {
                field::<H, D, I>().attached();
            }
            started.err()
        }

        /// `f_mut(&mut self) -> Option<&mut V>`
        #[inline]
        pub fn get_mut<D, const I: usize, H>(host: &mut H) -> Option<&mut H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
        {
            H::cell_mut(H::fields_mut(host).look_mut()?).get_mut()
        }

        /// `detach_f(&mut self) -> Option<V>`
        #[inline]
        pub fn detach<D, const I: usize, H>(host: &mut H) -> Option<H::Value>
        where
            H: Declares<D> + $field<D, I> + ?Sized + for<'unused> ExclusiveHost<'unused>,
        {
            H::cell_mut(H::fields_mut(host).look_mut()?).detach(field::<H, D, I>())
        }
    };
}
pub(super) use accessors;

accessors!(GetOrUpdateField);
