//! The nodes of a host that has fields of several declarations.
//!
//! In: nodes. Out: the same, in the order in which they came. The design, with invariants N1 to N4, is the header of
//! `head.rs`, which makes lists and searches them.

use std::any::TypeId;
use std::iter;
use std::ptr::{self, NonNull};

use crate::fields::node::{Kind, Link};
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering};

/// How many nodes share a cache line with the link and the next such line.
const NODES: usize = 6;

/// A cache line of nodes, and the next such line.
#[repr(C)]
pub(super) struct List {
    link: Link,
    nodes: [AtomicPtr<Link>; NODES],
    next: AtomicPtr<List>,
}

/// The kind of a list. Not inlined, as `kind` of `node.rs` is not: the compiler would copy so small a function to wherever
/// its address is taken, in each crate and each piece of one, and lists are known by it.
#[inline(never)]
pub(super) fn list() -> &'static Kind {
    const { &Kind::of_list::<List>(list_is_gone, list_attached, list_end) }
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn list_is_gone(link: NonNull<Link>, key: usize) -> bool {
    // SAFETY: the caller says that it is a list.
    let list = unsafe { link.cast::<List>().as_ref() };
    // The host is known by its first node. SAFETY: by N1 each node is of its kind.
    list.nodes().next().is_some_and(|(node, link)| unsafe { (link.kind().is_gone)(node, key) })
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn list_attached(link: NonNull<Link>, visit: &mut dyn FnMut(&'static Field)) {
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
        let nodes = list.nodes.iter().map_while(|word| NonNull::new(word.load(Ordering::Relaxed)));
        for node in nodes {
            // SAFETY: by N1 it is a live node.
            let kind = unsafe { node.as_ref() }.kind();
            // SAFETY: by N1 it is of this kind, and by the caller's promise nobody else's.
            unsafe { (kind.end)(node, key, panics) };
        }
        next = NonNull::new(list.next.load(Ordering::Relaxed));
    }
}

impl List {
    /// A list that is nobody's yet.
    fn starting_with(nodes: impl IntoIterator<Item = NonNull<Link>>) -> NonNull<Self> {
        let mut nodes = nodes.into_iter();
        let nodes = [(); NODES].map(|()| AtomicPtr::new(nodes.next().map_or(ptr::null_mut(), NonNull::as_ptr)));
        NonNull::from(Box::leak(Box::new(Self { link: Link::new(list), nodes, next: AtomicPtr::new(ptr::null_mut()) })))
    }

    /// A list of two nodes, that is nobody's yet.
    pub(super) fn of(first: NonNull<Link>, second: NonNull<Link>) -> NonNull<Self> {
        Self::starting_with([first, second])
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

    /// The nodes and their links, which live as long as the list.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (NonNull<Link>, &Link)> {
        let lists = iter::successors(Some(self), |list| {
            // Acquire: pairs with the Release of `put`. SAFETY: by N1 it is a live list, by N3 as long as this one.
            NonNull::new(list.next.load(Ordering::Acquire)).map(|next| unsafe { next.as_ref() })
        });
        // Acquire: as above.
        let nodes = lists.flat_map(|list| &list.nodes).map_while(|word| NonNull::new(word.load(Ordering::Acquire)));
        // SAFETY: by N1 it is a live node, by N3 as long as this list.
        nodes.map(|node| (node, unsafe { node.as_ref() }))
    }

    /// Puts `new` at the first word that is null, unless a node of the same set comes first. Returns the one that is
    /// there.
    ///
    /// # Safety
    ///
    /// `new` is a node of `content` by N1, and nobody else's.
    pub(super) unsafe fn put(&self, new: NonNull<Link>, content: TypeId) -> NonNull<Link> {
        let mut list = self;
        loop {
            for word in &list.nodes {
                // Release: the node is made before it is seen; pairs with every Acquire load of the word. Acquire on
                // failure, to see what others have put as it was made. So with the list below.
                let put = word.compare_exchange(ptr::null_mut(), new.as_ptr(), Ordering::Release, Ordering::Acquire);
                let Some(node) = put.err().and_then(NonNull::new) else { return new };
                // SAFETY: by N1 it is a live node, by N3 as long as the list.
                if unsafe { node.as_ref() }.has(content) {
                    return node;
                }
            }
            let longer = Self::starting_with([new]);
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
