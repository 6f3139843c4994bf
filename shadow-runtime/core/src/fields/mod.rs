//! All field sets of one host.
//!
//! In: a host's accessors, through `host/`. Out: the field set that an accessor asks for. `head.rs` holds the memory,
//! with `first.rs`, `node.rs` and `list.rs`; this file is what users see of it.

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

/// The shadow fields of one host: 8 bytes, to be embedded in it.
///
/// A struct that derives `Shadow` has one member of this type. Nothing is allocated until the first field is attached;
/// then each declaration whose fields are used costs one allocation, for all its fields together, and the second one of
/// a host another, for a list of them. All values are dropped with it, each exactly once.
///
/// It takes no part in what the host is: a clone starts with no fields, all are equal to one another, and they add
/// nothing to a hash. So the host may derive [`Clone`], [`Eq`], [`Ord`], [`Hash`], [`Debug`] and [`Default`].
///
/// It is `Send` and `Sync`, since every value in it is. Reads take no lock.
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
        /// No fields. Allocates nothing.
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

    /// The field set `S`, if any of its fields has ever been attached to this host.
    #[inline]
    pub(crate) fn find<S: FieldSet + 'static>(&self) -> Option<Found<'_, S>> {
        self.head.find()
    }

    /// The field set `S`, made if it is not there.
    #[inline]
    pub(crate) fn find_or_insert<S: FieldSet + 'static>(&self) -> &S {
        self.head.find().map_or_else(|| self.head.insert(), |found| found.set())
    }

    /// A set to be filled, and then to be the first here, if there is nothing yet.
    #[inline]
    pub(crate) fn new_first<S: FieldSet + 'static>(&self) -> Option<Unpublished<S>> {
        self.head.new_first()
    }

    /// Publishes a set as the first here, or gives it back.
    ///
    /// # Safety
    ///
    /// `new` comes from [`new_first`](Self::new_first) of any `ShadowFields`, and its first cell is ready.
    #[inline]
    pub(crate) unsafe fn insert_first<S: FieldSet + 'static>(&self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        // SAFETY: it comes from a head, and the caller says that its first cell is ready.
        unsafe { self.head.insert_first(new) }
    }

    /// The field set `S`, exclusively.
    #[inline]
    pub(crate) fn find_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        self.head.find_mut()
    }

    /// The same, for who does not empty the first cell.
    ///
    /// # Safety
    ///
    /// If the first cell is ready, it still is when the borrow ends.
    #[inline]
    pub(crate) unsafe fn find_mut_marked<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        // SAFETY: the caller keeps the first cell ready.
        unsafe { self.head.find_mut_marked() }
    }

    /// Where it is, which is nowhere else while it is borrowed.
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

/// A clone has no fields: they belong to the object, not to its value.
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

/// Lists the names of the fields that are attached.
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
