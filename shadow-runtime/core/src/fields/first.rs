//! The first node of a host, or its list of nodes: what a head points to, and what a side table keeps.
//!
//! In: a field set's type. Out: the field set, found, or made where it is not there yet. The design, with invariants N1 to
//! N5, is the header of `head.rs`. Neighbours: `head.rs` and `host/arc.rs`, which have it; `node.rs` and `list.rs`, which
//! it searches.

use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::fields::head::NO_KEY;
use crate::fields::list::{List, list};
use crate::fields::node::{AfterLink, Ask, IsOf, Link, Node, Owner, ask, is_of, kind, marked, set};
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

    /// The field set of a first node.
    ///
    /// # Safety
    ///
    /// It is a node of `S`, as it was made, and is not ended during `'host`.
    #[inline]
    pub(crate) unsafe fn as_node_of<'host, S: FieldSet + 'static>(self) -> &'host S {
        // SAFETY: the caller says that it is not ended.
        let link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is the start of a live node of `S`.
        unsafe { set(link) }
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
    #[inline(never)]
    unsafe fn search<S: FieldSet + 'static>(self) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        unsafe { self.search_for(is_of::<S>, ask::<S>) }
    }

    /// The node of the field set of which `is_of` says so, and that `ask` asks for.
    ///
    /// # Safety
    ///
    /// It is not ended meanwhile.
    #[inline(never)]
    unsafe fn search_for(self, is_of: IsOf, ask: Ask) -> Option<NonNull<Link>> {
        // SAFETY: the caller's promise is the same.
        match unsafe { self.list() } {
            Ok(list) => list.find(is_of, ask),
            Err(only) => only.of(ask),
        }
    }

    /// The list, or the only node.
    ///
    /// # Safety
    ///
    /// It is not ended during `'host`.
    #[inline]
    unsafe fn list<'host>(self) -> Result<&'host List, Only> {
        // SAFETY: the caller's promise is the same.
        let link = unsafe { self.link() };
        // SAFETY: by N1 and the caller's promise it is live.
        let first = unsafe { link.as_ref() };
        if !first.is(list) {
            // Who has another address for `list` than who made it must not take it for a node.
            if let Some(is_of) = first.kind().is_of {
                return Err(Only { node: link, is_of });
            }
        }
        // SAFETY: by N1 it is a list, since it is of that kind.
        Ok(unsafe { link.cast::<List>().as_ref() })
    }
}

/// The only node of a host, and the function that says what it is of.
struct Only {
    node: NonNull<Link>,
    is_of: IsOf,
}

impl Only {
    /// The node, if it is of the field set that is asked for.
    fn of(self, ask: Ask) -> Option<NonNull<Link>> {
        ask(self.is_of).then_some(self.node)
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
    let kept = unsafe { put_node(head, new, is_of::<S>, ask::<S>) };
    if kept != new {
        // SAFETY: it was not put anywhere, so it is still nobody else's.
        unsafe { Node::<S, ()>::unmake(new, NO_KEY, |_| ()) };
    }
    kept
}

/// Puts a node of a field set where there is none yet. Returns the node of that set that is there then.
///
/// # Safety
///
/// `new` is a node by N1, and nobody else's; `is_of` says what it is of, and `ask` asks for that; what `head` points to is
/// not ended meanwhile.
unsafe fn put_node(head: &AtomicPtr<AfterLink>, new: NonNull<Link>, is_of: IsOf, ask: Ask) -> NonNull<Link> {
    // Release: the node is made before it is seen; pairs with every Acquire load of the word. Acquire on failure, to see
    // what others have put as it was made. So with every exchange here.
    let first = First::of(new).into_raw().as_ptr();
    let mut put = head.compare_exchange(ptr::null_mut(), first, Ordering::Release, Ordering::Acquire);
    loop {
        // By N3 it is not null, if the exchange failed.
        let Some(word) = put.err().and_then(NonNull::new) else { return new };
        // SAFETY: the caller's promise is the same.
        let only = match unsafe { First::from_raw(word).list() } {
            // SAFETY: `new` is as the caller promises.
            Ok(list) => return unsafe { list.put(new, is_of, ask) },
            Err(only) => only,
        };
        let there = only.node;
        if let Some(node) = only.of(ask) {
            return node;
        }
        // SAFETY: by N1 and the caller's promise they are live nodes.
        let both = unsafe { List::of(there, new) };
        let list = First::of(both.cast()).into_raw().as_ptr();
        put = head.compare_exchange(word.as_ptr(), list, Ordering::Release, Ordering::Acquire);
        if put.is_err() {
            // SAFETY: it was not put anywhere, so it is nobody else's.
            let _ = unsafe { List::unmake(both) };
        }
    }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use std::any::TypeId;
    use std::collections::HashSet;

    use super::*;
    use crate::cell::Cell;
    use crate::registry::Field;

    pub(in crate::fields) struct Set<const NUMBER: u8>;

    impl<const NUMBER: u8> FieldSet for Set<NUMBER> {
        fn empty() -> Self {
            Self
        }

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn Cell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn Cell)) {}
    }

    /// Says the same as `is_of`, and has another address, as a copy in another library may have.
    fn copy<const NUMBER: u8>(set: TypeId) -> bool {
        std::hint::black_box(set) == TypeId::of::<Set<NUMBER>>()
    }

    pub(in crate::fields) fn end(first: First) {
        let mut panics = Panics::none();
        // SAFETY: nobody has it any more.
        unsafe { first.end(NO_KEY, &mut panics) };
    }

    #[test]
    fn a_node_is_found_whatever_the_address_of_the_function_that_says_what_it_is_of() {
        fn found<const NUMBER: u8>(first: First) -> Option<NonNull<Link>> {
            let (own, other): (IsOf, IsOf) = (is_of::<Set<NUMBER>>, copy::<NUMBER>);
            assert!(!ptr::fn_addr_eq(own, other));
            // SAFETY: it is not ended meanwhile.
            let found = [own, other].map(|is_of| unsafe { first.search_for(is_of, ask::<Set<NUMBER>>) });
            assert_eq!(found[0], found[1]);
            found[0]
        }
        let found = [found::<1>, found::<2>, found::<3>, found::<4>, found::<5>, found::<6>, found::<7>, found::<8>];
        let mut first = First::make::<Set<1>, ()>(());
        // One, some, a list that is full, and another after it.
        let more = [First::with::<Set<2>>, First::with::<Set<3>>, First::with::<Set<4>>];
        let yet_more = [First::with::<Set<5>>, First::with::<Set<6>>, First::with::<Set<7>>];
        for (count, put) in (1..).zip([more, yet_more].concat()) {
            let nodes: Vec<_> = found[..count].iter().filter_map(|found| found(first)).collect();
            assert_eq!(nodes.iter().collect::<HashSet<_>>().len(), count);
            assert!(found[count..].iter().all(|found| found(first).is_none()));
            // SAFETY: nobody else has it.
            first = unsafe { put(first) };
            assert!(found[..count].iter().map(|found| found(first)).eq(nodes.into_iter().map(Some)));
        }
        assert!(found[6](first).is_some() && found[7](first).is_none());
        end(first);
    }
}
