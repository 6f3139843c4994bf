//! The carried fields of a host: a clone of the host has clones of their values.
//!
//! In: the fields of a host, which other threads may use meanwhile. Out: the fields of the host's clone, which only
//! this thread can reach. The header of `mod.rs` has the design and the invariants N1 to N5. Neighbours:
//! `host/clone.rs`, the `Clone` of `ShadowFields`; `node.rs` and `node_table.rs`, whose vtables lead here;
//! `field_set.rs`, with the function of a declaration.
//!
//! A field is carried if its declaration says `#[shadow(clone)]`. A declaration with carried fields has a function that
//! clones the values, and the vtables of its nodes have [`clone_node`]. Other vtables have `None`, so a host without
//! carried fields pays one look at a vtable for each node, and a reader pays nothing.
//!
//! Each value is read as a reader of its policy reads the value: a write-once value by reference, a replaceable value
//! under a hazard, a copied value by the seqlock. So writers on other threads do not wait, the clone has the old or the
//! new value of each field (R2), and there is no common moment of several fields. No lock is held while a value's
//! `Clone` runs (R4), so the `Clone` may read, update and attach fields of any host, also of the host that is being
//! cloned. Fields that are attached in the meantime are carried or not.
//!
//! A value's `Clone` may panic. The panic is contained in the image of the declaration (`node.rs`), since no image can
//! catch the panic of another image; the remaining values are not cloned. Then the image of the caller raises the panic
//! again, and unwinding drops the values so far with the unfinished clone (R5). As for destructors, the caller frees
//! the payload of the panic, so images with different global allocators cannot pass a panic on.

use std::ptr::NonNull;

use crate::closures;
use crate::field_set::{FieldSet, NewSet};
use crate::fields::node::{Header, set};
use crate::fields::{NO_KEY, ShadowFields, Unpublished};
use crate::panics::Panics;

/// Clones the carried fields of a node to the fields of a clone of the host, which have no node of the same set. A
/// panic of a value's `Clone` is contained.
///
/// # Safety
///
/// As for [`VTable`](crate::fields::node::VTable).
pub(super) type CloneNode = unsafe fn(NonNull<Header>, &mut ShadowFields, &mut Panics);

/// The [`CloneNode`] of a node of `S`, of any owner.
///
/// # Safety
///
/// As for [`VTable`](crate::fields::node::VTable).
pub(super) unsafe fn clone_node<S: FieldSet + 'static>(
    header: NonNull<Header>,
    clone: &mut ShadowFields,
    panics: &mut Panics,
) {
    let Some(clone_carried) = S::CLONE_CARRIED else { return };
    // SAFETY: by the contract `header` is the header of a live node of `S`.
    let set = unsafe { set::<S>(header) };
    panics.contain(&"a value's `Clone`", || {
        let mut new = New(None);
        closures::run_clone(|| clone_carried(set, &mut new));
        if let New(Some(mut new)) = new {
            new.correct_first_ready();
            clone.publish(new);
        }
    });
}

/// The set of a clone, if a value has been cloned.
struct New<S: FieldSet + 'static>(Option<Unpublished<S>>);

impl<S: FieldSet + 'static> NewSet<S> for New<S> {
    fn set_mut(&mut self) -> &mut S {
        // SAFETY: these nodes have the owner `()` and the key `NO_KEY`. The first-ready flag is corrected before the
        // publication.
        self.0.get_or_insert_with(|| unsafe { Unpublished::new_first_ready((), NO_KEY) }).set_mut()
    }
}

impl ShadowFields {
    /// The fields of a clone of the host: clones of the carried fields.
    ///
    /// # Panics
    ///
    /// If a value's `Clone` panics.
    #[inline]
    pub(crate) fn clone_carried(&self) -> Self {
        let mut clone = Self::new();
        if self.root().is_some() {
            self.clone_carried_to(&mut clone);
        }
        clone
    }

    #[cold]
    fn clone_carried_to(&self, clone: &mut Self) {
        let mut panics = Panics::none();
        if let Some(root) = self.root() {
            // SAFETY: by N3 the nodes live while `self` is borrowed.
            unsafe { root.clone_carried(clone, &mut panics) };
        }
        panics.raise_always();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::cell::{FieldCell, GetOrAttach, GetOrUpdateCopy};
    use crate::field_set::CloneCarried;
    use crate::policy::Policy;
    use crate::registry::Field;
    use crate::value::{CarriedValue, CopyValue};

    /// Two carried fields.
    struct Pair {
        first: GetOrAttach<u32>,
        second: GetOrUpdateCopy<u32>,
    }

    // SAFETY: D1 to D3 hold: the set has two cells, and all functions show or name these cells in one order.
    unsafe impl FieldSet for Pair {
        unsafe fn init(place: *mut Self) {
            // SAFETY: by the contract `place` points to memory of a `Self`.
            let first = unsafe { &raw mut (*place).first };
            // SAFETY: as above.
            let second = unsafe { &raw mut (*place).second };
            // SAFETY: by the contract `place` is valid for writes and aligned, and so are its parts.
            unsafe { GetOrAttach::init(first) };
            // SAFETY: as above.
            unsafe { GetOrUpdateCopy::init(second) };
        }

        fn fields() -> &'static [Field] {
            static FIELDS: [Field; 2] = [
                Field::new("app", "Host", "first", "u32", Policy::GetOrAttach, Some(4)),
                Field::new("app", "Host", "second", "u32", Policy::GetOrUpdateCopy, Some(4)),
            ];
            &FIELDS
        }

        fn each(&self, visit: &mut dyn FnMut(&dyn FieldCell)) {
            visit(&self.first);
            visit(&self.second);
        }

        fn each_mut(&mut self, visit: &mut dyn FnMut(&mut dyn FieldCell)) {
            visit(&mut self.first);
            visit(&mut self.second);
        }

        const CLONE_CARRIED: Option<CloneCarried<Self>> = Some(|set, new| {
            set.first.clone_into(u32::clone_carried, &Self::fields()[0], || &mut new.set_mut().first);
            set.second.clone_into(u32::copy_value, &Self::fields()[1], || &mut new.set_mut().second);
        });
    }

    /// N4: the flag says that the first cell is ready, and is worth a load to each reader of a clone.
    #[test]
    fn a_clone_has_the_first_ready_flag_if_its_first_cell_has_a_value() {
        let is_first_ready = |fields: &ShadowFields| fields.find::<Pair>().map(|found| found.first_ready());
        let original = ShadowFields::new();
        assert_eq!(is_first_ready(&original.clone()), None);
        // The original has the set, and no flag.
        let set = original.find_or_insert::<Pair>();
        assert_eq!(is_first_ready(&original.clone()), None);
        set.second.update(&Pair::fields()[1], 2);
        let clone = original.clone();
        assert_eq!((is_first_ready(&original), is_first_ready(&clone)), (Some(false), Some(false)));
        assert!(clone.find::<Pair>().is_some_and(|found| found.set().first.get().is_none()));
        set.first.attach(&Pair::fields()[0], 1);
        let clone = original.clone();
        assert_eq!(is_first_ready(&original), Some(false));
        // Under Miri, two uses of a generic function may have two addresses, and the flag is not seen.
        assert!(is_first_ready(&clone) == Some(true) || cfg!(miri));
        let found = clone.find::<Pair>().expect("it is carried");
        assert_eq!((found.set().first.get(), found.set().second.get()), (Some(&1), Some(2)));
    }
}
