//! The first node of a host, or its list of nodes: what a head points to, and what a side table keeps.
//!
//! In: a field set's type. Out: the field set, found, or made where it is not there yet. The design, with invariants N1 to
//! N4, is the header of `head.rs`. Neighbours: `head.rs` and `host/arc.rs`, which have it; `node.rs` and `list.rs`, which
//! it searches.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::head::NO_KEY;
use crate::fields::list::{List, list};
use crate::fields::node::{AfterLink, KindOf, Link, Node, Owner, kind, marked, set};
use crate::panics::Panics;
use crate::sync::{AtomicPtr, Ordering};

/// What the head of a host points to, and with it all field sets of the host.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct First {
    rest: NonNull<AfterLink>,
}

impl First {
    /// A host's first node, of an empty set, for a side table.
    pub(crate) fn make<S: FieldSet + 'static, O: Owner>(owner: O) -> Self {
        Self::of(Node::<S, O>::make(owner))
    }

    /// The same, of a set that `fill` has filled.
    ///
    /// # Safety
    ///
    /// Its first cell is ready then.
    pub(crate) unsafe fn make_marked<S: FieldSet + 'static, O: Owner>(owner: O, fill: impl FnOnce(&mut S)) -> Self {
        // SAFETY: the caller's promise is N4's.
        Self::of(unsafe { Node::make_marked(owner, fill) })
    }

    /// Frees what was just made, once `take` has had its set.
    ///
    /// # Safety
    ///
    /// It was made of these types, for the host with this key, and was put nowhere.
    pub(crate) unsafe fn unmake<S: FieldSet + 'static, O: Owner, R>(
        self,
        key: usize,
        take: impl FnOnce(&mut S) -> R,
    ) -> R {
        // SAFETY: it was just made.
        let link = unsafe { self.link() };
        // SAFETY: the caller's promise is the same.
        unsafe { Node::<S, O>::unmake(link, key, take) }
    }

    /// What a table keeps. The pointer may be used for the whole of what it points to.
    #[inline]
    pub(crate) const fn into_raw(self) -> NonNull<AfterLink> {
        self.rest
    }

    /// The same again. It may have been ended meanwhile: what it is asked to do is unsafe for that.
    #[inline]
    pub(crate) const fn from_raw(rest: NonNull<AfterLink>) -> Self {
        Self { rest }
    }

    /// By N1, of a link of a node or a list.
    #[inline]
    pub(super) const fn of(link: NonNull<Link>) -> Self {
        // SAFETY: by N1 it is the start of a node or a list, which has a link at least: this is in it, or at its end.
        Self { rest: unsafe { link.add(1) }.cast() }
    }

    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[inline]
    pub(super) const unsafe fn link(self) -> NonNull<Link> {
        // SAFETY: it comes from `of`, and by the caller's promise it is live.
        unsafe { self.rest.cast::<Link>().sub(1) }
    }

    /// The field set `S`, if its first cell is ready: if it has the mark, or `is_ready` says so. `O` is the owner that the
    /// first node most likely has.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    #[inline]
    pub(crate) unsafe fn ready<'host, S: FieldSet + 'static, O: Owner>(
        self,
        is_ready: impl FnOnce(&'host S) -> bool,
    ) -> Option<&'host S> {
        // SAFETY: the caller's promise is the same.
        let mut link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        let first = unsafe { link.as_ref() };
        if !first.is(marked::<S, O>) {
            if !first.is_after_all(kind::<S, O>) {
                // SAFETY: the caller's promise is the same.
                link = unsafe { self.search::<S>() }?;
            }
            // SAFETY: by N1 it is the start of a live node of `S`.
            if !is_ready(unsafe { set(link) }) {
                return None;
            }
        }
        // Once for all ways, so that the compiler adds up where the value is. SAFETY: as above.
        Some(unsafe { set(link) })
    }

    /// Reads from the field set `S`: by `when_ready`, if it is known that its first cell is, or by `otherwise`. `O` is the
    /// owner that the first node most likely has.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    #[inline]
    pub(crate) unsafe fn read<'host, S: FieldSet + 'static, O: Owner, R>(
        self,
        when_ready: impl FnOnce(&'host S) -> R,
        otherwise: impl FnOnce(&'host S) -> Option<R>,
    ) -> Option<R> {
        // SAFETY: the caller's promise is the same.
        let mut link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        let first = unsafe { link.as_ref() };
        if first.is(marked::<S, O>) {
            // SAFETY: by N1 it is the start of a node of `S`, since equal addresses are one function.
            return Some(when_ready(unsafe { set(link) }));
        }
        if !first.is_after_all(kind::<S, O>) {
            // SAFETY: the caller's promise is the same.
            link = unsafe { self.search::<S>() }?;
        }
        // SAFETY: by N1 it is the start of a live node of `S`.
        otherwise(unsafe { set(link) })
    }

    /// The field set `S`. `O` is the owner that the first node most likely has.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    #[inline]
    pub(crate) unsafe fn look<'host, S: FieldSet + 'static, O: Owner>(self) -> Option<&'host S> {
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.find::<S, O>() }?;
        // SAFETY: by N1 it is the start of a live node of `S`, which lives until this is ended.
        Some(unsafe { set(link) })
    }

    /// The same with the field set `S`, which is made if it is not there: what the table has to keep from now on.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile, and nobody else calls this meanwhile.
    pub(crate) unsafe fn with<S: FieldSet + 'static>(self) -> Self {
        let head = AtomicPtr::new(self.into_raw().as_ptr());
        // SAFETY: the caller's promise is the same.
        unsafe { put::<S>(&head) };
        // Relaxed: nobody else has this head. By N3 it is not null any more.
        NonNull::new(head.load(Ordering::Relaxed)).map_or(self, Self::from_raw)
    }

    /// Whether the owner of the first node says that the host is gone.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile, and `key` is that of the host.
    pub(crate) unsafe fn is_gone(self, key: usize) -> bool {
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        let kind = unsafe { link.as_ref() }.kind();
        // SAFETY: by N1 it is of this kind.
        unsafe { (kind.is_gone)(link, key) }
    }

    /// Ends every field and frees every node. Panics of destructors are contained.
    ///
    /// # Safety
    ///
    /// Nobody else has it, or a reference to what is in it, now or later; and `key` is that of the host.
    pub(crate) unsafe fn end(self, key: usize, panics: &mut Panics) {
        // SAFETY: it is not ended before this.
        let link = unsafe { self.link() };
        // SAFETY: by N1 it is live.
        let kind = unsafe { link.as_ref() }.kind();
        // SAFETY: by N1 it is of this kind; the caller says that nobody else has it.
        unsafe { (kind.end)(link, key, panics) };
    }

    /// The node of the field set `S`.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[inline]
    pub(super) unsafe fn find<S: FieldSet + 'static, O: Owner>(self) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        let first = unsafe { link.as_ref() };
        if first.is(marked::<S, O>) || first.is(kind::<S, O>) {
            return Some(link);
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.search::<S>() }
    }

    /// The node of the field set `S`, if that is not known at a glance to be the first.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[cold]
    unsafe fn search<S: FieldSet + 'static>(self) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.search_for([kind::<S, ()>, marked::<S, ()>]) }
    }

    /// The node of the field set that `wanted` are kinds of, in a list by addresses first, then by asking.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[inline(never)]
    unsafe fn search_for(self, wanted: [KindOf; 2]) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { self.list() } {
            let by_address = list.nodes().find(|(_, link)| wanted.iter().any(|kind| link.is(*kind)));
            if let Some((node, _)) = by_address {
                return Some(node);
            }
        }
        // SAFETY: the caller's promise is the same.
        unsafe { self.ask((wanted[0]().content)()) }
    }

    /// The node with this content, whatever its kind's address.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    unsafe fn ask(self, content: TypeId) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { self.list() } {
            return list.nodes().find(|(_, link)| link.has(content)).map(|(node, _)| node);
        }
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        unsafe { link.as_ref() }.has(content).then_some(link)
    }

    /// If it is a list, that.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    unsafe fn list<'host>(self) -> Option<&'host List> {
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        let first = unsafe { link.as_ref() };
        // Who has another address for `list` than who made it must not take it for a node: so it is asked, too.
        if !first.is(list) && !first.has(TypeId::of::<List>()) {
            return None;
        }
        // SAFETY: by N1 it is a list, since it is of that kind.
        Some(unsafe { link.cast::<List>().as_ref() })
    }
}

/// Puts a node of an empty `S`, or finds the one that is there.
///
/// # Safety
///
/// What `head` points to is not ended meanwhile.
pub(super) unsafe fn put<S: FieldSet + 'static>(head: &AtomicPtr<AfterLink>) -> NonNull<Link> {
    let new = Node::<S, ()>::make(());
    // SAFETY: `new` is a node by N1, and nobody else's; the caller promises the rest.
    let kept = unsafe { put_node(head, new, TypeId::of::<S>()) };
    if kept != new {
        // SAFETY: it was not put anywhere, so it is still nobody else's.
        unsafe { Node::<S, ()>::unmake(new, NO_KEY, |_| ()) };
    }
    kept
}

/// Puts a node of a field set at the first word that is null. Returns the node of that set that is there then.
///
/// # Safety
///
/// `new` is a node of `content` by N1, and nobody else's; what `head` points to is not ended meanwhile.
unsafe fn put_node(head: &AtomicPtr<AfterLink>, new: NonNull<Link>, content: TypeId) -> NonNull<Link> {
    // Release: the node is made before it is seen; pairs with every Acquire load of the word. Acquire on failure, to see
    // what others have put as it was made. So with every exchange here.
    let first = First::of(new).into_raw().as_ptr();
    let mut put = head.compare_exchange(ptr::null_mut(), first, Ordering::Release, Ordering::Acquire);
    loop {
        // By N3 it is not null, if the exchange failed.
        let Some(word) = put.err().and_then(NonNull::new) else { return new };
        let first = First::from_raw(word);
        // SAFETY: the caller's promise is the same.
        if let Some(list) = unsafe { first.list() } {
            // SAFETY: `new` is as the caller promises.
            return unsafe { list.put(new, content) };
        }
        // SAFETY: the caller's promise is the same.
        if let Some(node) = unsafe { first.ask(content) } {
            return node;
        }
        // SAFETY: the caller's promise is the same.
        let both = List::of(unsafe { first.link() }, new);
        let list = First::of(both.cast()).into_raw().as_ptr();
        put = head.compare_exchange(word.as_ptr(), list, Ordering::Release, Ordering::Acquire);
        if put.is_err() {
            // SAFETY: it was not put anywhere, so it is nobody else's.
            let _ = unsafe { List::unmake(both) };
        }
    }
}
