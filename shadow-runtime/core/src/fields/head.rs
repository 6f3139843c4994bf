//! The memory of one host's field sets: one node for each declaration of which the host has fields.
//!
//! In: the type of a field set. Out: a reference to the host's field set of this type. A host with embedded fields has
//! a [`Head`]. For a host with a side table entry, the entry stores the content of a head, a [`First`]. The first node
//! then also stores the state of the host for the table, so one allocation serves both purposes. Neighbours:
//! `first.rs`, the root pointer; `node.rs`, one node; `list.rs`, a list of nodes.
//!
//! # Memory
//!
//! The *root* of a host is the pointer in a head or in a table entry. Most hosts have fields of one declaration, and
//! the root points to the node of the declaration. The root of a host with several declarations points to a list. A
//! list stores pointers to nodes, and caches a type tag for each node. Nodes and lists begin with a [`Link`], whose
//! type tag tells nodes and lists apart. The root points past the link, so a reader compares the word before the target
//! of the root. On equality the reader has the node; otherwise the reader searches. A node has no next pointer: with a
//! next pointer, nodes of small values would fill 1.5 times as much of the caches.
//!
//! # Invariants
//!
//! - **N1** Every link to which a list points, and the link right before the target of a root, is the start of a live
//!   `Node<S, O>` or `List`, allocated by `Box`, whose kind is `kind::<S, O>`, `marked::<S, O>` or `list`. The
//!   provenance of the pointer covers the whole node or list, the link included.
//! - **N2** No two nodes of a host are of the same field set of the same image (`node.rs`).
//! - **N3** A root goes from null to a node, and from the node to a list that has the node. An entry of a list goes
//!   from vacant to a node. The next pointer of a list goes from null to a list. Entries are filled in order. No other
//!   change happens, except N5, and no node or list is freed, without exclusive access: `&mut Head`, or [`First::end`].
//!   So a node lives, and stays at its address, for as long as the head is borrowed (R1, R8).
//! - **N4** A node whose kind is `marked` has the *mark*: the first cell of the set is ready. A ready cell has a value,
//!   and a reader may read the value without a load of the cell's state, in the way that the cell of the policy
//!   defines. A node is made with the mark or without. A caller with exclusive access removes the mark before the first
//!   cell may become empty.
//! - **N5** An entry of a list has, beside the node, the cached type tag of the node's set: the address of the function
//!   `is_of`, or null. The cached tag is written once, with the node or after the node. So an entry with a null tag may
//!   have a node, and so may later entries.
//!
//! The mark saves a reader of the first cell the load of the cell's state. The reader loads the type tag, as every
//! reader does, and the value. Tag and value are adjacent, mostly in one cache line; the state would often be in the
//! next cache line. So a hit takes two comparisons, with null and with the type tag, and a miss on an empty host takes
//! one. Readers load the state of every cell but the first, and of the first cell of a node without the mark. A node
//! has the mark if an attach of field 0 has published the node as the first node of the host, and as long as no
//! exclusive access to the set has detached a field, or has borrowed a replaceable value mutably.
//!
//! # Readers and writers
//!
//! *Reader*: load the root, and compare the type tag of the target. If the target is a list, compare the cached tag of
//! each entry, up to the first null tag. So of several nodes the reader touches the requested node alone. If no address
//! matches, call the type tests: the cached function or the function of the node, up to the first vacant entry.
//!
//! *Writer*: allocate a node. Store the node in the first vacant entry, by one CAS, and then store the cached tag. If
//! the host has no list yet, allocate a list of the present node and the new node, and publish the list by a CAS of the
//! root. If a CAS fails, another thread has published a node or a list in the word. The writer returns a published node
//! of the same set, and frees its own node, whose cells are empty, so that no user code runs. The writer also frees a
//! surplus list. After any other failure the writer continues with the published node or list. No thread waits for a
//! cached tag.
//!
//! *Orderings of the links*: readers race with writers, and writers with one another, at the words that a CAS
//! publishes. Each CAS is a `Release`. Each load whose pointer is dereferenced is an `Acquire`, the load of a failed
//! CAS included, unless an `Acquire` load of the entry's cached tag precedes. So a reader of a link sees the node as
//! initialised, and a marked node with a ready first cell. A reader of a list also sees the initialised nodes in the
//! list, since the maker of the list has acquired the nodes. Nodes are freed, and lose the mark, only under exclusive
//! access, which excludes readers and writers. The synchronisation that led to the exclusive access orders all earlier
//! accesses.
//!
//! *Uniqueness*: two writers cannot publish two nodes of one set. Words are filled in order, so the later writer meets
//! the earlier node first.
//!
//! *Orderings of the cached tags*: the tag is stored by a `Release` after the node, and loaded by an `Acquire`. So a
//! reader of the tag also sees the node pointer and the initialised node. There is no ABA: by N3 and N5 no word has a
//! value twice.

use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::first::{First, Found, Unpublished};
use crate::fields::node::{AfterLink, Link, set_mut};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering, const_fn};

/// All field sets of one host, in 8 bytes of the host.
pub(super) struct Head {
    first: AtomicPtr<AfterLink>,
}

/// The key for nodes of a host without a table entry. These nodes ignore the key.
pub(super) const NO_KEY: usize = 0;

impl Head {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self { first: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    fn first(&self) -> Option<First> {
        // Acquire: pairs with the Release of `insert` and `insert_first`, so the node or list is seen as initialised.
        NonNull::new(self.first.load(Ordering::Acquire)).map(First::from_raw)
    }

    /// Whether the host has no field set yet.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        // Relaxed: the result is a hint; the CAS of `insert_first` decides.
        self.first.load(Ordering::Relaxed).is_null()
    }

    /// The field set `S`, if the host has one.
    #[inline]
    pub(super) fn find<S: FieldSet + 'static>(&self) -> Option<Found<'_, S>> {
        // SAFETY: by N3 the nodes live, and keep their marks, while `self` is borrowed, and the result borrows `self`.
        // The load of the root is an Acquire.
        unsafe { self.first()?.find::<S, ()>() }
    }

    /// An unpublished set with the mark, or `None` if the host has a field set.
    #[inline]
    pub(super) fn new_first<S: FieldSet + 'static>(&self) -> Option<Unpublished<S>> {
        // SAFETY: nodes of a head have the owner `()` and the key `NO_KEY`.
        self.is_empty().then(|| unsafe { Unpublished::make_marked((), NO_KEY) })
    }

    /// Publishes a set as the first of the host. Returns the set if the host has a field set by now.
    ///
    /// # Safety
    ///
    /// `new` comes from a head's [`new_first`](Self::new_first), and its first cell is ready.
    #[inline]
    pub(super) unsafe fn insert_first<S: FieldSet + 'static>(&self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        let first = new.first().into_raw().as_ptr();
        // Release: pairs with the Acquire loads of the root. Relaxed on failure: the current root is not dereferenced.
        if self.first.compare_exchange(ptr::null_mut(), first, Ordering::Release, Ordering::Relaxed).is_err() {
            return Err(new);
        }
        // SAFETY: by N3 the node lives while `self` is borrowed.
        Ok(unsafe { new.published() })
    }

    /// The field set `S`, without the mark from now on: the caller may empty the first cell.
    #[inline]
    pub(super) fn find_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        let mut link = self.find_link::<S>()?;
        // SAFETY: by N1 the node is live. The exclusive borrow of `self` excludes other references.
        unsafe { link.as_mut() }.unmark();
        // SAFETY: by N1 the link is the start of a live node of `S`; the exclusive borrow of `self` lasts as long as
        // the set's.
        Some(unsafe { set_mut(link) })
    }

    /// The field set `S`, with an unchanged mark.
    ///
    /// # Safety
    ///
    /// If the first cell is ready, the first cell is still ready when the borrow ends.
    #[inline]
    pub(super) unsafe fn find_mut_marked<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        let link = self.find_link::<S>()?;
        // SAFETY: by N1 the node is a live node of `S`, and the borrow is exclusive. By the contract N4 holds after the
        // borrow.
        Some(unsafe { set_mut(link) })
    }

    #[inline]
    fn find_link<S: FieldSet + 'static>(&mut self) -> Option<NonNull<Link>> {
        // SAFETY: by N3 the nodes live while `self` is borrowed.
        unsafe { self.first()?.find_link::<S, ()>() }
    }

    /// Publishes an empty `S`, or finds the `S` that another thread has just published.
    #[cold]
    pub(super) fn insert<S: FieldSet + 'static>(&self) -> &S {
        // SAFETY: nodes of a head have the owner `()` and the key `NO_KEY`.
        let new = unsafe { Unpublished::make((), NO_KEY) };
        let exchange = |there: Option<First>, new: First| {
            let there = there.map_or(ptr::null_mut(), |first| first.into_raw().as_ptr());
            // Release: publishes the initialised node or list; pairs with the Acquire loads of the root. Acquire on
            // failure: pairs with the Release of the thread that has published the current root.
            let put = self.first.compare_exchange(there, new.into_raw().as_ptr(), Ordering::Release, Ordering::Acquire);
            // By N3 a root does not become null again, so the root of a failed CAS is not null.
            put.map(|_| ()).map_err(|now| First::from_raw(NonNull::new(now).expect("it is never null again")))
        };
        // SAFETY: by N3 the root is not destroyed while `self` is borrowed. The CAS has the required orderings.
        unsafe { new.put(None, exchange) }
    }

    /// Calls `visit` with the name of each attached field.
    pub(super) fn attached(&self, visit: &mut dyn FnMut(&'static str)) {
        if let Some(first) = self.first() {
            // SAFETY: by N1 the root is live, and by N3 stays so while `self` is borrowed.
            let link = unsafe { first.link() };
            // SAFETY: by N1 the link is the start of a live node or list.
            let kind = unsafe { link.as_ref() }.kind();
            // SAFETY: by N1 the node or list is of this kind.
            unsafe { (kind.attached)(link, visit) };
        }
    }

    /// Takes all field sets out of the head. Returns by value, so that an empty head can stay in a register.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Taken> {
        // Relaxed, here and below: `self` is borrowed exclusively, so no thread races.
        let first = First::from_raw(NonNull::new(self.first.load(Ordering::Relaxed))?);
        self.first.store(ptr::null_mut(), Ordering::Relaxed);
        Some(Taken { first })
    }
}

/// The field sets that were taken out of a head. No other reference to these sets exists.
#[must_use]
pub(super) struct Taken {
    first: First,
}

impl Taken {
    /// Destroys every field and frees every node.
    ///
    /// # Panics
    ///
    /// If destructors panic: the first panic is raised again after all destructors have run.
    #[cold]
    pub(super) fn end_all(self) {
        let mut panics = Panics::none();
        // SAFETY: `Head::take` had exclusive access and has cleared the head, so no other reference to the sets exists.
        unsafe { self.first.end(NO_KEY, &mut panics) };
        panics.raise();
    }
}
