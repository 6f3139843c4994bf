//! The first node of a host, or its list of nodes: what a head points to, and what a side table keeps.
//!
//! In: a field set's type. Out: the field set, found, or made where it is not there yet. The design, with invariants N1
//! to N5, is the header of `head.rs`. Neighbours: `head.rs` and `host/arc.rs`, which have it; `node.rs` and `list.rs`,
//! which it searches.

use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;

use crate::field_set::FieldSet;
use crate::fields::list::{List, list};
use crate::fields::node::{AfterLink, Ask, IsOf, Link, Node, Owner, ask, is_of, kind, marked, set, set_mut};
use crate::panics::Panics;

/// What the head of a host points to, and with it all field sets of the host.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct First {
    rest: NonNull<AfterLink>,
}

/// The result of a search: a field set, and the `FIRST_READY` flag of its node.
///
/// - **N6** If `first_ready`, the first cell of `set` is ready (N4) for all of `'host`, and the attach happens before
///   the search.
///
/// `First::find` is the only constructor, so an accessor may believe a `Found` of any host.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct Found<'host, S> {
    set: &'host S,
    first_ready: bool,
}

impl<'host, S> Found<'host, S> {
    /// The field set.
    #[inline]
    #[must_use]
    pub const fn set(&self) -> &'host S {
        self.set
    }

    /// Whether the first cell of the set is known to be ready, without a load of the cell's state.
    #[inline]
    pub(crate) const fn first_ready(&self) -> bool {
        self.first_ready
    }
}

/// An unpublished field set: a node without references from a head, a list or a table.
///
/// - **U1** `first` is a live node of `S` by N1, of any owner, and the only reference to this node.
/// - **U2** `key` is the key of the host for which the node's owner was made.
#[expect(missing_debug_implementations, reason = "hidden from users")]
pub struct Unpublished<S> {
    first: First,
    key: usize,
    set: PhantomData<S>,
}

impl<S: FieldSet + 'static> Unpublished<S> {
    /// An empty set, without the mark.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host for which `owner` was made.
    pub(crate) unsafe fn make<O: Owner>(owner: O, key: usize) -> Self {
        Self { first: First::make::<S, O>(owner), key, set: PhantomData }
    }

    /// An empty set, with the mark: the caller fills the first cell before the publication.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host for which `owner` was made.
    #[inline]
    pub(crate) unsafe fn make_marked<O: Owner>(owner: O, key: usize) -> Self {
        Self { first: First::of(Node::<S, O>::make(marked::<S, O>, owner)), key, set: PhantomData }
    }

    /// The set, to be filled, or emptied again.
    #[inline]
    pub(crate) fn set_mut(&mut self) -> &mut S {
        // SAFETY: by U1 the node is live.
        let link = unsafe { self.first.link() };
        // SAFETY: by U1 the node is of `S` and has no other reference; the result borrows `self`.
        unsafe { set_mut(link) }
    }

    /// The node, still owned by `self`.
    #[inline]
    pub(crate) const fn first(&self) -> First {
        self.first
    }

    /// Gives up the ownership of a published node.
    ///
    /// # Safety
    ///
    /// The node is not ended during `'host`.
    #[inline]
    pub(crate) unsafe fn published<'host>(self) -> &'host S {
        let first = self.first;
        mem::forget(self);
        // SAFETY: by U1 the node is live.
        let link = unsafe { first.link() };
        // SAFETY: by U1 the node is of `S`, and by the contract of this function live during `'host`.
        unsafe { set(link) }
    }

    /// Publishes the set, unless the host has a set `S`. Returns the published one.
    ///
    /// `there` is the root of the host, as last loaded. `exchange` is a compare-and-exchange of the root: the expected
    /// one, the new one, and on failure the current one. All memory is allocated and freed under no lock.
    ///
    /// # Safety
    ///
    /// The root is that of the host for which the set was made, and is not ended during `'host`. A successful exchange
    /// is a `Release`, and a failed one an `Acquire`.
    pub(crate) unsafe fn put<'host>(
        self,
        there: Option<First>,
        exchange: impl FnMut(Option<First>, First) -> Result<(), First>,
    ) -> &'host S {
        // SAFETY: by U1 the node is live.
        let new = unsafe { self.first.link() };
        // SAFETY: by U1 `new` is an unpublished node of `S`. The contract of this function has the rest.
        let kept = unsafe { put_node(new, is_of::<S>, ask::<S>, there, exchange) };
        if kept == new {
            mem::forget(self);
        }
        // SAFETY: by N1 `kept` is a live node of `S`: `new`, or the result of `ask::<S>`.
        unsafe { set(kept) }
    }
}

/// Frees the node.
impl<S> Drop for Unpublished<S> {
    #[inline]
    fn drop(&mut self) {
        free(self.first, self.key);
    }
}

/// Frees the node of an [`Unpublished`], which has no value, unless the thread unwinds.
#[cold]
fn free(first: First, key: usize) {
    let mut panics = Panics::of("of a field set that was not published");
    // SAFETY: by U1 the node has no other reference; U2 is the rest.
    unsafe { first.end(key, &mut panics) };
    panics.discard();
}

impl First {
    /// A host's first node, of an empty set.
    pub(crate) fn make<S: FieldSet + 'static, O: Owner>(owner: O) -> Self {
        Self::of(Node::<S, O>::make(kind::<S, O>, owner))
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

    /// The field set `S`. `O` is the owner that the first node most likely has.
    ///
    /// # Safety
    ///
    /// The root was loaded by an `Acquire`. During `'host` it is not ended, and its nodes keep their marks.
    #[inline]
    pub(crate) unsafe fn find<'host, S: FieldSet + 'static, O: Owner>(self) -> Option<Found<'host, S>> {
        // SAFETY: the caller says that it is not ended.
        let mut link = unsafe { self.link() };
        // SAFETY: by N1 it is live, since it is not ended.
        let first = unsafe { link.as_ref() };
        if first.is(marked::<S, O>) {
            // N6 holds by N4. SAFETY: by N1 the link is that of a node of `S`, since equal addresses are one function.
            return Some(Found { set: unsafe { set(link) }, first_ready: true });
        }
        if !first.is_after_all(kind::<S, O>) {
            // SAFETY: it is not ended meanwhile.
            link = unsafe { self.search::<S>() }?;
        }
        // SAFETY: by N1 it is the start of a live node of `S`.
        Some(Found { set: unsafe { set(link) }, first_ready: false })
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
    pub(super) unsafe fn find_link<S: FieldSet + 'static, O: Owner>(self) -> Option<NonNull<Link>> {
        // SAFETY: the caller says that it is not ended.
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

/// Puts a node of a field set where there is none yet. Returns the node of that set that is there then.
///
/// # Safety
///
/// `new` is an unpublished node; `is_of` and `ask` are those of its set; for the rest, see [`Unpublished::put`].
unsafe fn put_node(
    new: NonNull<Link>,
    is_of: IsOf,
    ask: Ask,
    mut there: Option<First>,
    mut exchange: impl FnMut(Option<First>, First) -> Result<(), First>,
) -> NonNull<Link> {
    loop {
        let Some(first) = there else {
            match exchange(None, First::of(new)) {
                Ok(()) => return new,
                Err(first) => there = Some(first),
            }
            continue;
        };
        // SAFETY: by the contract the root is not ended.
        let only = match unsafe { first.list() } {
            // SAFETY: `new` is as the caller promises.
            Ok(list) => return unsafe { list.put(new, is_of, ask) },
            Err(only) => only,
        };
        let node = only.node;
        if let Some(node) = only.of(ask) {
            return node;
        }
        // SAFETY: by N1 and the caller's promise they are live nodes.
        let both = unsafe { List::of(node, new) };
        match exchange(there, First::of(both.cast())) {
            Ok(()) => return new,
            Err(first) => there = Some(first),
        }
        // SAFETY: it was not put anywhere, so it is nobody else's.
        let _ = unsafe { List::unmake(both) };
    }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use std::any::TypeId;
    use std::collections::HashSet;

    use std::ptr;

    use super::*;
    use crate::cell::Cell;
    use crate::fields::head::NO_KEY;
    use crate::registry::Field;

    pub(in crate::fields) struct Set<const NUMBER: u8>;

    // SAFETY: it has no cells.
    unsafe impl<const NUMBER: u8> FieldSet for Set<NUMBER> {
        unsafe fn init(_: *mut Self) {}

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn Cell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn Cell)) {}
    }

    /// Says the same as `is_of`, and has another address, as a copy in another library may have.
    fn copy<const NUMBER: u8>(set: TypeId, fields: *const Field) -> bool {
        std::hint::black_box(set) == TypeId::of::<Set<NUMBER>>() && ptr::eq(fields, Set::<NUMBER>::fields().as_ptr())
    }

    pub(in crate::fields) fn end(first: First) {
        let mut panics = Panics::of("of a field set that was not published");
        // SAFETY: nobody has it any more.
        unsafe { first.end(NO_KEY, &mut panics) };
    }

    /// What there is once a node of an empty `S` was put beside `first`.
    fn with<S: FieldSet + 'static>(first: First) -> First {
        let mut now = first;
        // SAFETY: both are of no key.
        let new = unsafe { Unpublished::<S>::make((), NO_KEY) };
        // SAFETY: nobody else has it, so that it is not ended meanwhile.
        unsafe {
            new.put(Some(first), |_, next| {
                now = next;
                Ok(())
            });
        }
        now
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
        let more = [with::<Set<2>>, with::<Set<3>>, with::<Set<4>>];
        let yet_more = [with::<Set<5>>, with::<Set<6>>, with::<Set<7>>];
        for (count, put) in (1..).zip([more, yet_more].concat()) {
            let nodes: Vec<_> = found[..count].iter().filter_map(|found| found(first)).collect();
            assert_eq!(nodes.iter().collect::<HashSet<_>>().len(), count);
            assert!(found[count..].iter().all(|found| found(first).is_none()));
            first = put(first);
            assert!(found[..count].iter().map(|found| found(first)).eq(nodes.into_iter().map(Some)));
        }
        assert!(found[6](first).is_some() && found[7](first).is_none());
        end(first);
    }
}
