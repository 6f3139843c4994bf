//! A field set before its publication, and the publication.
//!
//! In: the owner of a new node, or the values of a new set. Out: the published set of the host. The header of `mod.rs`
//! has the design and the invariants N1 to N5. Neighbours: `mod.rs` and `host/arc/mod.rs`, which store the root;
//! `root.rs`, the search.

use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;

use crate::field_set::FieldSet;
use crate::fields::node::{Header, HostOwner, Node, TypeQuery, set, set_mut, type_query, vtable, vtable_first_ready};
use crate::fields::node_table::{free_table, hash_of, make};
use crate::fields::root::RootPtr;
use crate::panics::Panics;

/// An unpublished field set: a node without references from a root or a table.
///
/// - **U1** `node` is the header of a live node of `S` by N1, of any owner, and the only reference to this node.
/// - **U2** `key` is the key of the host for which the node's owner was made.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct Unpublished<S> {
    node: NonNull<Header>,
    key: usize,
    set: PhantomData<S>,
}

impl<S: FieldSet + 'static> Unpublished<S> {
    /// An empty set, without the first-ready flag.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host for which `owner` was made.
    pub(crate) unsafe fn new<O: HostOwner>(owner: O, key: usize) -> Self {
        // SAFETY: the tag is the `vtable` of `S` and `O`.
        let node = unsafe { Node::<S, O>::new_raw(vtable::<S, O>, owner) };
        Self { node, key, set: PhantomData }
    }

    /// An empty set, with the first-ready flag: the caller fills the first cell before the publication.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host for which `owner` was made.
    #[inline]
    pub(crate) unsafe fn new_first_ready<O: HostOwner>(owner: O, key: usize) -> Self {
        // SAFETY: the tag is the `vtable_first_ready` of `S` and `O`.
        let node = unsafe { Node::<S, O>::new_raw(vtable_first_ready::<S, O>, owner) };
        Self { node, key, set: PhantomData }
    }

    /// Clears the first-ready flag, if the first cell is empty.
    pub(crate) fn correct_first_ready(&mut self) {
        let mut is_first_ready = None;
        self.set_mut().each(&mut |cell| {
            is_first_ready.get_or_insert_with(|| cell.is_attached());
        });
        if is_first_ready != Some(true) {
            // SAFETY: by U1 the node is live and has no other reference.
            unsafe { self.node.as_mut() }.clear_first_ready();
        }
    }

    /// The set, exclusively. The caller fills the set, or empties the set again.
    #[inline]
    pub(crate) fn set_mut(&mut self) -> &mut S {
        // SAFETY: by U1 the node is a live node of `S` and has no other reference; the result borrows `self`.
        unsafe { set_mut(self.node) }
    }

    /// The root of a host whose only node is this node. The node is still owned by `self`.
    #[inline]
    pub(crate) const fn root(&self) -> RootPtr {
        // SAFETY: by U1 the node is live.
        unsafe { RootPtr::new(self.node) }
    }

    /// Gives up the ownership of a published node.
    ///
    /// # Safety
    ///
    /// The node is not destroyed during `'host`.
    #[inline]
    pub(crate) unsafe fn into_published<'host>(self) -> &'host S {
        let node = self.node;
        mem::forget(self);
        // SAFETY: by U1 the node is of `S`, and by the contract of this function live during `'host`.
        unsafe { set(node) }
    }

    /// Publishes the set, unless the host has a set `S`. Returns the published set.
    ///
    /// `there` is the root of the host, as last loaded. `exchange` is a CAS of the root: the arguments are the expected
    /// root and the new root; on failure the result is the current root. All memory is allocated and freed under no
    /// lock.
    ///
    /// # Safety
    ///
    /// The root belongs to the host for which the set was made, and is not destroyed during `'host`. A successful
    /// exchange is a `Release`, and a failed one an `Acquire`.
    pub(crate) unsafe fn publish<'host>(
        self,
        there: Option<RootPtr>,
        exchange: impl FnMut(Option<RootPtr>, RootPtr) -> Result<(), RootPtr>,
    ) -> &'host S {
        // SAFETY: by U1 the node is an unpublished node of `S`. The contract of this function covers the root and
        // `exchange`.
        let node = unsafe { publish(self.node, hash_of::<S>(), type_query::<S>, there, exchange) };
        if node == self.node {
            mem::forget(self);
        }
        // SAFETY: by N1 `node` is a live node of `S`: the new node, or a node that `type_query::<S>` requests.
        unsafe { set(node) }
    }
}

/// Frees the node.
impl<S> Drop for Unpublished<S> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: by U1 the node is live.
        let root = unsafe { RootPtr::new(self.node) };
        // SAFETY: by U1 the node has no other reference, and by U2 `key` is the key of the host.
        unsafe { free(root, self.key) };
    }
}

/// Frees the node of an [`Unpublished`]. The set has no value, unless the thread unwinds.
///
/// # Safety
///
/// The node of `root` has no other reference, now or later, and `key` is the key of the host.
#[cold]
unsafe fn free(root: RootPtr, key: usize) {
    let mut panics = Panics::with_context("of a field set that was not published");
    // SAFETY: by the contract the node has no other reference, and `key` is the key of the host.
    unsafe { root.destroy(key, &mut panics) };
    panics.discard();
}

/// Publishes a node, unless the host has a node of the same field set. Returns the host's node of this set.
///
/// # Safety
///
/// `new` is an unpublished node; `hash` is the hash of its set, and `query` requests the set. [`Unpublished::publish`]
/// has the conditions for `there` and `exchange`.
unsafe fn publish(
    new: NonNull<Header>,
    hash: u32,
    query: TypeQuery,
    mut there: Option<RootPtr>,
    mut exchange: impl FnMut(Option<RootPtr>, RootPtr) -> Result<(), RootPtr>,
) -> NonNull<Header> {
    loop {
        let Some(root) = there else {
            // SAFETY: by the contract `new` is a live node.
            match exchange(None, unsafe { RootPtr::new(new) }) {
                Ok(()) => return new,
                Err(root) => there = Some(root),
            }
            continue;
        };
        // SAFETY: by the contract the allocation is not freed during the call.
        let table = match unsafe { root.table_or_node() } {
            Ok(table) => {
                // SAFETY: by the contract `new` is an unpublished node, of the set of `hash` and `query`.
                if let Some(node) = unsafe { table.put(new, hash, query) } {
                    return node;
                }
                // SAFETY: as above.
                match unsafe { table.larger(new, hash, query) } {
                    Ok(larger) => larger,
                    Err(node) => return node,
                }
            }
            Err((node, test_of_node)) if query(test_of_node) => return node,
            // SAFETY: by N1 `node` is a live node, and by the contract so is `new`.
            Err((node, _)) => unsafe { make(&[node, new].into_iter(), None) },
        };
        // SAFETY: `table` is a live table, which this call has just made.
        match exchange(there, unsafe { RootPtr::new(table.cast()) }) {
            Ok(()) => return new,
            Err(root) => there = Some(root),
        }
        // SAFETY: the table was not published, so no other reference exists.
        unsafe { free_table(table.cast()) };
    }
}
