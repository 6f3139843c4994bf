//! The root pointer of a host: to the first node, or to a list of nodes.
//!
//! In: the type of a field set. Out: the field set, found or published. The header of `head.rs` has the design and the
//! invariants N1 to N5. Neighbours: `head.rs` and `host/arc.rs`, which store the root pointer; `node.rs` and `list.rs`,
//! which define the targets.

use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;

use crate::field_set::FieldSet;
use crate::fields::list::{List, list};
use crate::fields::node::{AfterLink, Ask, IsOf, Link, Node, Owner, ask, is_of, kind, marked, set, set_mut};
use crate::panics::Panics;

/// The root pointer of a host, and so the owner of all field sets of the host.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct First {
    rest: NonNull<AfterLink>,
}

/// The result of a search: a field set, and whether its node has the mark.
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

    /// The set, exclusively. The caller fills the set, or empties the set again.
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
    /// The node is not destroyed during `'host`.
    #[inline]
    pub(crate) unsafe fn published<'host>(self) -> &'host S {
        let first = self.first;
        mem::forget(self);
        // SAFETY: by U1 the node is live.
        let link = unsafe { first.link() };
        // SAFETY: by U1 the node is of `S`, and by the contract of this function live during `'host`.
        unsafe { set(link) }
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
    pub(crate) unsafe fn put<'host>(
        self,
        there: Option<First>,
        exchange: impl FnMut(Option<First>, First) -> Result<(), First>,
    ) -> &'host S {
        // SAFETY: by U1 the node is live.
        let new = unsafe { self.first.link() };
        // SAFETY: by U1 `new` is an unpublished node of `S`. The contract of this function covers the root and
        // `exchange`.
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
    // SAFETY: by U1 the node has no other reference, and by U2 `key` is the key of the host.
    unsafe { first.end(key, &mut panics) };
    panics.discard();
}

impl First {
    /// The root of a host with one node, of an empty set.
    pub(crate) fn make<S: FieldSet + 'static, O: Owner>(owner: O) -> Self {
        Self::of(Node::<S, O>::make(kind::<S, O>, owner))
    }

    /// The raw form, for a table. The provenance of the pointer covers the whole node or list.
    #[inline]
    pub(crate) const fn into_raw(self) -> NonNull<AfterLink> {
        self.rest
    }

    /// The `First` of a raw form. The node or list may have been destroyed since, so every use of a `First` is unsafe.
    #[inline]
    pub(crate) const fn from_raw(rest: NonNull<AfterLink>) -> Self {
        Self { rest }
    }

    /// The root that points past `link`. By N1 `link` is the start of a node or a list.
    #[inline]
    pub(super) const fn of(link: NonNull<Link>) -> Self {
        // SAFETY: by N1 `link` is the start of an allocation that has at least a link, so the result is in bounds.
        Self { rest: unsafe { link.add(1) }.cast() }
    }

    /// The link before the target of the root.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[inline]
    pub(super) const unsafe fn link(self) -> NonNull<Link> {
        // SAFETY: `of` has added one link to the start of an allocation, which is live by the contract.
        unsafe { self.rest.cast::<Link>().sub(1) }
    }

    /// The field set `S`. `O` is the expected owner type of the first node.
    ///
    /// # Safety
    ///
    /// The root was loaded by an `Acquire`. During `'host` the root's allocation is not freed, and the nodes keep their
    /// marks.
    #[inline]
    pub(crate) unsafe fn find<'host, S: FieldSet + 'static, O: Owner>(self) -> Option<Found<'host, S>> {
        // SAFETY: by the contract the allocation is not freed during the call.
        let mut link = unsafe { self.link() };
        // SAFETY: by N1 the link is live, since the allocation is not freed.
        let first = unsafe { link.as_ref() };
        if first.is(marked::<S, O>) {
            // N6 holds by N4. SAFETY: by N1 the link is that of a node of `S`, since equal addresses are one function.
            return Some(Found { set: unsafe { set(link) }, first_ready: true });
        }
        if !first.is_after_all(kind::<S, O>) {
            // SAFETY: by the contract the allocation is not freed during the call.
            link = unsafe { self.search::<S>() }?;
        }
        // SAFETY: by N1 `link` is the start of a live node of `S`.
        Some(Found { set: unsafe { set(link) }, first_ready: false })
    }

    /// Whether the host is gone, according to the owner in the first node.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call, and `key` is the key of the host.
    pub(crate) unsafe fn is_gone(self, key: usize) -> bool {
        // SAFETY: by the contract the allocation is not freed during the call.
        let link = unsafe { self.link() };
        // SAFETY: by N1 the link is live, since the allocation is not freed.
        let kind = unsafe { link.as_ref() }.kind();
        // SAFETY: by N1 the link is of this kind, and by the contract `key` is the key of the host.
        unsafe { (kind.is_gone)(link, key) }
    }

    /// Destroys every field and frees every node. Panics of destructors are contained.
    ///
    /// # Safety
    ///
    /// No other reference to the root or to its nodes exists, now or later. `key` is the key of the host.
    pub(crate) unsafe fn end(self, key: usize, panics: &mut Panics) {
        // SAFETY: by the contract no other reference exists, so the allocation is not freed yet.
        let link = unsafe { self.link() };
        // SAFETY: by N1 the link is live, since the allocation is not freed yet.
        let kind = unsafe { link.as_ref() }.kind();
        // SAFETY: by N1 the link is of this kind. By the contract no other reference exists, and `key` is the key of
        // the host.
        unsafe { (kind.end)(link, key, panics) };
    }

    /// The node of the field set `S`.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[inline]
    pub(super) unsafe fn find_link<S: FieldSet + 'static, O: Owner>(self) -> Option<NonNull<Link>> {
        // SAFETY: by the contract the allocation is not freed during the call.
        let link = unsafe { self.link() };
        // SAFETY: by N1 the link is live, since the allocation is not freed.
        let first = unsafe { link.as_ref() };
        if first.is(marked::<S, O>) || first.is(kind::<S, O>) {
            return Some(link);
        }
        // SAFETY: by the contract the allocation is not freed during the call.
        unsafe { self.search::<S>() }
    }

    /// The slow path of a search for the node of `S`: the type tag of the first link did not match.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[cold]
    #[inline(never)]
    unsafe fn search<S: FieldSet + 'static>(self) -> Option<NonNull<Link>> {
        // SAFETY: by the contract the allocation is not freed during the call.
        unsafe { self.search_for(is_of::<S>, ask::<S>) }
    }

    /// The node of the field set whose type tag is `is_of`, and whose type test `ask` calls. Not generic, to be
    /// compiled once.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[inline(never)]
    unsafe fn search_for(self, is_of: IsOf, ask: Ask) -> Option<NonNull<Link>> {
        // SAFETY: by the contract the allocation is not freed during the call.
        match unsafe { self.list() } {
            Ok(list) => list.find(is_of, ask),
            Err(only) => only.of(ask),
        }
    }

    /// The list, or the only node.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during `'host`.
    #[inline]
    unsafe fn list<'host>(self) -> Result<&'host List, Only> {
        // SAFETY: by the contract the allocation is not freed during `'host`.
        let link = unsafe { self.link() };
        // SAFETY: by N1 the link is live, since the allocation is not freed.
        let first = unsafe { link.as_ref() };
        if !first.is(list) {
            // The function `list` of another crate or image may have another address, so a different address proves no
            // node.
            if let Some(is_of) = first.kind().is_of {
                return Err(Only { node: link, is_of });
            }
        }
        // SAFETY: by N1 the link is the start of a list: a kind without a type test is a list's.
        Ok(unsafe { link.cast::<List>().as_ref() })
    }
}

/// The only node of a host, and the type test of the node.
struct Only {
    node: NonNull<Link>,
    is_of: IsOf,
}

impl Only {
    /// The node, if the node is of the requested field set.
    fn of(self, ask: Ask) -> Option<NonNull<Link>> {
        ask(self.is_of).then_some(self.node)
    }
}

/// Publishes a node, unless the host has a node of the same field set. Returns the host's node of this set.
///
/// # Safety
///
/// `new` is an unpublished node; `is_of` and `ask` are the functions of its set. [`Unpublished::put`] has the
/// conditions for `there` and `exchange`.
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
        // SAFETY: by the contract the allocation is not freed during the call.
        let only = match unsafe { first.list() } {
            // SAFETY: by the contract `new` is an unpublished node, and `is_of` and `ask` are the functions of its set.
            Ok(list) => return unsafe { list.put(new, is_of, ask) },
            Err(only) => only,
        };
        let node = only.node;
        if let Some(node) = only.of(ask) {
            return node;
        }
        // SAFETY: by N1 `node` is a live node, and by the contract so is `new`.
        let both = unsafe { List::of(node, new) };
        match exchange(there, First::of(both.cast())) {
            Ok(()) => return new,
            Err(first) => there = Some(first),
        }
        // SAFETY: the list was not published, so no other reference exists.
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

    // SAFETY: D1 to D3 hold for a set without cells.
    unsafe impl<const NUMBER: u8> FieldSet for Set<NUMBER> {
        unsafe fn init(_: *mut Self) {}

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn Cell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn Cell)) {}
    }

    /// A copy of `is_of` at another address, as another crate may have one.
    fn copy<const NUMBER: u8>(set: TypeId, fields: *const Field) -> bool {
        std::hint::black_box(set) == TypeId::of::<Set<NUMBER>>() && ptr::eq(fields, Set::<NUMBER>::fields().as_ptr())
    }

    pub(in crate::fields) fn end(first: First) {
        let mut panics = Panics::of("of a field set that was not published");
        // SAFETY: the caller has no other reference to the root.
        unsafe { first.end(NO_KEY, &mut panics) };
    }

    /// The root of a host after the publication of an empty `S` beside `first`.
    fn with<S: FieldSet + 'static>(first: First) -> First {
        let mut now = first;
        // SAFETY: the owner `()` refers to no host.
        let new = unsafe { Unpublished::<S>::make((), NO_KEY) };
        // SAFETY: this thread alone has the root, and does not destroy the root during the call.
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
            // SAFETY: the allocation is not freed during the call.
            let found = [own, other].map(|is_of| unsafe { first.search_for(is_of, ask::<Set<NUMBER>>) });
            assert_eq!(found[0], found[1]);
            found[0]
        }
        let found = [found::<1>, found::<2>, found::<3>, found::<4>, found::<5>, found::<6>, found::<7>, found::<8>];
        let mut first = First::make::<Set<1>, ()>(());
        // One node, several nodes, a full list, and a second list after the full list.
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
