//! The list of a host's nodes, in chunks, for a host with fields of several declarations.
//!
//! In: nodes. Out: the node of a field set, or all nodes in the order of publication. The header of `mod.rs` has the
//! design and the invariants N1 to N5. Neighbours: `root.rs`, which searches the list; `unpublished.rs`, which begins
//! the list; `node.rs`.

use std::any::Any;
use std::iter;
use std::mem;
use std::ptr::{self, NonNull};

use crate::fields::ShadowFields;
use crate::fields::node::{Header, TypeQuery, TypeTest, VTable};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering};

/// The number of entries in a chunk. The first cache line of 64 bytes has three entries.
const ENTRIES: usize = 6;

/// Some nodes, and the next chunk.
#[repr(C)]
pub(super) struct Chunk {
    header: Header,
    next: AtomicPtr<Chunk>,
    entries: [Entry; ENTRIES],
}

/// A pointer to a node, with the cached type tag of the node's set. So a search does not load other nodes.
#[repr(C)]
struct Entry {
    /// The cached tag. By N5 a [`TypeTest`], or null.
    tag: AtomicPtr<()>,
    node: AtomicPtr<Header>,
}

/// The type tag of a chunk.
#[inline(never)]
pub(super) fn vtable_of_chunk() -> &'static VTable {
    const {
        &VTable {
            type_test: None,
            without_first_ready: None,
            owner_offset: 0,
            owner: None,
            is_gone: chunk_is_gone,
            set_counted: set_chunk_counted,
            upgrade: chunk_upgrade,
            detach: detach_chunks,
            attached: chunk_attached,
            clone: Some(clone_chunks),
            destroy: destroy_chunks,
        }
    }
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn chunk_is_gone(header: NonNull<Header>, key: usize) -> bool {
    // SAFETY: by the contract `header` is the start of a live chunk.
    let chunk = unsafe { header.cast::<Chunk>().as_ref() };
    // The first node has the owner. SAFETY: by N1 the node has this vtable, and by the contract `key` is the key of
    // the host.
    chunk.entries[0].node().is_some_and(|(node, header)| unsafe { (header.vtable().is_gone)(node, key) })
}

/// Every node may have an owner: a node that has lost the race for the first place has its owner, too.
///
/// # Safety
///
/// As for [`VTable`].
unsafe fn set_chunk_counted(header: NonNull<Header>, key: usize, is_counted: bool) {
    // SAFETY: by the contract `header` is the start of a live chunk.
    let chunk = unsafe { header.cast::<Chunk>().as_ref() };
    for (node, header) in chunk.nodes() {
        // SAFETY: by N1 the node has this vtable, and by the contract `key` is the key of the host.
        unsafe { (header.vtable().set_counted)(node, key, is_counted) };
    }
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn chunk_upgrade(header: NonNull<Header>, key: usize, hosts: &mut dyn Any) {
    // SAFETY: by the contract `header` is the start of a live chunk.
    let chunk = unsafe { header.cast::<Chunk>().as_ref() };
    if let Some((node, header)) = chunk.entries[0].node() {
        // The first node has the owner. SAFETY: by N1 the node has this vtable, and by the contract `key` is the key of
        // the host.
        unsafe { (header.vtable().upgrade)(node, key, hosts) };
    }
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn detach_chunks(header: NonNull<Header>, panics: &mut Panics) -> usize {
    // SAFETY: by the contract `header` is the start of a live chunk.
    let chunk = unsafe { header.cast::<Chunk>().as_ref() };
    // SAFETY: by N1 the node has this vtable. By the contract no other thread uses the fields.
    chunk.nodes().map(|(node, header)| unsafe { (header.vtable().detach)(node, panics) }).sum()
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn chunk_attached(header: NonNull<Header>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: by the contract `header` is the start of a live chunk.
    let chunk = unsafe { header.cast::<Chunk>().as_ref() };
    for (node, header) in chunk.nodes() {
        // SAFETY: by N1 the node has this vtable.
        unsafe { (header.vtable().attached)(node, visit) };
    }
}

/// Stops after a panic.
///
/// # Safety
///
/// As for [`VTable`].
unsafe fn clone_chunks(header: NonNull<Header>, clone: &mut ShadowFields, panics: &mut Panics) {
    // SAFETY: by the contract `header` is the start of a live chunk.
    let chunk = unsafe { header.cast::<Chunk>().as_ref() };
    for (node, header) in chunk.nodes() {
        if panics.any() {
            break;
        }
        if let Some(clone_node) = header.vtable().clone {
            // SAFETY: by N1 the node has this vtable.
            unsafe { clone_node(node, clone, panics) };
        }
    }
}

/// # Safety
///
/// As for [`VTable`]. No other reference to the chunk or its nodes exists, now or later.
unsafe fn destroy_chunks(header: NonNull<Header>, key: usize, panics: &mut Panics) {
    let mut next = Some(header.cast::<Chunk>());
    while let Some(chunk) = next {
        // SAFETY: by the contract no other reference to the chunk exists.
        let chunk = unsafe { Chunk::into_inner(chunk) };
        // Relaxed, here and below: exclusive access, so no thread races.
        let nodes = chunk.entries.iter().map_while(|entry| NonNull::new(entry.node.load(Ordering::Relaxed)));
        for node in nodes {
            // SAFETY: by N1 the node is live.
            let vtable = unsafe { node.as_ref() }.vtable();
            // SAFETY: by N1 the node has this vtable. By the contract no other reference exists, and `key` is the key
            // of the host.
            unsafe { (vtable.destroy)(node, key, panics) };
        }
        next = NonNull::new(chunk.next.load(Ordering::Relaxed));
        let Some(after) = next else { return };
        // SAFETY: by N1 the next chunk is live.
        let header = unsafe { after.cast::<Header>().as_ref() };
        if !header.has_tag(vtable_of_chunk) {
            // A chunk with another type tag may be of another image, whose allocator frees the chunk. SAFETY: by N1 the
            // chunk has this vtable. By the contract no other reference exists, and `key` is the key of the host.
            return unsafe { (header.vtable().destroy)(after.cast(), key, panics) };
        }
    }
}

impl Entry {
    fn vacant() -> Self {
        Self { tag: AtomicPtr::new(ptr::null_mut()), node: AtomicPtr::new(ptr::null_mut()) }
    }

    /// # Safety
    ///
    /// By N1 `node` is the header of a live node.
    unsafe fn of(node: NonNull<Header>) -> Self {
        // SAFETY: by the contract the node is live.
        let type_test = unsafe { node.as_ref() }.vtable().type_test;
        let tag = type_test.map_or(ptr::null_mut(), |test| test as *mut ());
        Self { tag: AtomicPtr::new(tag), node: AtomicPtr::new(node.as_ptr()) }
    }

    /// The node and its header, which live as long as the chunk.
    #[inline]
    fn node(&self) -> Option<(NonNull<Header>, &Header)> {
        // Acquire: pairs with the Release of `Chunk::put`.
        let node = NonNull::new(self.node.load(Ordering::Acquire))?;
        // SAFETY: by N1 the node is live, and by N3 lives as long as this entry.
        Some((node, unsafe { node.as_ref() }))
    }

    /// Whether the node is of the requested field set.
    fn has(&self, header: &Header, query: TypeQuery) -> bool {
        // Relaxed: the load orders no other memory; the address of a function is all that is used.
        let tag = self.tag.load(Ordering::Relaxed);
        // SAFETY: by N5 the word is null, which is `None`, or the address of a `TypeTest`.
        let tag = unsafe { mem::transmute::<*mut (), Option<TypeTest>>(tag) };
        tag.or_else(|| header.vtable().type_test).is_some_and(query)
    }
}

impl Chunk {
    /// An unpublished chunk of these nodes.
    ///
    /// # Safety
    ///
    /// By N1 the headers are those of live nodes. `COUNT` is at most `ENTRIES`.
    pub(super) unsafe fn of<const COUNT: usize>(nodes: [NonNull<Header>; COUNT]) -> NonNull<Self> {
        let mut nodes = nodes.into_iter();
        // SAFETY: by the contract the node is live.
        let entries = [(); ENTRIES].map(|()| nodes.next().map_or(Entry::vacant(), |node| unsafe { Entry::of(node) }));
        let next = AtomicPtr::new(ptr::null_mut());
        NonNull::from(Box::leak(Box::new(Self { header: Header::new(vtable_of_chunk), next, entries })))
    }

    /// Frees a chunk, but not the nodes. Returns the content of the chunk.
    ///
    /// # Safety
    ///
    /// No other reference to the chunk exists, now or later.
    pub(super) unsafe fn into_inner(chunk: NonNull<Self>) -> Self {
        // SAFETY: every chunk was allocated by `Box`. By the contract no other reference exists.
        *unsafe { Box::from_raw(chunk.as_ptr()) }
    }

    /// The node of the field set whose type test is `test`. Compares the cached type tags first.
    #[inline]
    pub(super) fn find(&self, test: TypeTest, query: TypeQuery) -> Option<NonNull<Header>> {
        let mut chunk = self;
        loop {
            for entry in &chunk.entries {
                // Acquire: pairs with the Release of `put`, which stores the tag after the node.
                let tag = entry.tag.load(Ordering::Acquire);
                if ptr::eq(tag, test as *const ()) {
                    // Relaxed: by N5 the node precedes the tag, which the Acquire above has seen.
                    return NonNull::new(entry.node.load(Ordering::Relaxed));
                }
                if tag.is_null() {
                    return self.find_by_test(query);
                }
            }
            let Some(next) = chunk.next() else { return self.find_by_test(query) };
            chunk = next;
        }
    }

    /// The node of the requested field set, by calls of the type tests. No address has matched.
    #[cold]
    #[inline(never)]
    fn find_by_test(&self, query: TypeQuery) -> Option<NonNull<Header>> {
        let mut nodes = self.entries().map_while(|entry| Some((entry, entry.node()?)));
        let found = nodes.find(|(entry, (_, header))| entry.has(header, query));
        found.map(|(_, (node, _))| node)
    }

    /// The nodes and their headers, which live as long as the chunk.
    fn nodes(&self) -> impl Iterator<Item = (NonNull<Header>, &Header)> {
        self.entries().map_while(Entry::node)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        iter::successors(Some(self), |chunk| chunk.next()).flat_map(|chunk| &chunk.entries)
    }

    #[inline]
    fn next(&self) -> Option<&Self> {
        // Acquire: pairs with the Release of `put`.
        let next = NonNull::new(self.next.load(Ordering::Acquire))?;
        // SAFETY: by N1 the next chunk is live, and by N3 lives as long as this chunk.
        Some(unsafe { next.as_ref() })
    }

    /// Puts `new` into the first vacant entry, unless an earlier entry has a node of the same set. Returns the node of
    /// the set.
    ///
    /// # Safety
    ///
    /// By N1 `new` is an unpublished node. `test` is the type test of its set, and `query` calls a type test with the
    /// identity of this set.
    pub(super) unsafe fn put(&self, new: NonNull<Header>, test: TypeTest, query: TypeQuery) -> NonNull<Header> {
        let mut chunk = self;
        loop {
            for entry in &chunk.entries {
                let null = ptr::null_mut();
                // Release: publishes the initialised node; pairs with the Acquire loads of the entry. Acquire on
                // failure: pairs with the Release of the thread that has published the other node.
                let put = entry.node.compare_exchange(null, new.as_ptr(), Ordering::Release, Ordering::Acquire);
                let Some(node) = put.err().and_then(NonNull::new) else {
                    // Release: pairs with the Acquire of `find`.
                    entry.tag.store(test as *mut (), Ordering::Release);
                    return new;
                };
                // SAFETY: by N1 the node is live, and by N3 lives as long as the chunk.
                if entry.has(unsafe { node.as_ref() }, query) {
                    return node;
                }
            }
            // SAFETY: by the contract `new` is a live node.
            let longer = unsafe { Self::of([new]) };
            // Release and Acquire: as above. Pairs with the Acquire of `next`, and with the Release of the other
            // thread.
            let put =
                chunk.next.compare_exchange(ptr::null_mut(), longer.as_ptr(), Ordering::Release, Ordering::Acquire);
            let Some(next) = put.err().and_then(NonNull::new) else { return new };
            // SAFETY: the chunk was not published, so no other reference exists.
            let _ = unsafe { Self::into_inner(longer) };
            // SAFETY: by N1 the next chunk is live, and by N3 lives as long as this chunk.
            chunk = unsafe { next.as_ref() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::fields::node::{Node, type_query, type_test, vtable};
    use crate::fields::root::RootPtr;
    use crate::fields::root::tests::{Set, destroy};

    fn node<const NUMBER: u8>() -> NonNull<Header> {
        // SAFETY: the tag is the `vtable` of this set and owner.
        unsafe { Node::<Set<NUMBER>, ()>::new_raw(vtable::<Set<NUMBER>, ()>, ()) }
    }

    fn find<const NUMBER: u8>(list: &Chunk) -> Option<NonNull<Header>> {
        list.find(type_test::<Set<NUMBER>>, type_query::<Set<NUMBER>>)
    }

    unsafe fn put<const NUMBER: u8>(list: &Chunk, new: NonNull<Header>) -> NonNull<Header> {
        // SAFETY: by the contract of `put`, `new` is an unpublished node of the set.
        unsafe { list.put(new, type_test::<Set<NUMBER>>, type_query::<Set<NUMBER>>) }
    }

    #[test]
    fn a_node_is_found_with_its_cached_tag_and_before_the_tag_is_stored() {
        let nodes = [node::<1>(), node::<2>(), node::<3>()];
        // SAFETY: both nodes are live.
        let start = unsafe { Chunk::of([nodes[0], nodes[1]]) };
        // SAFETY: the list is live, and is not freed before the end of the test.
        let list = unsafe { start.as_ref() };
        // SAFETY: the node is an unpublished node of this set.
        assert_eq!(unsafe { put::<3>(list, nodes[2]) }, nodes[2]);
        let tags = || [0, 1, 2, 3].map(|entry: usize| list.entries[entry].tag.load(Ordering::Relaxed));
        let all: [TypeTest; 3] = [type_test::<Set<1>>, type_test::<Set<2>>, type_test::<Set<3>>];
        if cfg!(miri) {
            // Under Miri, a function has another address at each place that takes the address.
            assert!(tags()[..3].iter().all(|tag| !tag.is_null()));
        } else {
            assert_eq!(tags()[..3], all.map(|test| test as *mut ()));
        }
        assert!(tags()[3].is_null());
        for forgotten in [2, 0, 1] {
            // As if a thread had stored the node, and not yet the cached tag.
            list.entries[forgotten].tag.store(ptr::null_mut(), Ordering::Relaxed);
            assert_eq!([find::<1>(list), find::<2>(list), find::<3>(list)], nodes.map(Some));
            assert_eq!(find::<4>(list), None);
        }
        let again = node::<2>();
        // SAFETY: the node is an unpublished node of this set.
        assert_eq!(unsafe { put::<2>(list, again) }, nodes[1]);
        // SAFETY: `again` is a live node.
        destroy(unsafe { RootPtr::new(again) });
        // SAFETY: `start` is a live chunk.
        destroy(unsafe { RootPtr::new(start.cast()) });
    }
}
