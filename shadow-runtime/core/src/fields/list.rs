//! The list of a host's nodes, for a host with fields of several declarations.
//!
//! In: nodes. Out: the node of a field set, or all nodes in the order of publication. The header of `head.rs` has the
//! design and the invariants N1 to N5. Neighbours: `first.rs`, which allocates and searches lists; `node.rs`.

use std::iter;
use std::mem;
use std::ptr::{self, NonNull};

use crate::fields::node::{Ask, IsOf, Kind, Link};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering};

/// The number of entries in a list. The first cache line of 64 bytes has three entries.
const ENTRIES: usize = 6;

/// Some nodes, and the next list.
#[repr(C)]
pub(super) struct List {
    link: Link,
    next: AtomicPtr<List>,
    entries: [Entry; ENTRIES],
}

/// A pointer to a node, with the cached type tag of the node's set. So a search does not load other nodes.
#[repr(C)]
struct Entry {
    /// By N5 an [`IsOf`], or null.
    is_of: AtomicPtr<()>,
    node: AtomicPtr<Link>,
}

/// The type tag of a list.
#[inline(never)]
pub(super) fn list() -> &'static Kind {
    const { &Kind::of_list(list_is_gone, list_attached, list_end) }
}

/// # Safety
///
/// As for [`Kind`].
unsafe fn list_is_gone(link: NonNull<Link>, key: usize) -> bool {
    // SAFETY: by the contract `link` is the start of a live list.
    let list = unsafe { link.cast::<List>().as_ref() };
    // The first node has the owner. SAFETY: by N1 the node is of this kind, and by the contract `key` is the key of the
    // host.
    list.entries[0].node().is_some_and(|(node, link)| unsafe { (link.kind().is_gone)(node, key) })
}

/// # Safety
///
/// As for [`Kind`].
unsafe fn list_attached(link: NonNull<Link>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: by the contract `link` is the start of a live list.
    let list = unsafe { link.cast::<List>().as_ref() };
    for (node, link) in list.nodes() {
        // SAFETY: by N1 the node is of this kind.
        unsafe { (link.kind().attached)(node, visit) };
    }
}

/// # Safety
///
/// As for [`Kind`]. No other reference to the list or its nodes exists, now or later.
unsafe fn list_end(link: NonNull<Link>, key: usize, panics: &mut Panics) {
    let mut next = Some(link.cast::<List>());
    while let Some(list) = next {
        // SAFETY: by the contract no other reference to the list exists.
        let list = unsafe { List::unmake(list) };
        // Relaxed, here and below: exclusive access, so no thread races.
        let nodes = list.entries.iter().map_while(|entry| NonNull::new(entry.node.load(Ordering::Relaxed)));
        for node in nodes {
            // SAFETY: by N1 the node is live.
            let kind = unsafe { node.as_ref() }.kind();
            // SAFETY: by N1 the node is of this kind. By the contract no other reference exists, and `key` is the key
            // of the host.
            unsafe { (kind.end)(node, key, panics) };
        }
        next = NonNull::new(list.next.load(Ordering::Relaxed));
        let Some(after) = next else { return };
        // SAFETY: by N1 the next list is live.
        let after_link = unsafe { after.cast::<Link>().as_ref() };
        if !after_link.is(self::list) {
            // A list with another type tag may be of another image, whose allocator frees the list. SAFETY: by N1 the
            // list is of this kind. By the contract no other reference exists, and `key` is the key of the host.
            return unsafe { (after_link.kind().end)(after.cast(), key, panics) };
        }
    }
}

impl Entry {
    fn vacant() -> Self {
        Self { is_of: AtomicPtr::new(ptr::null_mut()), node: AtomicPtr::new(ptr::null_mut()) }
    }

    /// # Safety
    ///
    /// By N1 `node` is the link of a live node.
    unsafe fn of(node: NonNull<Link>) -> Self {
        // SAFETY: by the contract the node is live.
        let is_of = unsafe { node.as_ref() }.kind().is_of;
        let noted = is_of.map_or(ptr::null_mut(), |is_of| is_of as *mut ());
        Self { is_of: AtomicPtr::new(noted), node: AtomicPtr::new(node.as_ptr()) }
    }

    /// The node and its link, which live as long as the list.
    #[inline]
    fn node(&self) -> Option<(NonNull<Link>, &Link)> {
        // Acquire: pairs with the Release of `List::put`.
        let node = NonNull::new(self.node.load(Ordering::Acquire))?;
        // SAFETY: by N1 the node is live, and by N3 lives as long as this entry.
        Some((node, unsafe { node.as_ref() }))
    }

    /// Whether the node is of the requested field set.
    fn has(&self, link: &Link, ask: Ask) -> bool {
        // Relaxed: the load orders no other memory; the address of a function is all that is used.
        let noted = self.is_of.load(Ordering::Relaxed);
        // SAFETY: by N5 the word is null, which is `None`, or the address of an `IsOf`.
        let noted = unsafe { mem::transmute::<*mut (), Option<IsOf>>(noted) };
        noted.or_else(|| link.kind().is_of).is_some_and(ask)
    }
}

impl List {
    /// An unpublished list of these nodes.
    ///
    /// # Safety
    ///
    /// By N1 the links are those of live nodes. At most `ENTRIES` nodes are used.
    unsafe fn starting_with(nodes: impl IntoIterator<Item = NonNull<Link>>) -> NonNull<Self> {
        let mut nodes = nodes.into_iter();
        // SAFETY: by the contract the node is live.
        let entries = [(); ENTRIES].map(|()| nodes.next().map_or(Entry::vacant(), |node| unsafe { Entry::of(node) }));
        let next = AtomicPtr::new(ptr::null_mut());
        NonNull::from(Box::leak(Box::new(Self { link: Link::new(list), next, entries })))
    }

    /// An unpublished list of two nodes.
    ///
    /// # Safety
    ///
    /// By N1 both links are those of live nodes.
    pub(super) unsafe fn of(first: NonNull<Link>, second: NonNull<Link>) -> NonNull<Self> {
        // SAFETY: by the contract both nodes are live.
        unsafe { Self::starting_with([first, second]) }
    }

    /// Frees a list, but not the nodes. Returns the content of the list.
    ///
    /// # Safety
    ///
    /// No other reference to the list exists, now or later.
    pub(super) unsafe fn unmake(list: NonNull<Self>) -> Self {
        // SAFETY: every list was allocated by `Box`. By the contract no other reference exists.
        *unsafe { Box::from_raw(list.as_ptr()) }
    }

    /// The node of the field set whose type test is `is_of`. Compares the cached type tags first.
    #[inline]
    pub(super) fn find(&self, is_of: IsOf, ask: Ask) -> Option<NonNull<Link>> {
        let mut list = self;
        loop {
            for entry in &list.entries {
                // Acquire: pairs with the Release of `put`, which stores the tag after the node.
                let noted = entry.is_of.load(Ordering::Acquire);
                if ptr::eq(noted, is_of as *const ()) {
                    // Relaxed: by N5 the node precedes the tag, which the Acquire above has seen.
                    return NonNull::new(entry.node.load(Ordering::Relaxed));
                }
                if noted.is_null() {
                    return self.ask(ask);
                }
            }
            let Some(next) = list.next() else { return self.ask(ask) };
            list = next;
        }
    }

    /// The node of the requested field set, by calls of the type tests. No address has matched.
    #[cold]
    #[inline(never)]
    fn ask(&self, ask: Ask) -> Option<NonNull<Link>> {
        let mut nodes = self.entries().map_while(|entry| Some((entry, entry.node()?)));
        let found = nodes.find(|(entry, (_, link))| entry.has(link, ask));
        found.map(|(_, (node, _))| node)
    }

    /// The nodes and their links, which live as long as the list.
    fn nodes(&self) -> impl Iterator<Item = (NonNull<Link>, &Link)> {
        self.entries().map_while(Entry::node)
    }

    fn entries(&self) -> impl Iterator<Item = &Entry> {
        iter::successors(Some(self), |list| list.next()).flat_map(|list| &list.entries)
    }

    #[inline]
    fn next(&self) -> Option<&Self> {
        // Acquire: pairs with the Release of `put`.
        let next = NonNull::new(self.next.load(Ordering::Acquire))?;
        // SAFETY: by N1 the next list is live, and by N3 lives as long as this list.
        Some(unsafe { next.as_ref() })
    }

    /// Puts `new` into the first vacant entry, unless an earlier entry has a node of the same set. Returns the node of
    /// the set.
    ///
    /// # Safety
    ///
    /// By N1 `new` is an unpublished node. `is_of` is the type test of its set, and `ask` calls a type test with the
    /// identity of this set.
    pub(super) unsafe fn put(&self, new: NonNull<Link>, is_of: IsOf, ask: Ask) -> NonNull<Link> {
        let mut list = self;
        loop {
            for entry in &list.entries {
                let null = ptr::null_mut();
                // Release: publishes the initialised node; pairs with the Acquire loads of the entry. Acquire on
                // failure: pairs with the Release of the thread that has published the other node. The same holds for
                // `next` below.
                let put = entry.node.compare_exchange(null, new.as_ptr(), Ordering::Release, Ordering::Acquire);
                let Some(node) = put.err().and_then(NonNull::new) else {
                    // Release: pairs with the Acquire of `find`.
                    entry.is_of.store(is_of as *mut (), Ordering::Release);
                    return new;
                };
                // SAFETY: by N1 the node is live, and by N3 lives as long as the list.
                if entry.has(unsafe { node.as_ref() }, ask) {
                    return node;
                }
            }
            // SAFETY: by the contract `new` is a live node.
            let longer = unsafe { Self::starting_with([new]) };
            let put =
                list.next.compare_exchange(ptr::null_mut(), longer.as_ptr(), Ordering::Release, Ordering::Acquire);
            let Some(next) = put.err().and_then(NonNull::new) else { return new };
            // SAFETY: the list was not published, so no other reference exists.
            let _ = unsafe { Self::unmake(longer) };
            // SAFETY: by N1 the next list is live, and by N3 lives as long as this list.
            list = unsafe { next.as_ref() };
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::fields::first::First;
    use crate::fields::first::tests::{Set, end};
    use crate::fields::node::{Node, ask, is_of, kind};

    fn node<const NUMBER: u8>() -> NonNull<Link> {
        Node::<Set<NUMBER>, ()>::make(kind::<Set<NUMBER>, ()>, ())
    }

    fn find<const NUMBER: u8>(list: &List) -> Option<NonNull<Link>> {
        list.find(is_of::<Set<NUMBER>>, ask::<Set<NUMBER>>)
    }

    unsafe fn put<const NUMBER: u8>(list: &List, new: NonNull<Link>) -> NonNull<Link> {
        // SAFETY: by the contract of `put`, `new` is an unpublished node of the set.
        unsafe { list.put(new, is_of::<Set<NUMBER>>, ask::<Set<NUMBER>>) }
    }

    #[test]
    fn a_node_is_noted_and_found_though_it_is_not_noted_yet() {
        let nodes = [node::<1>(), node::<2>(), node::<3>()];
        // SAFETY: both nodes are live.
        let start = unsafe { List::of(nodes[0], nodes[1]) };
        // SAFETY: the list is live, and is not freed before the end of the test.
        let list = unsafe { start.as_ref() };
        // SAFETY: the node is an unpublished node of this set.
        assert_eq!(unsafe { put::<3>(list, nodes[2]) }, nodes[2]);
        let noted = || [0, 1, 2, 3].map(|entry: usize| list.entries[entry].is_of.load(Ordering::Relaxed));
        let all: [IsOf; 3] = [is_of::<Set<1>>, is_of::<Set<2>>, is_of::<Set<3>>];
        if cfg!(miri) {
            // Under Miri, a function has another address at each place that takes the address.
            assert!(noted()[..3].iter().all(|noted| !noted.is_null()));
        } else {
            assert_eq!(noted()[..3], all.map(|is_of| is_of as *mut ()));
        }
        assert!(noted()[3].is_null());
        for forgotten in [2, 0, 1] {
            // As if a thread had stored the node, and not yet the cached tag.
            list.entries[forgotten].is_of.store(ptr::null_mut(), Ordering::Relaxed);
            assert_eq!([find::<1>(list), find::<2>(list), find::<3>(list)], nodes.map(Some));
            assert_eq!(find::<4>(list), None);
        }
        let again = node::<2>();
        // SAFETY: the node is an unpublished node of this set.
        assert_eq!(unsafe { put::<2>(list, again) }, nodes[1]);
        end(First::of(again));
        end(First::of(start.cast()));
    }
}
