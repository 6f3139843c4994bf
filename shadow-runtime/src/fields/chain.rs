//! The memory of one host's field sets: a chain of nodes, one for each declaration whose fields were used.
//!
//! In: a field set's type. Out: a reference to the one of this host. This is the only file that owns such memory.
//!
//! # Invariants
//!
//! - **C1** Every link, from the head to the null at the end, points to the `Link` at the start of a live `Node<S>`,
//!   made by `Box`, whose `type_id` is that of `S`. The pointer may be used for the whole node.
//! - **C2** No two nodes of a chain have the same `type_id`.
//! - **C3** A link that is not null is never changed, and a node never freed, but through `&mut Chain`. So a node
//!   lives, and stays where it is, for as long as the chain is borrowed (R1, R8).
//!
//! # Readers and writers
//!
//! *Reader*: from the head, load a link, compare the node's `type_id`, go on to its link. *Writer*: make a node with
//! null for its link; walk to the link that is null; put the node there by one compare-and-exchange. If that fails,
//! another writer's node stands there now: if it is of the same set, use it and drop one's own (its cells are empty,
//! so no user code runs); otherwise walk on.
//!
//! *Who races with whom*: readers with writers at the last link, and writers with one another there. The exchange is
//! a `Release`, and every load of a link is an `Acquire`, also the one of an exchange that fails: whoever sees a node
//! sees it as it was made. Nothing else is shared, since nodes are only freed by `&mut`, which excludes both; what
//! threads did before is ordered by however the `&mut` came about. Two writers of one set cannot both append: the
//! later would have to pass the earlier's node, since nodes are only added at the end. There is no ABA: a link leaves
//! null once.
//!
//! A walk is as long as the host has declarations in use, mostly one; the first that is used comes first.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::panics::Panics;
use crate::registry::Field;
use crate::sync::{AtomicPtr, Ordering, const_fn};

/// The field sets of one host.
pub(super) struct Chain {
    head: AtomicPtr<Link>,
}

/// The part of a node that is the same for every field set.
struct Link {
    type_id: TypeId,
    /// Turns a pointer to this link into one to its whole node; by C1 it may be called with that pointer only.
    widen: unsafe fn(NonNull<Link>) -> NonNull<dyn AnyNode>,
    next: AtomicPtr<Link>,
}

/// One field set on the heap. `repr(C)` puts the link first, where C1 says it is.
#[repr(C)]
struct Node<S> {
    link: Link,
    set: S,
}

/// What is done with a node whose field set is not known.
trait AnyNode {
    fn take_next(&mut self) -> *mut Link;
    fn end(&mut self, panics: &mut Panics);
    fn attached(&self, visit: &mut dyn FnMut(&'static Field));
}

impl Chain {
    const_fn! {
        pub(super) const fn new() -> Self {
            Self { head: AtomicPtr::new(ptr::null_mut()) }
        }
    }

    #[inline]
    pub(super) fn is_empty(&mut self) -> bool {
        // Relaxed, here and where else `self` is `&mut`: nobody races.
        self.head.load(Ordering::Relaxed).is_null()
    }

    #[inline]
    pub(super) fn look<S: FieldSet + 'static>(&self) -> Option<&S> {
        let link = self.find(TypeId::of::<S>())?;
        // SAFETY: by C1 it is the start of a live `Node<S>`, which by C3 lives while `self` is borrowed.
        let node = unsafe { link.cast::<Node<S>>().as_ref() };
        Some(&node.set)
    }

    #[inline]
    pub(super) fn look_mut<S: FieldSet + 'static>(&mut self) -> Option<&mut S> {
        let link = self.find(TypeId::of::<S>())?;
        // SAFETY: as in `look`; and since `self` is borrowed exclusively, nothing else refers into the chain.
        let node = unsafe { link.cast::<Node<S>>().as_mut() };
        Some(&mut node.set)
    }

    /// The node of the field set with this identity.
    #[inline]
    fn find(&self, wanted: TypeId) -> Option<NonNull<Link>> {
        let mut next = &self.head;
        // Acquire: pairs with the Release of `append`; the node is seen as it was made.
        while let Some(link) = NonNull::new(next.load(Ordering::Acquire)) {
            // SAFETY: by C1 it points to a live link, which by C3 lives while `self` is borrowed.
            let seen = unsafe { link.as_ref() };
            if seen.type_id == wanted {
                return Some(link);
            }
            next = &seen.next;
        }
        None
    }

    /// Appends an empty `S`, or finds the one that another thread has just appended.
    #[cold]
    pub(super) fn append<S: FieldSet + 'static>(&self) -> &S {
        let link = Link { type_id: TypeId::of::<S>(), widen: widen::<S>, next: AtomicPtr::new(ptr::null_mut()) };
        let node = Box::into_raw(Box::new(Node { link, set: S::empty() }));
        // SAFETY: `node` is fresh from `Box`, as C1 asks, and has no next.
        let kept = unsafe { self.append_link(node.cast()) };
        if !ptr::addr_eq(kept, node) {
            // SAFETY: `append_link` has not put it into the chain, so it is still this function's own box.
            drop(unsafe { Box::from_raw(node) });
        }
        // SAFETY: `kept` has the `type_id` of `S`, so by C1 it is the start of a live `Node<S>`; it lives by C3.
        let node = unsafe { &*kept.cast::<Node<S>>() };
        &node.set
    }

    /// Puts `new` at the end of the chain, unless a node with its `type_id` comes first. Returns the one that is there.
    ///
    /// # Safety
    ///
    /// `new` is the link of a node as C1 wants it, in no chain, and with no next.
    unsafe fn append_link(&self, new: *mut Link) -> *mut Link {
        // SAFETY: the caller says that it points to a live link.
        let type_id = unsafe { (*new).type_id };
        let mut next = &self.head;
        loop {
            // Release: the node is made before it is seen; pairs with every Acquire load of a link. Acquire on failure,
            // to see the other writer's node as it was made.
            let Err(seen) = next.compare_exchange(ptr::null_mut(), new, Ordering::Release, Ordering::Acquire) else {
                return new;
            };
            // SAFETY: `seen` is not null, since the exchange failed; by C1 and C3 it is a live link.
            let link = unsafe { &*seen };
            if link.type_id == type_id {
                return seen;
            }
            next = &link.next;
        }
    }

    /// Shows every field that is attached.
    pub(super) fn attached(&self, visit: &mut dyn FnMut(&'static Field)) {
        let mut next = &self.head;
        // Acquire: as in `find`.
        while let Some(link) = NonNull::new(next.load(Ordering::Acquire)) {
            // SAFETY: by C1 it points to a live link, which by C3 lives while `self` is borrowed.
            let seen = unsafe { link.as_ref() };
            // SAFETY: by C1 `widen` may be called with the pointer that leads to it.
            let node = unsafe { (seen.widen)(link) };
            // SAFETY: the node that the link is part of lives as long as the link.
            unsafe { node.as_ref() }.attached(visit);
            next = &seen.next;
        }
    }

    /// Ends every field and frees every node. Panics of destructors are contained.
    #[cold]
    pub(super) fn end(&mut self, panics: &mut Panics) {
        while let Some(link) = NonNull::new(self.head.load(Ordering::Relaxed)) {
            // SAFETY: by C1 it is a live link.
            let widen = unsafe { link.as_ref() }.widen;
            // SAFETY: by C1 it may be called with the pointer to the link that it is in.
            let node = unsafe { widen(link) };
            // SAFETY: by C1 it was made by `Box`; it is taken out of the chain in the next line, and `self` is
            // borrowed exclusively, so nobody else reaches it.
            let mut node = unsafe { Box::from_raw(node.as_ptr()) };
            self.head.store(node.take_next(), Ordering::Relaxed);
            node.end(panics);
        }
    }
}

impl<S: FieldSet> AnyNode for Node<S> {
    fn take_next(&mut self) -> *mut Link {
        self.link.next.load(Ordering::Relaxed)
    }

    fn end(&mut self, panics: &mut Panics) {
        let mut fields = S::fields().iter();
        self.set.each_mut(&mut |cell| {
            if let Some(field) = fields.next() {
                panics.contain(|| cell.end(field));
            }
        });
    }

    fn attached(&self, visit: &mut dyn FnMut(&'static Field)) {
        let mut fields = S::fields().iter();
        self.set.each(&mut |cell| {
            if let Some(field) = fields.next().filter(|_| cell.is_attached()) {
                visit(field);
            }
        });
    }
}

/// # Safety
///
/// `link` is the start of a `Node<S>`, by a pointer that may be used for the whole node.
unsafe fn widen<S: FieldSet + 'static>(link: NonNull<Link>) -> NonNull<dyn AnyNode> {
    link.cast::<Node<S>>()
}
