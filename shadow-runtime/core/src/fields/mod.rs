//! All field sets of one host, as an embeddable member.
//!
//! In: calls of accessors, through `host/`. Out: the requested field set. This file has the public type. Neighbours:
//! `head.rs`, the design and the memory; `first.rs`, `node.rs` and `list.rs`, the parts of the memory.

mod first;
mod head;
mod list;
mod node;

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ptr;

use crate::field_set::FieldSet;
use crate::host::Identity;
use crate::sync::const_fn;
pub(crate) use first::First;
pub use first::{Found, Unpublished};
use head::Head;
pub(crate) use node::{AfterLink, Owner};

/// The shadow fields of one host: 8 bytes, to be embedded in the host.
///
/// A struct that derives `Shadow` has one member of this type. An empty `ShadowFields` has no allocation. Each
/// declaration whose fields are used costs one allocation, for all fields of the declaration together. A host with
/// several declarations has one more allocation for each list of six declarations. A `get_or_update` field also
/// allocates each value. The drop of a `ShadowFields` drops all values, each exactly once.
///
/// The fields are no part of the host's value: a clone starts without fields, all `ShadowFields` are equal, and the
/// fields add no bytes to a hash. So the host may derive [`Clone`], [`Eq`], [`Ord`], [`Hash`], [`Debug`] and
/// [`Default`].
///
/// A `ShadowFields` is `Send` and `Sync`, since every value is. Reads take no lock.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields};
///
/// #[derive(Shadow, Clone, Debug, Default, PartialEq)]
/// #[shadow_field(attach newpid: u32)]
/// struct Task { pid: u32, shadow: ShadowFields }
///
/// let task = Task { pid: 1, shadow: ShadowFields::new() };
/// task.attach_newpid(10).unwrap();
/// assert_eq!(format!("{task:?}"), r#"Task { pid: 1, shadow: ShadowFields {"newpid"} }"#);
///
/// let copy = task.clone();
/// assert_eq!(copy, task);
/// assert_eq!(copy.newpid(), None);
/// assert_eq!(size_of::<ShadowFields>(), 8);
/// ```
pub struct ShadowFields {
    head: Head,
}

impl ShadowFields {
    const_fn! {
        /// No fields. Allocates no memory.
        ///
        /// ```
        /// use shadow_runtime::ShadowFields;
        ///
        /// static NONE: ShadowFields = ShadowFields::new();
        /// assert_eq!(format!("{NONE:?}"), "ShadowFields {}");
        /// ```
        #[must_use]
        pub const fn new() -> Self {
            Self { head: Head::new() }
        }
    }

    /// The field set `S`, if the host has one. A field set is published at the first attach of one of its fields.
    #[inline]
    pub(crate) fn find<S: FieldSet + 'static>(&self) -> Option<Found<'_, S>> {
        self.head.find()
    }

    /// The field set `S`, published if the host has none.
    #[inline]
    pub(crate) fn find_or_insert<S: FieldSet + 'static>(&self) -> &S {
        self.head.find().map_or_else(|| self.head.insert(), |found| found.set())
    }

    /// An unpublished set with the mark, or `None` if the host has a field set.
    #[inline]
    pub(crate) fn new_first<S: FieldSet + 'static>(&self) -> Option<Unpublished<S>> {
        self.head.new_first()
    }

    /// Publishes a set as the first of the host. Returns the set if the host has a field set by now.
    ///
    /// # Safety
    ///
    /// `new` comes from [`new_first`](Self::new_first) of any `ShadowFields`, and its first cell is ready.
    #[inline]
    pub(crate) unsafe fn insert_first<S: FieldSet + 'static>(&self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        // SAFETY: by the contract `new` comes from `new_first` of a head, and its first cell is ready.
        unsafe { self.head.insert_first(new) }
    }

    /// The field set `S`, exclusively. The caller may empty the first cell.
    #[inline]
    pub(crate) fn find_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        self.head.find_mut()
    }

    /// The field set `S`, exclusively, for a caller that does not empty the first cell.
    ///
    /// # Safety
    ///
    /// If the first cell is ready, the first cell is still ready when the borrow ends.
    #[inline]
    pub(crate) unsafe fn find_mut_marked<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        // SAFETY: by the contract a ready first cell is still ready when the borrow ends.
        unsafe { self.head.find_mut_marked() }
    }

    /// The address of the fields, which is unique while `self` is borrowed.
    #[inline]
    pub(crate) fn identity(&self) -> Identity {
        Identity { address: ptr::from_ref(self).addr(), object: None }
    }
}

impl Drop for ShadowFields {
    #[inline]
    fn drop(&mut self) {
        if let Some(first) = self.head.take() {
            first.end_all();
        }
    }
}

impl Default for ShadowFields {
    fn default() -> Self {
        Self::new()
    }
}

/// A clone has no fields: the fields belong to the object, not to the object's value.
impl Clone for ShadowFields {
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl PartialEq for ShadowFields {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ShadowFields {}

impl PartialOrd for ShadowFields {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShadowFields {
    fn cmp(&self, _: &Self) -> Ordering {
        Ordering::Equal
    }
}

impl Hash for ShadowFields {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Lists the names of the attached fields.
impl fmt::Debug for ShadowFields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ShadowFields ")?;
        let mut names = formatter.debug_set();
        self.head.attached(&mut |name| {
            names.entry(&name);
        });
        names.finish()
    }
}
