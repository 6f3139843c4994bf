//! The nodes of a host that has fields of several declarations.
//!
//! In: nodes. Out: the same, in the order in which they came, or the one of a field set. The design, with invariants N1
//! to N5, is the header of `head.rs`. Neighbours: `first.rs`, which makes lists and searches them; `node.rs`.

use std::iter;
use std::mem;
use std::ptr::{self, NonNull};

use crate::fields::node::{Ask, IsOf, Kind, Link};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering};

/// How many entries there are before the next list: three of them are in its first 64 bytes.
const ENTRIES: usize = 6;

/// Some nodes, and the next such list.
#[repr(C)]
pub(super) struct List {
    link: Link,
    next: AtomicPtr<List>,
    entries: [Entry; ENTRIES],
}

/// A node, and the function that says what it is of, so that whoever looks for another need not look into the node.
#[repr(C)]
struct Entry {
    /// By N5 an [`IsOf`], or null.
    is_of: AtomicPtr<()>,
    node: AtomicPtr<Link>,
}

/// The kind of a list, which lists are known by.
#[inline(never)]
pub(super) fn list() -> &'static Kind {
    const { &Kind::of_list(list_is_gone, list_attached, list_end) }
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn list_is_gone(link: NonNull<Link>, key: usize) -> bool {
    // SAFETY: the caller says that it is a list.
    let list = unsafe { link.cast::<List>().as_ref() };
    // The host is known by its first node. SAFETY: by N1 each node is of its kind.
    list.entries[0].node().is_some_and(|(node, link)| unsafe { (link.kind().is_gone)(node, key) })
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn list_attached(link: NonNull<Link>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: the caller says that it is a list.
    let list = unsafe { link.cast::<List>().as_ref() };
    for (node, link) in list.nodes() {
        // SAFETY: by N1 each node is of its kind.
        unsafe { (link.kind().attached)(node, visit) };
    }
}

/// # Safety
///
/// As [`Kind`] says; and nobody else has the list or its nodes, now or later.
unsafe fn list_end(link: NonNull<Link>, key: usize, panics: &mut Panics) {
    let mut next = Some(link.cast::<List>());
    while let Some(list) = next {
        // SAFETY: the caller says that it is nobody else's.
        let list = unsafe { List::unmake(list) };
        // Relaxed, here and below: nobody races.
        let nodes = list.entries.iter().map_while(|entry| NonNull::new(entry.node.load(Ordering::Relaxed)));
        for node in nodes {
            // SAFETY: by N1 it is a live node.
            let kind = unsafe { node.as_ref() }.kind();
            // SAFETY: by N1 it is of this kind, and by the caller's promise nobody else's.
            unsafe { (kind.end)(node, key, panics) };
        }
        next = NonNull::new(list.next.load(Ordering::Relaxed));
        let Some(after) = next else { return };
        // SAFETY: by N1 it is a live list.
        let after_link = unsafe { after.cast::<Link>().as_ref() };
        if !after_link.is(self::list) {
            // Another image has made it, and frees it. SAFETY: by N1 it is of its kind, and by the caller's promise
            // nobody else's.
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
    /// It is a live node by N1.
    unsafe fn of(node: NonNull<Link>) -> Self {
        // SAFETY: the caller says that it is live.
        let is_of = unsafe { node.as_ref() }.kind().is_of;
        let noted = is_of.map_or(ptr::null_mut(), |is_of| is_of as *mut ());
        Self { is_of: AtomicPtr::new(noted), node: AtomicPtr::new(node.as_ptr()) }
    }

    /// The node and its link, which live as long as the list.
    #[inline]
    fn node(&self) -> Option<(NonNull<Link>, &Link)> {
        // Acquire: pairs with the Release of `List::put`.
        let node = NonNull::new(self.node.load(Ordering::Acquire))?;
        // SAFETY: by N1 it is a live node, by N3 as long as this entry.
        Some((node, unsafe { node.as_ref() }))
    }

    /// Whether the node is of the field set that is asked for.
    fn has(&self, link: &Link, ask: Ask) -> bool {
        // Relaxed: nothing but the function itself is concluded from it.
        let noted = self.is_of.load(Ordering::Relaxed);
        // SAFETY: by N5 it is null, which is `None`, or was such a function.
        let noted = unsafe { mem::transmute::<*mut (), Option<IsOf>>(noted) };
        noted.or_else(|| link.kind().is_of).is_some_and(ask)
    }
}

impl List {
    /// A list that is nobody's yet.
    ///
    /// # Safety
    ///
    /// These are live nodes by N1.
    unsafe fn starting_with(nodes: impl IntoIterator<Item = NonNull<Link>>) -> NonNull<Self> {
        let mut nodes = nodes.into_iter();
        // SAFETY: the caller's promise is the same.
        let entries = [(); ENTRIES].map(|()| nodes.next().map_or(Entry::vacant(), |node| unsafe { Entry::of(node) }));
        let next = AtomicPtr::new(ptr::null_mut());
        NonNull::from(Box::leak(Box::new(Self { link: Link::new(list), next, entries })))
    }

    /// A list of two nodes, that is nobody's yet.
    ///
    /// # Safety
    ///
    /// They are live nodes by N1.
    pub(super) unsafe fn of(first: NonNull<Link>, second: NonNull<Link>) -> NonNull<Self> {
        // SAFETY: the caller's promise is the same.
        unsafe { Self::starting_with([first, second]) }
    }

    /// Takes a list apart, but for its nodes.
    ///
    /// # Safety
    ///
    /// Nobody else has it, now or later.
    pub(super) unsafe fn unmake(list: NonNull<Self>) -> Self {
        // SAFETY: all lists are made by `Box`; the caller says that it is nobody else's.
        *unsafe { Box::from_raw(list.as_ptr()) }
    }

    /// The node of the field set of which `is_of` says so: by the address of that first.
    #[inline]
    pub(super) fn find(&self, is_of: IsOf, ask: Ask) -> Option<NonNull<Link>> {
        let mut list = self;
        loop {
            for entry in &list.entries {
                // Acquire: pairs with the Release of `put`, which comes after the node.
                let noted = entry.is_of.load(Ordering::Acquire);
                if ptr::eq(noted, is_of as *const ()) {
                    // Relaxed: by N5 the node is there, which the Acquire above has seen.
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

    /// The node of the field set that is asked for, whatever the address of the function that says so.
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
        // SAFETY: by N1 it is a live list, by N3 as long as this one.
        Some(unsafe { next.as_ref() })
    }

    /// Puts `new` into the first entry that is vacant, unless a node of the same set comes first. Returns the one that
    /// is there.
    ///
    /// # Safety
    ///
    /// `new` is a node by N1, and nobody else's; `is_of` says what it is of, and `ask` asks for that.
    pub(super) unsafe fn put(&self, new: NonNull<Link>, is_of: IsOf, ask: Ask) -> NonNull<Link> {
        let mut list = self;
        loop {
            for entry in &list.entries {
                let null = ptr::null_mut();
                // Release: the node is made before it is seen; pairs with every Acquire load of the word. Acquire on
                // failure, to see what others have put as it was made. So with the list below.
                let put = entry.node.compare_exchange(null, new.as_ptr(), Ordering::Release, Ordering::Acquire);
                let Some(node) = put.err().and_then(NonNull::new) else {
                    // Release: pairs with the Acquire of `find`.
                    entry.is_of.store(is_of as *mut (), Ordering::Release);
                    return new;
                };
                // SAFETY: by N1 it is a live node, by N3 as long as the list.
                if entry.has(unsafe { node.as_ref() }, ask) {
                    return node;
                }
            }
            // SAFETY: the caller says that it is a node.
            let longer = unsafe { Self::starting_with([new]) };
            let put =
                list.next.compare_exchange(ptr::null_mut(), longer.as_ptr(), Ordering::Release, Ordering::Acquire);
            let Some(next) = put.err().and_then(NonNull::new) else { return new };
            // SAFETY: it was not put anywhere, so it is nobody else's.
            let _ = unsafe { Self::unmake(longer) };
            // SAFETY: by N1 it is a live list, by N3 as long as this one.
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
        // SAFETY: the caller says that it is such a node, and nobody else's.
        unsafe { list.put(new, is_of::<Set<NUMBER>>, ask::<Set<NUMBER>>) }
    }

    #[test]
    fn a_node_is_noted_and_found_though_it_is_not_noted_yet() {
        let nodes = [node::<1>(), node::<2>(), node::<3>()];
        // SAFETY: they are nodes.
        let start = unsafe { List::of(nodes[0], nodes[1]) };
        // SAFETY: it is a list, which nobody frees meanwhile.
        let list = unsafe { start.as_ref() };
        // SAFETY: it is a node of that set, and nobody else's.
        assert_eq!(unsafe { put::<3>(list, nodes[2]) }, nodes[2]);
        let noted = || [0, 1, 2, 3].map(|entry: usize| list.entries[entry].is_of.load(Ordering::Relaxed));
        let all: [IsOf; 3] = [is_of::<Set<1>>, is_of::<Set<2>>, is_of::<Set<3>>];
        if cfg!(miri) {
            // There, each function has an address of its own wherever it is taken.
            assert!(noted()[..3].iter().all(|noted| !noted.is_null()));
        } else {
            assert_eq!(noted()[..3], all.map(|is_of| is_of as *mut ()));
        }
        assert!(noted()[3].is_null());
        for forgotten in [2, 0, 1] {
            // As if the thread that has put the node there were about to note what it is of.
            list.entries[forgotten].is_of.store(ptr::null_mut(), Ordering::Relaxed);
            assert_eq!([find::<1>(list), find::<2>(list), find::<3>(list)], nodes.map(Some));
            assert_eq!(find::<4>(list), None);
        }
        let again = node::<2>();
        // SAFETY: it is a node of that set, and nobody else's.
        assert_eq!(unsafe { put::<2>(list, again) }, nodes[1]);
        end(First::of(again));
        end(First::of(start.cast()));
    }
}
