//! The nodes of a host with several declarations: an insert-only hash table.
//!
//! In: nodes, and the hash of a field set. Out: the node of the field set. The header of `mod.rs` has the design, the
//! invariants N1 to N6, and the argument for each ordering. Neighbours: `node.rs`, one node; `root.rs`, the search;
//! `unpublished.rs`, which publishes tables.
//!
//! A table is one allocation: the [`NodeTable`], the slots, and the order of the insertions. The table uses open
//! addressing with linear probing. A slot is vacant, has a node, or is closed. The *home slot* of a field set is a
//! product of its hash and the table's multiplier. The maker of a table tries multipliers until the nodes have
//! different home slots, so a search mostly reads one slot. Field sets with one hash share a home slot: the sets of one
//! declaration in several images, and sets whose hashes collide by chance.
//!
//! Such a table is *apart*, and replaced when a new node would collide: by a larger table, or a table with another
//! multiplier. Above [`MOST_APART`] nodes, no multiplier is tried, since a table without collisions would grow with the
//! square of the nodes; then a table is replaced when half full. The old table stays for readers that still have it,
//! and is freed with the host.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::any::{Any, TypeId};
use std::hash::{Hash, Hasher};
use std::iter;
use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::fields::ShadowFields;
use crate::fields::node::{Header, Payload, TypeQuery, VTable};
use crate::fields::root::RootPtr;
use crate::panics::Panics;
use crate::sync::plain::AtomicU32 as PlainU32;
use crate::sync::{AtomicPtr, AtomicU16, Ordering};

#[cfg(all(test, loom))]
#[path = "../loom_tests/node_table.rs"]
mod loom_tests;

/// The least number of slots.
const LEAST: usize = 8;

/// The number of multipliers that are tried, before the number of slots is doubled.
const TRIES: usize = 128;

/// The most nodes of a table that is apart, and its most slots for each node.
const MOST_APART: usize = 16;
const MOST_SLOTS: usize = 4;

/// A slot: null, if vacant; [`CLOSED`]; or the root pointer of a node. Not a pointer to the header: a search then has
/// one kind of pointer, from the root of the host or from a slot, and a host with one node pays no instruction for
/// slots.
type Slot = AtomicPtr<Payload>;

/// The address in a closed slot. No node is there.
const CLOSED: usize = 1;

/// The start of a table. The slots follow, and then an entry of the order for each slot.
///
/// - **N7** The pointer to a table covers all slots and all entries of the order. Their number is `1 << (32 - shift)`.
/// - **N8** No slot from a node's home slot to the node was vacant when the node was inserted, nor later.
/// - **N9** An entry of the order has the number of a slot with a node, plus 1, or is 0. No number comes twice, and the
///   entries are filled in order. The thread that has filled a slot fills the next entry of the order. The maker of a
///   table fills both for at least one node.
#[repr(C)]
pub(super) struct NodeTable {
    header: Header,
    multiplier: u32,
    shift: u8,
    /// Whether different hashes have different home slots. Decides only when the table is replaced.
    is_apart: bool,
    /// The table that this table has replaced.
    older: Option<NonNull<NodeTable>>,
}

/// A table that lives for `'host`.
#[derive(Clone, Copy)]
pub(super) struct TableRef<'host> {
    /// By N7 the pointer covers the whole table.
    table: NonNull<NodeTable>,
    host: PhantomData<&'host NodeTable>,
}

/// A node and its header.
type Found<'host> = (NonNull<Header>, &'host Header);

/// The hash of the type `S`: a part of the `TypeId`, which the compiler knows. Images that contain one declaration have
/// one hash. The hash only says where a node is: the type tag or the type test decides whether the node is of `S`.
#[inline]
pub(super) fn hash_of<S: 'static>() -> u32 {
    /// Keeps the last word, as `TypeId` has hashed itself.
    struct Low(u64);

    impl Hasher for Low {
        #[inline]
        fn write(&mut self, bytes: &[u8]) {
            for byte in bytes {
                self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
            }
        }

        #[inline]
        fn write_u64(&mut self, word: u64) {
            self.0 = word;
        }

        #[inline]
        fn finish(&self) -> u64 {
            self.0
        }
    }

    let mut low = Low(0);
    TypeId::of::<S>().hash(&mut low);
    #[expect(clippy::cast_possible_truncation, reason = "a part of the hash")]
    let part = (low.finish() >> 16) as u32;
    part
}

/// The type tag of a table.
#[inline(never)]
pub(super) fn vtable_of_table() -> &'static VTable {
    const {
        &VTable {
            type_test: None,
            hash: || 0,
            without_first_ready: None,
            owner_offset: 0,
            owner: None,
            is_gone: table_is_gone,
            set_counted: set_table_counted,
            upgrade: table_upgrade,
            detach: detach_table,
            attached: table_attached,
            clone: Some(clone_table),
            destroy: destroy_table,
            free_table: Some(free_table),
        }
    }
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn table_is_gone(header: NonNull<Header>, key: usize) -> bool {
    // SAFETY: by the contract `header` is the start of a live table.
    let (node, header) = unsafe { TableRef::new(header.cast()) }.first();
    // The first node has the owner. SAFETY: by N1 the node has this vtable, and by the contract `key` is the key of the
    // host.
    unsafe { (header.vtable().is_gone)(node, key) }
}

/// Every node may have an owner: a node that has lost the race for the first place has its owner, too.
///
/// # Safety
///
/// As for [`VTable`].
unsafe fn set_table_counted(header: NonNull<Header>, key: usize, is_counted: bool) {
    // SAFETY: by the contract `header` is the start of a live table.
    for (node, header) in unsafe { TableRef::new(header.cast()) }.nodes() {
        // SAFETY: by N1 the node has this vtable, and by the contract `key` is the key of the host.
        unsafe { (header.vtable().set_counted)(node, key, is_counted) };
    }
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn table_upgrade(header: NonNull<Header>, key: usize, hosts: &mut dyn Any) {
    // SAFETY: by the contract `header` is the start of a live table.
    let (node, header) = unsafe { TableRef::new(header.cast()) }.first();
    // The first node has the owner. SAFETY: by N1 the node has this vtable, and by the contract `key` is the key of the
    // host.
    unsafe { (header.vtable().upgrade)(node, key, hosts) };
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn detach_table(header: NonNull<Header>, panics: &mut Panics) -> usize {
    // SAFETY: by the contract `header` is the start of a live table.
    let nodes = unsafe { TableRef::new(header.cast()) }.nodes();
    // SAFETY: by N1 the node has this vtable. By the contract no other thread uses the fields.
    nodes.map(|(node, header)| unsafe { (header.vtable().detach)(node, panics) }).sum()
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn table_attached(header: NonNull<Header>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: by the contract `header` is the start of a live table.
    for (node, header) in unsafe { TableRef::new(header.cast()) }.nodes() {
        // SAFETY: by N1 the node has this vtable.
        unsafe { (header.vtable().attached)(node, visit) };
    }
}

/// Stops after a panic.
///
/// # Safety
///
/// As for [`VTable`].
unsafe fn clone_table(header: NonNull<Header>, clone: &mut ShadowFields, panics: &mut Panics) {
    // SAFETY: by the contract `header` is the start of a live table.
    for (node, header) in unsafe { TableRef::new(header.cast()) }.nodes() {
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
/// As for [`VTable`]. No other reference to the table or its nodes exists, now or later.
unsafe fn destroy_table(header: NonNull<Header>, key: usize, panics: &mut Panics) {
    // SAFETY: by the contract `header` is the start of a live table.
    let table = unsafe { TableRef::new(header.cast()) };
    for (node, header) in table.nodes() {
        // SAFETY: by N1 the node has this vtable. By the contract no other reference exists, and `key` is the key of
        // the host. The iterator does not read a node that it has returned.
        unsafe { (header.vtable().destroy)(node, key, panics) };
    }
    let mut next = Some(table.table);
    while let Some(table) = next {
        // SAFETY: by N1 and N3 every table of the host is live, until this function frees the table.
        let head = unsafe { table.as_ref() };
        next = head.older;
        if let Some(free) = head.header.vtable().free_table {
            // SAFETY: by N1 the table has this vtable. No other reference exists.
            unsafe { free(table.cast()) };
        }
    }
}

/// Frees a table, and neither its nodes nor older tables.
///
/// # Safety
///
/// `header` is the start of a table of this image. No other reference to the table exists, now or later.
pub(super) unsafe fn free_table(header: NonNull<Header>) {
    let table = header.cast::<NodeTable>();
    // SAFETY: by the contract the table is live.
    let capacity = unsafe { table.as_ref() }.capacity();
    #[cfg(loom)]
    for index in 0..capacity {
        // SAFETY: by N7 the table has such a slot.
        let slot = unsafe { slot_of(table, index) };
        // SAFETY: the slot is not used again. Atomics of loom have destructors.
        unsafe { slot.drop_in_place() };
        // SAFETY: by N7 the table has such an entry.
        let entry = unsafe { entry_of(table, capacity, index) };
        // SAFETY: as for the slot.
        unsafe { entry.drop_in_place() };
    }
    #[cfg(loom)]
    // SAFETY: the table is live, and is not used again.
    unsafe {
        table.drop_in_place();
    }
    // SAFETY: `make` has allocated the table with this layout, and by the contract no other reference exists.
    unsafe { dealloc(table.as_ptr().cast(), layout(capacity).0) };
}

/// The layout of a table, and the offset of the order.
fn layout(capacity: usize) -> (Layout, usize) {
    let parts = || {
        let (layout, slots) = Layout::new::<NodeTable>().extend(Layout::array::<Slot>(capacity).ok()?).ok()?;
        // The slots begin right after the table.
        debug_assert_eq!(slots, size_of::<NodeTable>());
        let (layout, order) = layout.extend(Layout::array::<AtomicU16>(capacity).ok()?).ok()?;
        Some((layout.pad_to_align(), order))
    };
    parts().expect("a host has no more field sets than memory")
}

const _: () =
    assert!(align_of::<Slot>() <= align_of::<NodeTable>() && size_of::<NodeTable>() % align_of::<Slot>() == 0);

/// The place of a slot.
///
/// # Safety
///
/// `table` covers a table or its memory, by N7, and `number` is less than the capacity.
#[inline]
const unsafe fn slot_of(table: NonNull<NodeTable>, number: usize) -> NonNull<Slot> {
    let slots = table.as_ptr().wrapping_add(1).cast::<Slot>();
    // SAFETY: the place is in the memory of the table, so the address is not 0.
    unsafe { NonNull::new_unchecked(slots.wrapping_add(number)) }
}

/// The place of an entry of the order.
///
/// # Safety
///
/// As for [`slot_of`]. `capacity` is the capacity.
unsafe fn entry_of(table: NonNull<NodeTable>, capacity: usize, index: usize) -> NonNull<AtomicU16> {
    let order = table.cast::<()>().as_ptr().wrapping_byte_add(layout(capacity).1).cast::<AtomicU16>();
    // SAFETY: the place is in the memory of the table, so the address is not 0.
    unsafe { NonNull::new_unchecked(order.wrapping_add(index)) }
}

impl NodeTable {
    const fn capacity(&self) -> usize {
        1 << (u32::BITS - self.shift as u32)
    }

    /// The number of the home slot. By N7 less than the capacity, since `shift` leaves so many bits.
    #[inline]
    const fn home(&self, hash: u32) -> usize {
        (hash.wrapping_mul(self.multiplier) >> self.shift) as usize
    }
}

/// An unpublished table of these nodes, in this order, which replaces `older`. One allocation.
///
/// # Safety
///
/// By N1 the headers are those of live nodes, none of them twice. The iterator and its clones return the same headers.
pub(super) unsafe fn make(
    nodes: &(impl Iterator<Item = NonNull<Header>> + Clone),
    older: Option<TableRef<'_>>,
) -> NonNull<NodeTable> {
    // SAFETY: by the contract the nodes are live.
    let hashes = nodes.clone().map(|node| (unsafe { node.as_ref() }.vtable().hash)());
    let (mut of_few, mut count) = ([0; MOST_APART], 0);
    for hash in hashes.clone() {
        if let Some(place) = of_few.get_mut(count) {
            *place = hash;
        }
        count += 1;
    }
    let few = of_few.get(..count);
    let Choice { multiplier, shift, is_apart } = choose(count, few);
    let older = older.map(|older| older.table);
    // SAFETY: the nodes are put into the table next, and no other pointer to the table exists.
    let new = unsafe { vacant(NodeTable { header: Header::new(vtable_of_table), multiplier, shift, is_apart, older }) };
    // SAFETY: the table lives during this function.
    let table = unsafe { TableRef::new(new) };
    // In a table that is apart, first the nodes with hashes of their own, then the nodes with a hash that an earlier
    // node has.
    for is_first in [true, false] {
        for (index, (node, hash)) in nodes.clone().zip(hashes.clone()).enumerate() {
            if few.is_none_or(|few| !few[..index].contains(&hash)) == is_first {
                let vacant = table.probe(hash).find(|(_, slot)| slot.load(Ordering::Relaxed).is_null());
                let (number, slot) = vacant.expect("there are more slots than nodes");
                // SAFETY: by the contract the node is live.
                slot.store(unsafe { RootPtr::new(node) }.into_raw().as_ptr(), Ordering::Relaxed);
                table.order()[index].store(number_of(number), Ordering::Relaxed);
            }
        }
    }
    new
}

/// A table without nodes.
///
/// # Panics
///
/// If a host gets more than 16,384 field sets: an entry of the order has 16 bits. Here no node is published yet.
///
/// # Safety
///
/// The caller puts a node into the table, and fills an entry of the order, before another use of the table (N9).
unsafe fn vacant(head: NodeTable) -> NonNull<NodeTable> {
    let capacity = head.capacity();
    assert!(capacity < 1 << u16::BITS, "a host has at most 16,384 field sets");
    let (layout, _) = layout(capacity);
    // SAFETY: the layout has a size above 0.
    let memory: *mut () = unsafe { alloc(layout) }.cast();
    let Some(table) = NonNull::new(memory).map(NonNull::cast::<NodeTable>) else { handle_alloc_error(layout) };
    // SAFETY: the memory has the size and the alignment of a table, and no other pointer to the memory exists.
    unsafe { table.write(head) };
    for index in 0..capacity {
        // SAFETY: by `layout` the memory has so many slots.
        let slot = unsafe { slot_of(table, index) };
        // SAFETY: the memory of the slot is aligned, and no other pointer to the memory exists.
        unsafe { slot.write(Slot::new(ptr::null_mut())) };
        // SAFETY: by `layout` the memory has so many entries.
        let entry = unsafe { entry_of(table, capacity, index) };
        // SAFETY: as for the slot.
        unsafe { entry.write(AtomicU16::new(0)) };
    }
    table
}

/// The entry of the order for a slot.
fn number_of(slot: usize) -> u16 {
    u16::try_from(slot + 1).expect("`vacant` has made no larger table")
}

/// The chosen size and hash function of a table.
struct Choice {
    multiplier: u32,
    shift: u8,
    is_apart: bool,
}

/// Chooses a table with room for `count` nodes; apart if possible, for few nodes with these hashes.
fn choose(count: usize, few: Option<&[u32]>) -> Choice {
    /// The multiplier that was chosen last, for each shift: hosts mostly have the same field sets. A hint, so any value
    /// is right.
    static LAST: [PlainU32; 32] = [const { PlainU32::new(FIRST) }; 32];
    /// The golden ratio, as of Fibonacci hashing.
    const FIRST: u32 = 0x9E37_79B9;

    let least = LEAST.max(count.next_power_of_two());
    let shift_of = |capacity: usize| u8::try_from(u32::BITS - capacity.ilog2()).expect("at most 32");
    let capacities = iter::successors(Some(least), |capacity| Some(2 * capacity));
    let tried = capacities.take_while(|&capacity| capacity <= MOST_SLOTS * least);
    for (shift, hashes) in tried.map(shift_of).filter_map(|shift| Some((shift, few?))) {
        let hint = &LAST[usize::from(shift)];
        // Relaxed, here and below: a hint publishes nothing. A model has no memory of its earlier executions.
        let first = if cfg!(loom) { FIRST } else { hint.load(Ordering::Relaxed) };
        // The steps of the sequence are even, so the multipliers stay odd.
        let multipliers = iter::successors(Some(first), |multiplier| Some(multiplier.wrapping_add(0x6C07_8966)));
        if let Some(multiplier) = multipliers.take(TRIES).find(|&multiplier| are_apart(hashes, multiplier, shift)) {
            if multiplier != first {
                hint.store(multiplier, Ordering::Relaxed);
            }
            return Choice { multiplier, shift, is_apart: true };
        }
    }
    Choice { multiplier: FIRST, shift: shift_of(2 * least), is_apart: false }
}

/// Whether different hashes have different home slots. By the arguments of `choose`, a table has at most 128 slots.
fn are_apart(hashes: &[u32], multiplier: u32, shift: u8) -> bool {
    let mut homes = 0_u128;
    hashes.iter().enumerate().all(|(index, hash)| {
        let home = 1 << (hash.wrapping_mul(multiplier) >> shift);
        let is_free = homes & home == 0 || hashes[..index].contains(hash);
        homes |= home;
        is_free
    })
}

const _: () = assert!(MOST_SLOTS * MOST_APART <= 128);

impl<'host> TableRef<'host> {
    /// # Safety
    ///
    /// By N7 `table` is the start of a table, whose memory the pointer covers. The table and its nodes live for
    /// `'host`.
    #[inline]
    pub(super) const unsafe fn new(table: NonNull<NodeTable>) -> Self {
        Self { table, host: PhantomData }
    }

    fn table(self) -> &'host NodeTable {
        // SAFETY: by the contract of `new` the table lives for `'host`.
        unsafe { self.table.as_ref() }
    }

    /// # Safety
    ///
    /// `number` is less than the capacity.
    #[inline]
    unsafe fn slot(self, number: usize) -> &'host Slot {
        // SAFETY: by N7 the pointer covers the table, and by the contract there is a slot with this number.
        let slot = unsafe { slot_of(self.table, number) };
        // SAFETY: by the contract of `new` the slot lives for `'host`.
        unsafe { slot.as_ref() }
    }

    /// The entries of the order.
    fn order(self) -> &'host [AtomicU16] {
        let capacity = self.table().capacity();
        // SAFETY: by N7 the pointer covers the table, which has at least one entry.
        let first = unsafe { entry_of(self.table, capacity, 0) };
        // SAFETY: by N7 the order has so many entries, which live for `'host`.
        unsafe { NonNull::slice_from_raw_parts(first, capacity).as_ref() }
    }

    /// The node in a slot, as a root pointer, or `None` if the slot is vacant or closed.
    #[inline]
    fn root_in(slot: &Slot) -> Option<RootPtr> {
        // Acquire: pairs with the Release of `put`.
        let node = slot.load(Ordering::Acquire);
        if node.addr() <= CLOSED {
            return None;
        }
        NonNull::new(node).map(RootPtr::from_raw)
    }

    /// The node in a slot, or `None` if the slot is vacant or closed.
    fn node_in(slot: &'host Slot) -> Option<Found<'host>> {
        // SAFETY: by N1 the slot has a live node, and by N3 the node lives for `'host`.
        let node = unsafe { Self::root_in(slot)?.header() };
        // SAFETY: as above.
        Some((node, unsafe { node.as_ref() }))
    }

    /// The node in the home slot of `hash`, as a root pointer. By N8 the table has no node with the hash if this slot
    /// is vacant or closed.
    #[inline]
    pub(super) fn at_home(self, hash: u32) -> Option<RootPtr> {
        // SAFETY: the number of a home slot is less than the capacity.
        Self::root_in(unsafe { self.slot(self.table().home(hash)) })
    }

    /// The slots from the home slot of `hash` on, once each.
    fn probe(self, hash: u32) -> impl Iterator<Item = (usize, &'host Slot)> {
        let (home, capacity) = (self.table().home(hash), self.table().capacity());
        (0..capacity).map(move |step| (home + step) % capacity).map(move |number| {
            // SAFETY: the remainder is less than the capacity.
            (number, unsafe { self.slot(number) })
        })
    }

    /// The node of the field set with this hash that `query` requests, by type tests.
    pub(super) fn find(self, hash: u32, query: TypeQuery) -> Option<NonNull<Header>> {
        for (_, slot) in self.probe(hash) {
            // By N8 a vacant slot ends the search. A closed slot was vacant.
            let (node, header) = Self::node_in(slot)?;
            if header.vtable().type_test.is_some_and(query) {
                return Some(node);
            }
        }
        None
    }

    /// Inserts `new`, unless the table has a node of the same set. Returns the node of the set; or `None`, if the set
    /// needs another table.
    ///
    /// # Safety
    ///
    /// By N1 `new` is an unpublished node. `hash` is the hash of its set, and `query` requests the set.
    pub(super) unsafe fn put(self, new: NonNull<Header>, hash: u32, query: TypeQuery) -> Option<NonNull<Header>> {
        let order = self.order();
        // SAFETY: by the contract `new` is a live node.
        let root = unsafe { RootPtr::new(new) }.into_raw().as_ptr();
        let is_apart = self.table().is_apart;
        // Relaxed: the entry only says that the table is half full.
        let is_full = !is_apart && order[order.len() / 2].load(Ordering::Relaxed) != 0;
        for (step, (number, slot)) in self.probe(hash).enumerate() {
            // Release: publishes the initialised node; pairs with the Acquire of `node_in`. Relaxed on failure:
            // `node_in` loads the node again.
            if !is_full && slot.compare_exchange(ptr::null_mut(), root, Ordering::Release, Ordering::Relaxed).is_ok() {
                self.append(number);
                return Some(new);
            }
            // By N3 a slot with a node keeps the node. A closed slot, and a vacant slot of a full table, need another
            // table.
            let (node, header) = Self::node_in(slot)?;
            let vtable = header.vtable();
            if vtable.type_test.is_some_and(query) {
                return Some(node);
            }
            if step == 0 && is_apart && (vtable.hash)() != hash {
                return None;
            }
        }
        None
    }

    /// Appends the slot to the order. The thread has just filled the slot.
    fn append(self, slot: usize) {
        let number = number_of(slot);
        let mut vacant = self.order().iter();
        // Release: pairs with the Acquire of `nodes`. Relaxed on failure: the value of a filled entry is not used.
        // By N9 there is an entry for each slot.
        let _ = vacant.find(|entry| entry.compare_exchange(0, number, Ordering::Release, Ordering::Relaxed).is_ok());
    }

    /// An unpublished table with the nodes of this table and `new`, which replaces this table. If this table has a node
    /// of the same set: the node. From this call on, this table gets no further node.
    ///
    /// # Safety
    ///
    /// As for [`put`](Self::put).
    pub(super) unsafe fn larger(
        self,
        new: NonNull<Header>,
        hash: u32,
        query: TypeQuery,
    ) -> Result<NonNull<NodeTable>, NonNull<Header>> {
        for (_, slot) in self.probe(0) {
            let closed = ptr::without_provenance_mut(CLOSED);
            // Relaxed: no memory is published. `nodes` loads what is there by an Acquire.
            let _ = slot.compare_exchange(ptr::null_mut(), closed, Ordering::Relaxed, Ordering::Relaxed);
        }
        if let Some(node) = self.find(hash, query) {
            return Err(node);
        }
        let nodes = self.nodes().map(|(node, _)| node).chain([new]);
        // SAFETY: by N1 and N3 the nodes are live, and by the contract so is `new`. `nodes` returns each node once, and
        // a clone returns the same nodes, since this table gets no further node.
        Ok(unsafe { make(&nodes, Some(self)) })
    }

    /// The first node.
    fn first(self) -> Found<'host> {
        // Acquire: as in `nodes`.
        let number = self.order()[0].load(Ordering::Acquire);
        let slot = usize::from(number).checked_sub(1);
        // SAFETY: by N9 a number of the order is that of a slot.
        let node = slot.and_then(|slot| Self::node_in(unsafe { self.slot(slot) }));
        node.expect("by N9 a table has a node")
    }

    /// The nodes in the order of their insertions. Nodes that other threads have inserted, and not yet appended to the
    /// order, come last.
    pub(super) fn nodes(self) -> impl Iterator<Item = Found<'host>> + Clone {
        let order = self.order();
        // Acquire: pairs with the Release of `append`, so the slot is seen as filled.
        let ordered = order.iter().take_while(|entry| entry.load(Ordering::Acquire) != 0).count();
        let order = &order[..ordered];
        // Relaxed: `ordered` has loaded the entries.
        let number = |entry: &AtomicU16| entry.load(Ordering::Relaxed);
        let numbers = order.iter().map(move |entry| usize::from(number(entry)) - 1);
        let others = (0..self.table().capacity())
            .filter(move |&slot| !order.iter().any(|entry| usize::from(number(entry)) == slot + 1));
        numbers.chain(others).filter_map(move |slot| {
            // SAFETY: by N9 a number of the order is that of a slot, as are the numbers below the capacity.
            Self::node_in(unsafe { self.slot(slot) })
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::fewer::fewer;
    use crate::fields::node::{Node, type_query, vtable};
    use crate::fields::root::RootPtr;
    use crate::fields::root::tests::{Set, destroy};

    /// A node of a set, and the functions of the set.
    struct Made {
        node: NonNull<Header>,
        hash: u32,
        query: TypeQuery,
    }

    fn made<const NUMBER: u8>() -> Made {
        // SAFETY: the tag is the `vtable` of this set and owner.
        let node = unsafe { Node::<Set<NUMBER>, ()>::new_raw(vtable::<Set<NUMBER>, ()>, ()) };
        Made { node, hash: hash_of::<Set<NUMBER>>(), query: type_query::<Set<NUMBER>> }
    }

    fn table_of(nodes: &[&Made]) -> TableRef<'static> {
        // SAFETY: the nodes are live, and different.
        let table = unsafe { make(&nodes.iter().map(|made| made.node), None) };
        // SAFETY: the table lives until `end`.
        unsafe { TableRef::new(table) }
    }

    fn put(table: TableRef<'_>, new: &Made, hash: u32) -> Option<NonNull<Header>> {
        // SAFETY: the node is of this set, and not in the table.
        unsafe { table.put(new.node, hash, new.query) }
    }

    fn end(table: TableRef<'_>) {
        // SAFETY: the table is live.
        destroy(unsafe { RootPtr::new(table.table.cast()) });
    }

    fn end_node(made: &Made) {
        // SAFETY: the node is live.
        destroy(unsafe { RootPtr::new(made.node) });
    }

    fn order_of(table: TableRef<'_>) -> Vec<NonNull<Header>> {
        table.nodes().map(|(node, _)| node).collect()
    }

    #[test]
    fn a_set_has_one_hash_and_two_sets_mostly_have_two() {
        assert_eq!(hash_of::<Set<1>>(), hash_of::<Set<1>>());
        assert_ne!(hash_of::<Set<1>>(), hash_of::<Set<2>>());
    }

    #[test]
    fn a_node_is_put_once_and_found_and_the_order_is_that_of_the_insertions() {
        let (one, two, three, again) = (made::<1>(), made::<2>(), made::<3>(), made::<2>());
        let table = table_of(&[&one]);
        // A hash whose home slot is vacant, and the hash of `one`: the second goes beside the first.
        let free = (0..1000).find(|&hash| table.table().home(hash) != table.table().home(one.hash)).unwrap();
        assert_eq!(put(table, &two, one.hash), Some(two.node));
        assert_eq!(put(table, &again, one.hash), Some(two.node));
        assert_eq!(table.find(one.hash, one.query), Some(one.node));
        assert_eq!(table.find(one.hash, two.query), Some(two.node));
        assert_eq!(table.find(one.hash, three.query), None);
        assert!(table.find(free, three.query).is_none());
        assert_eq!(order_of(table), [one.node, two.node]);
        end_node(&again);
        end_node(&three);
        end(table);
    }

    #[test]
    fn a_collision_of_two_hashes_needs_another_table_and_a_closed_table_gets_no_node() {
        let (one, two, three) = (made::<1>(), made::<2>(), made::<3>());
        let table = table_of(&[&one]);
        let home = table.table().home(one.hash);
        let hash = (0..1000).find(|&hash| hash != one.hash && table.table().home(hash) == home).unwrap();
        assert_eq!(put(table, &two, hash), None);
        assert_eq!(order_of(table), [one.node]);
        // SAFETY: the node is of this set, and not in the table.
        let larger = unsafe { table.larger(two.node, two.hash, two.query) }.unwrap();
        // SAFETY: the table lives until `end`.
        let larger = unsafe { TableRef::new(larger) };
        assert_eq!(order_of(larger), [one.node, two.node]);
        // The old table has what it had, and gets nothing.
        for hash in [three.hash, one.hash, hash] {
            assert_eq!(put(table, &three, hash), None);
        }
        assert_eq!(order_of(table), [one.node]);
        // SAFETY: the node is of the set of the query.
        assert_eq!(unsafe { table.larger(three.node, one.hash, one.query) }, Err(one.node));
        end_node(&three);
        end(larger);
    }

    /// As between the two steps of an insertion on another thread.
    #[test]
    fn a_node_that_is_not_in_the_order_yet_is_listed_once_and_last() {
        let (one, two, three) = (made::<1>(), made::<2>(), made::<3>());
        let table = table_of(&[&one, &two]);
        let others = |slot: &usize| table.order().iter().all(|entry| entry.load(Ordering::Relaxed) != number_of(*slot));
        let slot = (0..table.order().len()).find(others).unwrap();
        // SAFETY: the node is live.
        let root = unsafe { RootPtr::new(three.node) }.into_raw();
        // SAFETY: there is a slot with this number.
        unsafe { table.slot(slot) }.store(root.as_ptr(), Ordering::Relaxed);
        assert_eq!(order_of(table), [one.node, two.node, three.node]);
        let four = made::<4>();
        // SAFETY: the node is of this set, and not in the table.
        let larger = unsafe { table.larger(four.node, four.hash, four.query) }.unwrap();
        // SAFETY: the table lives until `end`.
        let larger = unsafe { TableRef::new(larger) };
        assert_eq!(order_of(larger), [one.node, two.node, three.node, four.node]);
        end(larger);
    }

    #[test]
    fn many_nodes_have_a_table_in_proportion_and_few_have_slots_of_their_own() {
        let hash = |number: u32| number.wrapping_mul(0x85EB_CA6B) ^ number.rotate_left(13);
        for count in (1..200).step_by(fewer(1, 39)) {
            let hashes: Vec<u32> = (1..=count).map(hash).collect();
            let few = (hashes.len() <= MOST_APART).then_some(&*hashes);
            let Choice { multiplier, shift, is_apart } = choose(hashes.len(), few);
            let capacity = 1 << (32 - u32::from(shift));
            assert!((count..=count.max(2) * 8).contains(&capacity), "{capacity} slots for {count}");
            let mut homes: Vec<u32> = hashes.iter().map(|hash| hash.wrapping_mul(multiplier) >> shift).collect();
            homes.sort_unstable();
            homes.dedup();
            assert!(!is_apart || homes.len() == hashes.len());
            assert!(is_apart || count > 16, "{count}");
        }
    }
}
