//! The root pointer of a host, and the search for a field set from the root.
//!
//! In: the type of a field set. Out: the field set, if the host has one. The header of `mod.rs` has the design and the
//! invariants N1 to N5. Neighbours: `mod.rs` and `host/arc/mod.rs`, which store the root pointer; `node.rs` and
//! `node_table.rs`, which define the targets.

use std::any::Any;
use std::ptr::NonNull;

use crate::field_set::FieldSet;
use crate::fields::ShadowFields;
use crate::fields::node::{
    Header, HostOwner, Payload, TypeQuery, TypeTest, bare_node, set, type_query, vtable, vtable_first_ready,
};
use crate::fields::node_table::{TableRef, hash_of, vtable_of_table};
use crate::panics::Panics;

/// The root pointer of a host, and so the owner of all field sets of the host.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct RootPtr {
    payload: NonNull<Payload>,
}

/// The result of a search: a field set, and whether its node has the first-ready flag (N4).
///
/// - **N6** If `first_ready`, the first cell of `set` is ready (N4) for all of `'host`, and the attach happens before
///   the search.
///
/// `RootPtr::find` is the only constructor, so an accessor may believe a `Found` of any host.
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

impl RootPtr {
    /// The raw form, for a table. The provenance of the pointer covers the whole node or table.
    #[inline]
    pub(crate) const fn into_raw(self) -> NonNull<Payload> {
        self.payload
    }

    /// The `RootPtr` of a raw form. The node or table may have been destroyed since, so every use of a `RootPtr` is
    /// unsafe.
    #[inline]
    pub(crate) const fn from_raw(payload: NonNull<Payload>) -> Self {
        Self { payload }
    }

    /// The root that points past `header`.
    ///
    /// # Safety
    ///
    /// By N1 `header` is the start of a live node or table.
    #[inline]
    pub(super) const unsafe fn new(header: NonNull<Header>) -> Self {
        // SAFETY: by the contract `header` is the start of an allocation that has at least a header, so the result is
        // in bounds.
        Self { payload: unsafe { header.add(1) }.cast() }
    }

    /// The header before the target of the root.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[inline]
    pub(super) const unsafe fn header(self) -> NonNull<Header> {
        // SAFETY: `new` has added one header to the start of an allocation, which is live by the contract.
        unsafe { self.payload.cast::<Header>().sub(1) }
    }

    /// The field set `S`. `O` is the expected owner type of the first node.
    ///
    /// # Safety
    ///
    /// The root was loaded by an `Acquire`. During `'host` the root's allocation is not freed, and the nodes keep the
    /// first-ready flag.
    #[inline]
    pub(crate) unsafe fn find<'host, S: FieldSet + 'static, O: HostOwner>(self) -> Option<Found<'host, S>> {
        // SAFETY: by the contract the allocation is not freed during the call.
        let (node, first_ready) = unsafe { self.find_root::<S, O>() }?;
        // SAFETY: by N1 and N3 the node is live during `'host`.
        let header = unsafe { node.header() };
        // N6 holds by N4. SAFETY: `header` is the header of a live node of `S`.
        Some(Found { set: unsafe { set(header) }, first_ready })
    }

    /// The node of the field set `S`, and whether the node is known to have the first-ready flag.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[inline]
    pub(super) unsafe fn find_node<S: FieldSet + 'static, O: HostOwner>(self) -> Option<(NonNull<Header>, bool)> {
        // SAFETY: by the contract the allocation is not freed during the call.
        let (node, first_ready) = unsafe { self.find_root::<S, O>() }?;
        // SAFETY: by N1 and N3 the node is live during the call.
        Some((unsafe { node.header() }, first_ready))
    }

    /// The node of the field set `S`, as the root of a host whose only node this is; and whether the node is known to
    /// have the first-ready flag.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[inline]
    unsafe fn find_root<S: FieldSet + 'static, O: HostOwner>(self) -> Option<(Self, bool)> {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let first = unsafe { header.as_ref() };
        // By N1 the header is that of a node of `S` if the tags are equal, since equal addresses are one function.
        if first.has_tag(vtable_first_ready::<S, O>) {
            return Some((self, true));
        }
        if first.has_tag_volatile(vtable::<S, O>) {
            return Some((self, false));
        }
        if first.has_tag(vtable_of_table) {
            // SAFETY: by N1 the header is the start of a table, which `header` covers. The table is not freed during
            // the call.
            let node = unsafe { TableRef::new(header.cast()) }.at_home(hash_of::<S>())?;
            // SAFETY: by N3 the nodes of a table live as long as the table.
            let header = unsafe { node.header() };
            // SAFETY: as above.
            let found = unsafe { header.as_ref() };
            if found.has_tag(vtable::<S, ()>) || found.has_tag(vtable_first_ready::<S, O>) {
                return Some((node, false));
            }
        }
        // SAFETY: by the contract the allocation is not freed during the call.
        Some((unsafe { self.search(hash_of::<S>(), type_query::<S>) }?, false))
    }

    /// The slow path of a search: the node of the field set with this hash, which `query` requests. Not generic, to be
    /// compiled once.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    #[cold]
    #[inline(never)]
    unsafe fn search(self, hash: u32, query: TypeQuery) -> Option<Self> {
        // SAFETY: by the contract the allocation is not freed during the call.
        match unsafe { self.table_or_node() } {
            // SAFETY: the node of a table is live.
            Ok(table) => table.find(hash, query).map(|node| unsafe { Self::new(node) }),
            Err((_, test_of_node)) => query(test_of_node).then_some(self),
        }
    }

    /// The table; or the only node, with the type test of the node.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during `'host`.
    #[inline]
    pub(super) unsafe fn table_or_node<'host>(self) -> Result<TableRef<'host>, (NonNull<Header>, TypeTest)> {
        // SAFETY: by the contract the allocation is not freed during `'host`.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let first = unsafe { header.as_ref() };
        if !first.has_tag(vtable_of_table) {
            // The function `vtable_of_table` of another crate or image may have another address, so a different address
            // proves no node.
            if let Some(test) = first.vtable().type_test {
                return Err((header, test));
            }
        }
        // SAFETY: by N1 the header is the start of a table, which the pointer covers: a vtable without a type test is a
        // table's. By N3 the table and its nodes live as long as the root's allocation.
        Ok(unsafe { TableRef::new(header.cast()) })
    }

    /// Whether the host is gone, according to the owner in the first node.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call, and `key` is the key of the host.
    pub(crate) unsafe fn is_gone(self, key: usize) -> bool {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let vtable = unsafe { header.as_ref() }.vtable();
        // SAFETY: by N1 the header has this vtable, and by the contract `key` is the key of the host.
        unsafe { (vtable.is_gone)(header, key) }
    }

    /// The root of a host without fields, which is never gone and never destroyed.
    pub(crate) fn bare() -> Self {
        // SAFETY: the node is never destroyed.
        unsafe { Self::new(bare_node()) }
    }

    /// Counts the weak references of the host's owners, or gives the counts up.
    ///
    /// # Safety
    ///
    /// As for [`HostOwner::set_counted`]. The root's allocation is not freed during the call.
    pub(crate) unsafe fn set_counted(self, key: usize, is_counted: bool) {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let vtable = unsafe { header.as_ref() }.vtable();
        // SAFETY: by N1 the header has this vtable. The contract has the other conditions.
        unsafe { (vtable.set_counted)(header, key, is_counted) };
    }

    /// Pushes the host to `hosts`, if `hosts` is a `Vec` of its type, and the host is alive.
    ///
    /// # Safety
    ///
    /// As for [`HostOwner::upgrade`]. The root's allocation is not freed during the call.
    pub(crate) unsafe fn upgrade(self, key: usize, hosts: &mut dyn Any) {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let vtable = unsafe { header.as_ref() }.vtable();
        // SAFETY: by N1 the header has this vtable. The contract has the other conditions.
        unsafe { (vtable.upgrade)(header, key, hosts) };
    }

    /// Drops the values of all fields, and keeps the nodes. Returns the number of values. Panics of destructors are
    /// contained.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call. No other thread uses the fields during the call; other
    /// threads may call [`is_gone`](Self::is_gone).
    pub(crate) unsafe fn detach(self, panics: &mut Panics) -> usize {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let vtable = unsafe { header.as_ref() }.vtable();
        // SAFETY: by N1 the header has this vtable. The contract has the other conditions.
        unsafe { (vtable.detach)(header, panics) }
    }

    /// Calls `visit` with the name of each attached field.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    pub(super) unsafe fn attached(self, visit: &mut dyn FnMut(&'static str)) {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let vtable = unsafe { header.as_ref() }.vtable();
        // SAFETY: by N1 the header has this vtable.
        unsafe { (vtable.attached)(header, visit) };
    }

    /// Clones the carried fields to `clone`, the fields of a clone of the host. Stops after a panic, which is
    /// contained.
    ///
    /// # Safety
    ///
    /// The root's allocation is not freed during the call.
    pub(super) unsafe fn clone_carried(self, clone: &mut ShadowFields, panics: &mut Panics) {
        // SAFETY: by the contract the allocation is not freed during the call.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed.
        let vtable = unsafe { header.as_ref() }.vtable();
        if let Some(clone_node) = vtable.clone {
            // SAFETY: by N1 the header has this vtable.
            unsafe { clone_node(header, clone, panics) };
        }
    }

    /// Destroys every field and frees every node. Panics of destructors are contained.
    ///
    /// # Safety
    ///
    /// No other reference to the root or to its nodes exists, now or later. `key` is the key of the host.
    pub(crate) unsafe fn destroy(self, key: usize, panics: &mut Panics) {
        // SAFETY: by the contract no other reference exists, so the allocation is not freed yet.
        let header = unsafe { self.header() };
        // SAFETY: by N1 the header is live, since the allocation is not freed yet.
        let vtable = unsafe { header.as_ref() }.vtable();
        // SAFETY: by N1 the header has this vtable. By the contract no other reference exists, and `key` is the key of
        // the host.
        unsafe { (vtable.destroy)(header, key, panics) };
    }
}

#[cfg(all(test, not(loom)))]
pub(super) mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::cell::FieldCell;
    use crate::fields::node::Node;
    use crate::fields::{NO_KEY, Unpublished};
    use crate::registry::Field;

    pub(in crate::fields) struct Set<const NUMBER: u8>;

    // SAFETY: D1 to D3 hold for a set without cells.
    unsafe impl<const NUMBER: u8> FieldSet for Set<NUMBER> {
        unsafe fn init(_: *mut Self) {}

        fn fields() -> &'static [Field] {
            &[]
        }

        fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

        fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
    }

    pub(in crate::fields) fn destroy(root: RootPtr) {
        let mut panics = Panics::with_context("of a field set that was not published");
        // SAFETY: the caller has no other reference to the root.
        unsafe { root.destroy(NO_KEY, &mut panics) };
    }

    /// The root of a host after the publication of an empty `S` beside `first`.
    fn with<S: FieldSet + 'static>(first: RootPtr) -> RootPtr {
        let mut now = first;
        // SAFETY: the owner `()` refers to no host.
        let new = unsafe { Unpublished::<S>::new((), NO_KEY) };
        // SAFETY: this thread alone has the root, and does not destroy the root during the call.
        unsafe {
            new.publish(Some(first), |_, next| {
                now = next;
                Ok(())
            });
        }
        now
    }

    /// Another image, or another crate, has other addresses of the tags, so its search goes by type tests alone.
    #[test]
    fn a_node_is_found_by_its_tag_and_by_its_type_test() {
        fn found<const NUMBER: u8>(first: RootPtr) -> Option<NonNull<Header>> {
            // SAFETY: the allocation is not freed during the call.
            let by_test = unsafe { first.search(hash_of::<Set<NUMBER>>(), type_query::<Set<NUMBER>>) };
            // SAFETY: as above.
            let by_test = by_test.map(|node| unsafe { node.header() });
            // SAFETY: as above.
            let by_tag = unsafe { first.find_node::<Set<NUMBER>, ()>() };
            assert_eq!(by_tag.map(|(node, _)| node), by_test);
            by_test
        }
        let found = [found::<1>, found::<2>, found::<3>, found::<4>, found::<5>, found::<6>, found::<7>, found::<8>];
        // SAFETY: the tag is the `vtable` of this set and owner.
        let node = unsafe { Node::<Set<1>, ()>::new_raw(vtable::<Set<1>, ()>, ()) };
        // SAFETY: `node` is a live node.
        let mut first = unsafe { RootPtr::new(node) };
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
        destroy(first);
    }
}
