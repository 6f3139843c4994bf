//! All field sets of one host, as an embeddable member: one node for each declaration of which the host has fields.
//!
//! In: the type of a field set. Out: a reference to the host's field set of this type. This file has the design, and
//! the public type [`ShadowFields`]: the root pointer of a host with embedded fields. For a host with a side table
//! entry, the entry stores the root pointer. The first node then also stores the state of the host for the table, so
//! one allocation serves both purposes. Neighbours: `root.rs`, the search from a root pointer; `unpublished.rs`, new
//! nodes and their publication; `node.rs`, one node; `node_table.rs`, the table of several nodes; `clone.rs`, the
//! fields that a clone of the host carries.
//!
//! # Memory
//!
//! Most hosts have fields of one declaration, and the root points to the node of the declaration. The root of a host
//! with several declarations points to a *table* of nodes, an insert-only hash table. Nodes and tables begin with a
//! [`Header`](node::Header), whose type tag tells nodes and tables apart. The root points past the header, to the
//! *payload*, so a reader compares the word before the target of the root. On equality the reader has the node;
//! otherwise the reader searches. A node has no next pointer: with a next pointer, nodes of small values would fill 1.5
//! times as much of the caches.
//!
//! # Invariants
//!
//! - **N1** Every slot of a table that is neither vacant nor closed, and every root, points right behind the header of
//!   a live `Node<S, O>` or, a root alone, of a live `NodeTable`. The type tag is `vtable::<S, O>`,
//!   `vtable_first_ready::<S, O>` or `vtable_of_table`. The provenance of the pointer covers the whole node or table,
//!   the header included.
//! - **N2** No two nodes of a host are of the same field set of the same image (`node.rs`).
//! - **N3** A root goes from null to a node, from the node to a table that has the node, and from a table to a larger
//!   table, which has all nodes of the table. A slot of a table goes from vacant to a node, or from vacant to closed. A
//!   table that was replaced has no vacant slot. Every other change, except those of N5, and every free of a node or a
//!   published table requires exclusive access: `&mut ShadowFields`, or [`RootPtr::destroy`]. So a node lives, and
//!   stays at its address, for as long as the root is borrowed (R1, R8).
//! - **N4** A node whose type tag is `vtable_first_ready` has the first-ready flag: the first cell of the set is ready.
//!   A ready cell was filled, and was not emptied by exclusive access. A reader may read a ready cell without a load of
//!   the cell's state, in the way that the cell of the policy defines. So a ready cell has a value, except a
//!   `get_or_update` cell whose value was taken: its readers find the taken value missing (`cell/get_or_update.rs`). A
//!   node is made with the flag or without. A caller with exclusive access clears the flag before the first cell may
//!   become empty; [`RootPtr::detach`] is such a caller.
//! - **N5** An entry of a table's order goes from 0 to the number of a filled slot. The thread that fills the slot
//!   fills the entry next. So a slot may have a node that the order does not have yet.
//!
//! The first-ready flag saves a reader of the first cell the load of the cell's state. The reader loads the type tag,
//! as every reader does, and the value. Tag and value are adjacent, mostly in one cache line; the state would often be
//! in the next cache line. So a hit takes two comparisons, with null and with the type tag of a flagged node. A hit on
//! a node without the flag takes a third, and a miss on an empty host takes one. Readers load the state of every cell
//! but the first, and of the first cell of a node without the flag or in a table. A node has the flag if an attach of
//! field 0 has published the node as the first node of the host, or a clone of a host has a clone of the value of field
//! 0; and as long as no exclusive access to the set has detached a field, or has borrowed a replaceable value mutably.
//!
//! # Readers and writers
//!
//! *Reader*: load the root, and compare the type tag of the target. If the target is a table, load the home slot of the
//! field set, and compare the type tag of the node there. A home slot that is vacant or closed ends the search: the
//! host had no such set when the reader loaded the root. If no tag matches, call the type tests of the nodes from the
//! home slot to the first slot that is vacant or closed.
//!
//! *Writer*: allocate a node. If the host has one node, make a table of this node and the new node, and publish the
//! table by a CAS of the root. If the host has a table, store the node in the first vacant slot from the home slot on,
//! by a CAS, and then append the slot's number to the order. A table with a collision is replaced (`node_table.rs`):
//! *close* every vacant slot, by a CAS; make a table of the nodes that are there and the new node; publish the table by
//! a CAS of the root. If a CAS fails, another thread has published a node or a table in the word. If the host has a
//! node of the same set by now, the writer returns this node, and frees its own node, whose cells are empty, so that no
//! user code runs. Otherwise the writer frees the table that it could not publish, if any, and goes on from the
//! published node or table. No thread waits for another.
//!
//! *No node is lost*: after all slots of a table are filled or closed, the table gets no further node. So a table that
//! replaces the table has every node that the table ever had.
//!
//! *Uniqueness*: two writers of one set search the same slots in the same order, and no slot becomes vacant again. The
//! later writer meets the earlier node before a vacant slot. In a table that is being replaced, the later writer meets
//! a closed slot, closes the other slots, and then searches once more.
//!
//! *Reader and replacement*: a reader of a replaced table finds each node that the table had. If the reader finds no
//! node of the set, the node was published by a later table. The publication of this table comes after the reader's
//! load of the root, in the modification order of the root. So no attach of the set happens before the reader's load.
//!
//! *Orderings*: readers race with writers, and writers with one another, at the words that a CAS publishes. Each CAS
//! that publishes a pointer is a `Release`. Each load whose pointer is dereferenced is an `Acquire`, the load after a
//! failed CAS included. So a reader of a pointer sees the node as initialised, and a node with the first-ready flag
//! with a ready first cell. A reader of a table also sees the initialised nodes in the table, since the maker of the
//! table has acquired the nodes. The CAS that closes a slot publishes no memory, and is Relaxed. Nodes are freed, and
//! lose the flag, only under exclusive access, which excludes readers and writers. The synchronisation that led to the
//! exclusive access orders all earlier accesses. There is no ABA: by N3 no word has a value twice.
//!
//! *Order*: an append to the order is a `Release`, and the load of an entry an `Acquire`, so a reader of the entry sees
//! the slot filled. Nodes that racing threads insert come in any order (R5).

mod clone;
mod node;
mod node_table;
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
/// several declarations has one more allocation, or some, of 10 to 80 bytes for each declaration. A `get_or_update`
/// field also allocates each value. The drop of a `ShadowFields` drops all values, each exactly once.
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
        // Acquire: pairs with the Release of `insert` and `insert_first`, so the node or table is seen as initialised.
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
            // Release: publishes the initialised node or table; pairs with the Acquire loads of the root. Acquire on
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
