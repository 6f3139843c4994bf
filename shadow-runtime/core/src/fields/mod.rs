//! All field sets of one host, as an embeddable member: one node for each declaration of which the host has fields.
//!
//! In: the type of a field set. Out: a reference to the host's field set of this type. This file has the design, and
//! the public type [`ShadowFields`]: the root pointer of a host with embedded fields. For a host with a side table
//! entry, the entry stores the root pointer. The first node then also stores the state of the host for the table, so
//! one allocation serves both purposes. Neighbours: `root.rs`, the search from a root pointer; `unpublished.rs`, new
//! nodes and their publication; `node.rs`, one node; `chunk.rs`, the list of several nodes; `clone.rs`, the fields that
//! a clone of the host carries.
//!
//! # Memory
//!
//! Most hosts have fields of one declaration, and the root points to the node of the declaration. The root of a host
//! with several declarations points to a list of *chunks*. A chunk stores pointers to nodes, and caches a type tag for
//! each node. Nodes and chunks begin with a [`Header`](node::Header), whose type tag tells nodes and chunks apart. The
//! root points past the header, to the *payload*, so a reader compares the word before the target of the root. On
//! equality the reader has the node; otherwise the reader searches. A node has no next pointer: with a next pointer,
//! nodes of small values would fill 1.5 times as much of the caches.
//!
//! # Invariants
//!
//! - **N1** Every header to which a chunk points, and the header right before the target of a root, is the start of a
//!   live `Node<S, O>` or `Chunk`, allocated by `Box`, whose type tag is `vtable::<S, O>`, `vtable_first_ready::<S, O>`
//!   or `vtable_of_chunk`. The provenance of the pointer covers the whole node or chunk, the header included.
//! - **N2** No two nodes of a host are of the same field set of the same image (`node.rs`).
//! - **N3** A root goes from null to a node, and from the node to a chunk that has the node. An entry of a chunk goes
//!   from vacant to a node. The next pointer of a chunk goes from null to a chunk. Entries are filled in order. Every
//!   other change, except N5, and every free of a node or chunk requires exclusive access: `&mut ShadowFields`, or
//!   [`RootPtr::destroy`]. So a node lives, and stays at its address, for as long as the root is borrowed (R1, R8).
//! - **N4** A node whose type tag is `vtable_first_ready` has the first-ready flag: the first cell of the set is ready.
//!   A ready cell was filled, and was not emptied by exclusive access. A reader may read a ready cell without a load of
//!   the cell's state, in the way that the cell of the policy defines. So a ready cell has a value, except a
//!   `get_or_update` cell whose value was taken: its readers find the taken value missing (`cell/get_or_update.rs`). A
//!   node is made with the flag or without. A caller with exclusive access clears the flag before the first cell may
//!   become empty; [`RootPtr::detach`] is such a caller.
//! - **N5** An entry of a chunk has, beside the node, a cached tag: the address of the type test of the node's set, or
//!   null. The cached tag is written once, with the node or after the node. So an entry with a null tag may have a
//!   node, and so may later entries.
//!
//! The first-ready flag saves a reader of the first cell the load of the cell's state. The reader loads the type tag,
//! as every reader does, and the value. Tag and value are adjacent, mostly in one cache line; the state would often be
//! in the next cache line. So a hit takes two comparisons, with null and with the type tag of a flagged node. A hit on
//! a node without the flag takes a third, and a miss on an empty host takes one. Readers load the state of every cell
//! but the first, and of the first cell of a node without the flag. A node has the flag if an attach of field 0 has
//! published the node as the first node of the host, or a clone of a host has a clone of the value of field 0; and as
//! long as no exclusive access to the set has detached a field, or has borrowed a replaceable value mutably.
//!
//! # Readers and writers
//!
//! *Reader*: load the root, and compare the type tag of the target. If the target is a chunk, compare the cached tag of
//! each entry, up to the first null tag. So of several nodes the reader touches the requested node alone. If no address
//! matches, call the type tests: the cached function or the function of the node, up to the first vacant entry.
//!
//! *Writer*: allocate a node. Store the node in the first vacant entry, by one CAS, and then store the cached tag. If
//! the host has no chunk yet, allocate a chunk of the present node and the new node, and publish the chunk by a CAS of
//! the root. If a CAS fails, another thread has published a node or a chunk in the word. If the published node is of
//! the same set, the writer returns this node, and frees its own node, whose cells are empty, so that no user code
//! runs. Otherwise the writer frees the chunk that it could not publish, if any, and goes on from the published node or
//! chunk. No thread waits for a cached tag.
//!
//! *Orderings of the links*: readers race with writers, and writers with one another, at the words that a CAS
//! publishes. Each CAS is a `Release`. Each load whose pointer is dereferenced is an `Acquire`, the load of a failed
//! CAS included, unless an `Acquire` load of the entry's cached tag precedes. So a reader of a pointer sees the node as
//! initialised, and a node with the first-ready flag with a ready first cell. A reader of a chunk also sees the
//! initialised nodes in the chunk, since the maker of the chunk has acquired the nodes. Nodes are freed, and lose the
//! flag, only under exclusive access, which excludes readers and writers. The synchronisation that led to the exclusive
//! access orders all earlier accesses.
//!
//! *Uniqueness*: two writers cannot publish two nodes of one set. Words are filled in order, so the later writer meets
//! the earlier node first.
//!
//! *Orderings of the cached tags*: the tag is stored by a `Release` after the node, and loaded by an `Acquire`. So a
//! reader of the tag also sees the node pointer and the initialised node. There is no ABA: by N3 and N5 no word has a
//! value twice.

mod chunk;
mod clone;
mod node;
mod root;
mod unpublished;

use std::cmp;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::identity::Identity;
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering, const_fn};
use node::set_mut;
pub(crate) use node::{HostOwner, Payload};
pub use root::Found;
pub(crate) use root::RootPtr;
pub use unpublished::Unpublished;

/// The shadow fields of one host: 8 bytes, to be embedded in the host.
///
/// A struct that derives `Shadow` has one member of this type. An empty `ShadowFields` has no allocation. Each
/// declaration whose fields are used costs one allocation, for all fields of the declaration together. A host with
/// several declarations has one more allocation for every six declarations. A `get_or_update` field also
/// allocates each value. The drop of a `ShadowFields` drops all values, each exactly once.
///
/// The fields are no part of the host's value: a clone starts without fields, all `ShadowFields` are equal, and the
/// fields add no bytes to a hash. So the host may derive [`Clone`], [`Eq`], [`Ord`], [`Hash`], [`Debug`] and
/// [`Default`]. A field with `#[shadow(clone)]` is an exception: a clone of the host carries a clone of the value.
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
    /// The root pointer, or null for a host without field sets.
    root: AtomicPtr<Payload>,
}

/// The key for nodes of a host without a table entry. These nodes ignore the key.
const NO_KEY: usize = 0;

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
            Self { root: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    fn root(&self) -> Option<RootPtr> {
        // Acquire: pairs with the Release of `insert` and `insert_first`, so the node or chunk is seen as initialised.
        NonNull::new(self.root.load(Ordering::Acquire)).map(RootPtr::from_raw)
    }

    /// The field set `S`, if the host has one. A field set is published at the first attach of one of its fields.
    #[inline]
    pub(crate) fn find<S: FieldSet + 'static>(&self) -> Option<Found<'_, S>> {
        // SAFETY: by N3 the nodes live, and keep the first-ready flag, while `self` is borrowed, and the result borrows
        // `self`. The load of the root is an Acquire.
        unsafe { self.root()?.find::<S, ()>() }
    }

    /// The field set `S`, published if the host has none.
    #[inline]
    pub(crate) fn find_or_insert<S: FieldSet + 'static>(&self) -> &S {
        self.find().map_or_else(|| self.insert(), |found| found.set())
    }

    /// Publishes an empty `S`, or finds the `S` that another thread has just published.
    #[cold]
    fn insert<S: FieldSet + 'static>(&self) -> &S {
        // SAFETY: these nodes have the owner `()` and the key `NO_KEY`.
        self.publish(unsafe { Unpublished::new((), NO_KEY) })
    }

    /// Publishes `new`, or finds the `S` that another thread has just published.
    fn publish<S: FieldSet + 'static>(&self, new: Unpublished<S>) -> &S {
        let exchange = |there: Option<RootPtr>, new: RootPtr| {
            let there = there.map_or(ptr::null_mut(), |root| root.into_raw().as_ptr());
            // Release: publishes the initialised node or chunk; pairs with the Acquire loads of the root. Acquire on
            // failure: pairs with the Release of the thread that has published the current root.
            let put = self.root.compare_exchange(there, new.into_raw().as_ptr(), Ordering::Release, Ordering::Acquire);
            // By N3 a root does not become null again, so the root of a failed CAS is not null.
            put.map(|_| ()).map_err(|now| RootPtr::from_raw(NonNull::new(now).expect("it is never null again")))
        };
        // SAFETY: by N3 the root is not destroyed while `self` is borrowed. The CAS has the required orderings.
        unsafe { new.publish(None, exchange) }
    }

    /// An unpublished set with the first-ready flag, or `None` if the host has a field set.
    #[inline]
    pub(crate) fn new_first<S: FieldSet + 'static>(&self) -> Option<Unpublished<S>> {
        // Relaxed: the result is a hint; the CAS of `insert_first` decides.
        let is_empty = self.root.load(Ordering::Relaxed).is_null();
        // SAFETY: these nodes have the owner `()` and the key `NO_KEY`.
        is_empty.then(|| unsafe { Unpublished::new_first_ready((), NO_KEY) })
    }

    /// Publishes a set as the first of the host. Returns the set if the host has a field set by now.
    ///
    /// # Safety
    ///
    /// `new` comes from [`new_first`](Self::new_first) of any `ShadowFields`, and its first cell is ready.
    #[inline]
    pub(crate) unsafe fn insert_first<S: FieldSet + 'static>(&self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        let root = new.root().into_raw().as_ptr();
        // Release: pairs with the Acquire loads of the root. Relaxed on failure: the current root is not dereferenced.
        if self.root.compare_exchange(ptr::null_mut(), root, Ordering::Release, Ordering::Relaxed).is_err() {
            return Err(new);
        }
        // SAFETY: by N3 the node lives while `self` is borrowed.
        Ok(unsafe { new.into_published() })
    }

    /// The field set `S`, exclusively, without the first-ready flag from now on: the caller may empty the first cell.
    #[inline]
    pub(crate) fn find_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        // SAFETY: by N3 the nodes live while `self` is borrowed.
        let (mut node, _) = unsafe { self.root()?.find_node::<S, ()>() }?;
        // SAFETY: by N1 the node is live. The exclusive borrow of `self` excludes other references.
        unsafe { node.as_mut() }.clear_first_ready();
        // SAFETY: by N1 `node` is the start of a live node of `S`; the exclusive borrow of `self` lasts as long as the
        // set's.
        Some(unsafe { set_mut(node) })
    }

    /// The field set `S`, exclusively, for a caller that does not empty the first cell.
    ///
    /// # Safety
    ///
    /// If the first cell is ready, the first cell is still ready when the borrow ends.
    #[inline]
    pub(crate) unsafe fn find_mut_keeping_first<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        // SAFETY: by N3 the nodes live while `self` is borrowed.
        let (node, _) = unsafe { self.root()?.find_node::<S, ()>() }?;
        // SAFETY: by N1 the node is a live node of `S`, and the borrow is exclusive. By the contract N4 holds after the
        // borrow.
        Some(unsafe { set_mut(node) })
    }

    /// The address of the fields, which is unique while `self` is borrowed.
    #[inline]
    pub(crate) fn identity(&self) -> Identity {
        Identity { address: ptr::from_ref(self).addr(), type_id: None }
    }
}

/// Drops all values, and frees the memory of the fields.
///
/// # Panics
///
/// If destructors panic: the first panic is raised again after all destructors have run.
impl Drop for ShadowFields {
    #[inline]
    fn drop(&mut self) {
        // Relaxed: `self` is borrowed exclusively, so no thread races.
        if let Some(root) = NonNull::new(self.root.load(Ordering::Relaxed)) {
            // SAFETY: the exclusive borrow of `self` excludes other references, and the drop is the last use.
            unsafe { destroy(RootPtr::from_raw(root)) };
        }
    }
}

/// # Safety
///
/// As for [`RootPtr::destroy`]. The root is that of a `ShadowFields`.
#[cold]
unsafe fn destroy(root: RootPtr) {
    let mut panics = Panics::none();
    // SAFETY: by the contract no other reference exists; these nodes have the key `NO_KEY`.
    unsafe { root.destroy(NO_KEY, &mut panics) };
    panics.raise();
}

impl Default for ShadowFields {
    fn default() -> Self {
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
    fn partial_cmp(&self, other: &Self) -> Option<cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ShadowFields {
    fn cmp(&self, _: &Self) -> cmp::Ordering {
        cmp::Ordering::Equal
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
        if let Some(root) = self.root() {
            // SAFETY: by N3 the nodes live while `self` is borrowed.
            unsafe {
                root.attached(&mut |name| {
                    names.entry(&name);
                });
            }
        }
        names.finish()
    }
}
