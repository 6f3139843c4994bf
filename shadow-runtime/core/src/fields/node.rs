//! One field set on the heap, and the type tags by which a search finds the set.
//!
//! In: the type of a field set, and the owner, the node's knowledge of its host. Out: the node, as a [`Header`] without
//! the type. The header of `mod.rs` has the design of a host's memory and the invariants N1 to N5. Neighbours:
//! `root.rs` and `node_table.rs`, which compare type tags and call vtables; `unpublished.rs`, which allocates nodes.
//!
//! # Type tags
//!
//! A header has a function that returns the vtable of the node, a [`VTable`]. The address of the function is the type
//! tag, which a reader compares by one instruction. Equal addresses are one function, and so one field set. Unequal
//! addresses prove nothing, since every crate may have its own copy of a generic function; then the search calls the
//! type tests (`type_test`). The tag is the address of a function, not of a vtable: each codegen unit of a crate may
//! have its own copy of a vtable.
//!
//! For each set and owner there are two such functions: `vtable`, and `vtable_first_ready` for nodes with the
//! first-ready flag (N4). The functions return different vtables, so no compiler merges the functions.
//!
//! None of these functions is inlined: an inline function has a copy in each codegen unit that takes its address.
//!
//! # Images
//!
//! A process may have several linked images, a program and loaded libraries, each with a copy of this runtime: with
//! separate hazard slots, writer locks and init locks. So only the image that made a cell may use the cell. A `TypeId`
//! proves nothing across images: an edited and rebuilt library has the `TypeId`s of before, with other members of value
//! types, other policies and another order of declarations.
//!
//! The identity of a field set is therefore its `TypeId` *and* the address of `S::fields()`, a static of the
//! declaration and separate in each image. Neither suffices: all value types of a generic declaration share one static.
//! A search never finds the node of another image. The table of a host has the nodes of all images; only functions of
//! the node's own image test, show and destroy a node. The design has two conditions: images stay mapped, and images
//! have one version of this crate, so that `Header`, `VTable` and `NodeTable`, all `repr(C)`, have one layout.

use std::any::{Any, TypeId};
use std::cell::UnsafeCell;
use std::mem::{self, offset_of};
use std::panic::RefUnwindSafe;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, Ordering};

use crate::cell::FieldCell;
use crate::field_set::FieldSet;
use crate::fields::clone::{CloneNode, clone_node};
use crate::fields::node_table::hash_of;
use crate::panics::Panics;
use crate::registry::Field;

/// The start of every node and of every table of nodes.
#[repr(C)]
pub(crate) struct Header {
    /// Searches load the tag without an atomic. `detach` stores the tag while no search runs, but a check whether the
    /// host is gone may run. So `detach` and `vtable`, which the check calls, access the tag atomically.
    tag: UnsafeCell<VTableFn>,
    /// For loom: written at the initialisation of the header, and read at each access.
    #[cfg(loom)]
    made: crate::sync::UnsafeCell<()>,
}

/// The memory after a header. The root of a host points here, since the set of a node mostly begins here: a reader of
/// the first cell adds no offset.
pub(crate) struct Payload {
    _before: Header,
}

/// The type tag of a node or table: returns the vtable.
pub(super) type VTableFn = fn() -> &'static VTable;

/// The type test of a node, of any owner, with or without the first-ready flag: compares the `TypeId` of a field set
/// and the address of its `fields` (see "Images").
pub(super) type TypeTest = fn(TypeId, *const Field) -> bool;

/// Calls a type test with the identity of the requested field set. A search passes two function pointers, and no
/// `TypeId`, which does not fit in a register.
pub(super) type TypeQuery = fn(TypeTest) -> bool;

/// The vtable of a node or table, whose type is erased.
///
/// # Safety
///
/// A call of a function requires a pointer to the header of a live node or table with this vtable, as in N1. The number
/// is the key of the host in a side table. `destroy` and `free_table` also require that no other reference to the node
/// or table exists, now or later.
#[repr(C)]
pub(super) struct VTable {
    /// `None` for a table.
    pub(super) type_test: Option<TypeTest>,
    /// The hash of the node's set: see [`hash_of`].
    pub(super) hash: fn() -> u32,
    /// The type tag without the first-ready flag, if this is the vtable of a node with the first-ready flag.
    pub(super) without_first_ready: Option<VTableFn>,
    /// The distance from the header to the owner, and the functions of the owner; `None` for a table.
    pub(super) owner_offset: usize,
    pub(super) owner: Option<&'static OwnerVTable>,
    pub(super) is_gone: unsafe fn(NonNull<Header>, usize) -> bool,
    /// Counts the owners' weak references, or gives the counts up: see [`HostOwner::set_counted`].
    pub(super) set_counted: unsafe fn(NonNull<Header>, usize, bool),
    /// Pushes the host to a `Vec` of hosts: see [`HostOwner::upgrade`].
    pub(super) upgrade: unsafe fn(NonNull<Header>, usize, &mut dyn Any),
    /// Drops the values of the fields, and keeps the node. Returns the number of values. Requires that no other thread
    /// uses the fields; only `is_gone` may run meanwhile.
    pub(super) detach: unsafe fn(NonNull<Header>, &mut Panics) -> usize,
    /// Calls a function with the names of attached fields. Names, since the layout of a [`Field`] depends on the
    /// features of an image.
    pub(super) attached: unsafe fn(NonNull<Header>, &mut dyn FnMut(&'static str)),
    /// Clones the carried fields to the fields of a clone of the host: see [`CloneNode`]. `None` for a node without
    /// carried fields.
    pub(super) clone: Option<CloneNode>,
    /// Drops the values of the fields, releases the owner, and frees the node; of a table, all this for each node, and
    /// frees the table and the older tables.
    pub(super) destroy: unsafe fn(NonNull<Header>, usize, &mut Panics),
    /// Frees a table, and neither its nodes nor older tables. `None` for a node.
    pub(super) free_table: Option<unsafe fn(NonNull<Header>)>,
}

/// A set without cells.
struct NoFields;

// SAFETY: D1 to D3 hold for a set without cells: no other set has this `TypeId`.
unsafe impl FieldSet for NoFields {
    unsafe fn init(_: *mut Self) {}

    fn fields() -> &'static [Field] {
        &[]
    }

    fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

    fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
}

/// A node without fields and without an owner, which is never gone. The node is never destroyed.
#[cfg(not(loom))]
pub(super) fn bare_node() -> NonNull<Header> {
    static BARE: Node<NoFields, ()> = Node { header: Header::new(vtable::<NoFields, ()>), set: NoFields, owner: () };
    NonNull::from(&BARE).cast()
}

/// The same for loom, whose headers are made in a model.
#[cfg(loom)]
pub(super) fn bare_node() -> NonNull<Header> {
    // SAFETY: the tag is the `vtable` of the set and the owner.
    unsafe { Node::<NoFields, ()>::new_raw(vtable::<NoFields, ()>, ()) }
}

/// The functions of a [`HostOwner`] whose type is erased. One declaration has several types of nodes, so functions for
/// each type of owner alone compile faster.
///
/// # Safety
///
/// A call requires a pointer to the owner, and the conditions of the method of [`HostOwner`].
#[repr(C)]
pub(super) struct OwnerVTable {
    is_gone: unsafe fn(NonNull<()>, usize) -> bool,
    set_counted: unsafe fn(NonNull<()>, usize, bool),
    upgrade: unsafe fn(NonNull<()>, usize, &mut dyn Any),
}

impl OwnerVTable {
    const fn of<O: HostOwner>() -> Self {
        Self {
            is_gone: |owner, key| {
                // SAFETY: by the contract the pointer is to a live `O`.
                let owner = unsafe { owner.cast::<O>().as_ref() };
                // SAFETY: the call has the conditions of the method.
                unsafe { owner.is_gone(key) }
            },
            set_counted: |owner, key, is_counted| {
                // SAFETY: by the contract the pointer is to a live `O`.
                let owner = unsafe { owner.cast::<O>().as_ref() };
                // SAFETY: the call has the conditions of the method.
                unsafe { owner.set_counted(key, is_counted) };
            },
            upgrade: |owner, key, hosts| {
                // SAFETY: by the contract the pointer is to a live `O`.
                let owner = unsafe { owner.cast::<O>().as_ref() };
                // SAFETY: the call has the conditions of the method.
                unsafe { owner.upgrade(key, hosts) };
            },
        }
    }
}

/// One field set on the heap. `repr(C)` puts the header first, as N1 requires, and the set at an offset that does not
/// depend on the owner.
#[repr(C)]
pub(super) struct Node<S, O> {
    header: Header,
    set: S,
    owner: O,
}

/// The state of the host in a first node, besides the key of the host in a side table.
///
/// # Safety
///
/// If `is_gone` returns `true`, no thread can borrow the host, now or later, and all uses of the host happen before the
/// return.
pub(crate) unsafe trait HostOwner: Send + Sync + 'static {
    /// Whether the host is gone.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host, and `release` was not called.
    unsafe fn is_gone(&self, key: usize) -> bool;

    /// Releases the host.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host. After the call, the owner is only dropped.
    unsafe fn release(&self, key: usize);

    /// Gives up the weak count that the owner has of the host, or takes the count again.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host, and `release` was not called. The host has an `Arc` during the call, and as long
    /// as the count is given up. Calls with `false` and with `true` alternate, and begin with `false`; no thread calls
    /// another function but `is_gone` in between.
    unsafe fn set_counted(&self, key: usize, is_counted: bool);

    /// Pushes an `Arc` of the host to `hosts`, if `hosts` is a `Vec` of such `Arc`s, and the host is alive. Allocates
    /// only if the capacity of `hosts` does not suffice.
    ///
    /// # Safety
    ///
    /// `key` is the key of the host, `release` was not called, and the weak count is not given up.
    unsafe fn upgrade(&self, key: usize, hosts: &mut dyn Any);
}

/// No state: the holder of the root decides when the host is gone.
// SAFETY: `is_gone` never returns `true`.
unsafe impl HostOwner for () {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        false
    }

    unsafe fn release(&self, _key: usize) {}

    unsafe fn set_counted(&self, _key: usize, _is_counted: bool) {}

    unsafe fn upgrade(&self, _key: usize, _hosts: &mut dyn Any) {}
}

/// The type tag of a node of `S` and `O`.
#[inline(never)]
pub(super) fn vtable<S: FieldSet + 'static, O: HostOwner>() -> &'static VTable {
    const { &VTable::of::<S, O>(None) }
}

/// The type tag of a node of `S` and `O` with the first-ready flag.
#[inline(never)]
pub(super) fn vtable_first_ready<S: FieldSet + 'static, O: HostOwner>() -> &'static VTable {
    const { &VTable::of::<S, O>(Some(vtable::<S, O>)) }
}

/// The type test of `S`.
#[inline(never)]
pub(super) fn type_test<S: FieldSet + 'static>(set: TypeId, fields: *const Field) -> bool {
    ptr::eq(fields, S::fields().as_ptr()) && set == TypeId::of::<S>()
}

/// Calls a type test with the identity of `S`.
pub(super) fn type_query<S: FieldSet + 'static>(type_test: TypeTest) -> bool {
    type_test(TypeId::of::<S>(), S::fields().as_ptr())
}

impl VTable {
    const fn of<S: FieldSet + 'static, O: HostOwner>(without_first_ready: Option<VTableFn>) -> Self {
        Self {
            type_test: Some(type_test::<S>),
            hash: hash_of::<S>,
            without_first_ready,
            owner_offset: offset_of!(Node<S, O>, owner),
            owner: Some(const { &OwnerVTable::of::<O>() }),
            is_gone,
            set_counted,
            upgrade,
            detach: detach::<S>,
            attached: attached::<S>,
            clone: if S::CLONE_CARRIED.is_some() { Some(clone_node::<S>) } else { None },
            destroy: destroy::<S, O>,
            free_table: None,
        }
    }
}

// SAFETY: `tag` is accessed atomically, or while no thread stores a tag: see the field.
unsafe impl Sync for Header {}

// A panic leaves no broken invariant: a tag is stored in one step, and both tags of a node are valid.
impl RefUnwindSafe for Header {}

impl Header {
    #[cfg(not(loom))]
    pub(super) const fn new(tag: VTableFn) -> Self {
        Self { tag: UnsafeCell::new(tag) }
    }

    #[cfg(loom)]
    pub(super) fn new(tag: VTableFn) -> Self {
        let made = crate::sync::UnsafeCell::new(());
        made.with_mut(|_| ());
        Self { tag: UnsafeCell::new(tag), made }
    }

    /// Whether the type tag is `tag`. A `false` does not prove another vtable.
    #[inline]
    pub(super) fn has_tag(&self, tag: VTableFn) -> bool {
        #[cfg(loom)]
        self.made.with(|_| ());
        // SAFETY: `self` is a reference, so the place is valid for reads. No thread stores a tag during a search.
        let found = unsafe { *self.tag.get() };
        ptr::fn_addr_eq(found, tag)
    }

    /// A second [`has_tag`](Self::has_tag) with another tag. The volatile load keeps the tag of the first comparison
    /// out of a register: the compiler gives each comparison a memory operand, which takes one instruction.
    #[inline]
    pub(super) fn has_tag_volatile(&self, tag: VTableFn) -> bool {
        // SAFETY: `self` is a reference, so the place is valid for reads. No thread stores a tag during a search.
        let found = unsafe { ptr::read_volatile(self.tag.get()) };
        ptr::fn_addr_eq(found, tag)
    }

    /// The vtable of the node or table.
    pub(super) fn vtable(&self) -> &'static VTable {
        #[cfg(loom)]
        self.made.with(|_| ());
        // Relaxed: both tags of a node are of one vtable, but for the flag.
        let tag = self.atomic_tag().load(Ordering::Relaxed);
        // SAFETY: the word is a `VTableFn`: `new`, `clear_first_ready` and `detach` store no other.
        let tag = unsafe { mem::transmute::<*mut (), VTableFn>(tag) };
        tag()
    }

    /// The tag as an atomic.
    fn atomic_tag(&self) -> &AtomicPtr<()> {
        // SAFETY: the place of a function pointer has the size and the alignment of an `AtomicPtr`, and lives as long
        // as `self`. Accesses without an atomic do not race with a store.
        unsafe { AtomicPtr::from_ptr(self.tag.get().cast()) }
    }

    /// Clears the first-ready flag, if the node has the flag.
    pub(super) fn clear_first_ready(&mut self) {
        let tag = self.tag.get_mut();
        *tag = tag().without_first_ready.unwrap_or(*tag);
    }
}

impl<S: FieldSet + 'static, O: HostOwner> Node<S, O> {
    /// An unpublished node of an empty set, with the type tag `tag`, as in N1. The set is initialised in place: a set
    /// may be larger than a stack, and a filled cell must not move (Q4).
    ///
    /// # Safety
    ///
    /// `tag` is the `vtable` or the `vtable_first_ready` of `S` and `O`.
    #[inline]
    pub(super) unsafe fn new_raw(tag: VTableFn, owner: O) -> NonNull<Header> {
        let node = NonNull::from(Box::leak(Box::<Self>::new_uninit())).cast::<Self>();
        // SAFETY: the pointer is to an allocation of the size of a node, so the field is in bounds.
        let set = unsafe { &raw mut (*node.as_ptr()).set };
        // SAFETY: `set` is aligned and valid for writes, and no other pointer to the allocation exists.
        unsafe { S::init(set) };
        // SAFETY: the pointer is to an allocation of the size of a node, so the field is in bounds.
        let its_owner = unsafe { &raw mut (*node.as_ptr()).owner };
        // SAFETY: `its_owner` is aligned and valid for writes, and no other pointer to the allocation exists.
        unsafe { its_owner.write(owner) };
        let header = node.cast();
        // SAFETY: a node begins with its header (`repr(C)`), and no other pointer to the allocation exists.
        unsafe { header.write(Header::new(tag)) };
        header
    }
}

/// The field set of a node.
///
/// # Safety
///
/// `header` is the header of a node of `S`, of any owner. The node lives for the lifetime `'host`.
#[inline]
pub(super) unsafe fn set<'host, S>(header: NonNull<Header>) -> &'host S {
    // SAFETY: by the contract `header` is that of a live node of `S`. The layout before the owner is the same for every
    // owner.
    let node = unsafe { header.cast::<Node<S, ()>>().as_ref() };
    &node.set
}

/// The field set of a node, exclusively.
///
/// # Safety
///
/// `header` is the header of a node of `S`, of any owner. The node lives for the lifetime `'host`, without another
/// reference.
#[inline]
pub(super) unsafe fn set_mut<'host, S>(header: NonNull<Header>) -> &'host mut S {
    // SAFETY: by the contract the node is live and has no other reference. The layout before the owner is always the
    // same.
    let node = unsafe { header.cast::<Node<S, ()>>().as_mut() };
    &mut node.set
}

/// The owner of a node, and the functions of the owner.
///
/// # Safety
///
/// `header` is the header of a live node.
unsafe fn owner_of(header: NonNull<Header>) -> Option<(NonNull<()>, &'static OwnerVTable)> {
    // SAFETY: by the contract the header is live.
    let vtable = unsafe { header.as_ref() }.vtable();
    // SAFETY: by N1 the pointer covers the whole node, and `of` has taken the offset of this node's type.
    let owner = unsafe { header.cast::<()>().byte_add(vtable.owner_offset) };
    vtable.owner.map(|functions| (owner, functions))
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn is_gone(header: NonNull<Header>, key: usize) -> bool {
    // SAFETY: by the contract `header` is the start of a live node.
    let Some((owner, functions)) = (unsafe { owner_of(header) }) else { return false };
    // SAFETY: by the contract `key` is the key of the host. Only `destroy` releases the owner, and then frees the node;
    // the node is live, so the owner was not released.
    unsafe { (functions.is_gone)(owner, key) }
}

/// # Safety
///
/// As for [`VTable`], and [`HostOwner::set_counted`].
unsafe fn set_counted(header: NonNull<Header>, key: usize, is_counted: bool) {
    // SAFETY: by the contract `header` is the start of a live node.
    if let Some((owner, functions)) = unsafe { owner_of(header) } {
        // SAFETY: the contract has the conditions of `HostOwner::set_counted`.
        unsafe { (functions.set_counted)(owner, key, is_counted) };
    }
}

/// # Safety
///
/// As for [`VTable`], and [`HostOwner::upgrade`].
unsafe fn upgrade(header: NonNull<Header>, key: usize, hosts: &mut dyn Any) {
    // SAFETY: by the contract `header` is the start of a live node.
    if let Some((owner, functions)) = unsafe { owner_of(header) } {
        // SAFETY: the contract has the conditions of `HostOwner::upgrade`.
        unsafe { (functions.upgrade)(owner, key, hosts) };
    }
}

/// # Safety
///
/// As for [`VTable`]. No other thread uses the set of the node during the call; other threads only call `is_gone`.
unsafe fn detach<S: FieldSet>(header: NonNull<Header>, panics: &mut Panics) -> usize {
    // SAFETY: by N1 the header is live.
    let shared = unsafe { header.as_ref() };
    if let Some(tag) = shared.vtable().without_first_ready {
        // N4: the first cell becomes empty. Relaxed: `is_gone` may load either tag, and the caller orders later
        // searches.
        shared.atomic_tag().store(tag as *mut (), Ordering::Relaxed);
    }
    // SAFETY: by the contract the node is live, so the field is in bounds. The layout before the owner is the same for
    // every owner.
    let set = unsafe { &raw mut (*header.cast::<Node<S, ()>>().as_ptr()).set };
    // SAFETY: by the contract no other thread uses the set. `is_gone` borrows the owner and the header alone.
    let set = unsafe { &mut *set };
    let (mut fields, mut detached) = (S::fields().iter(), 0);
    set.each_mut(&mut |cell| {
        if let Some(field) = fields.next() {
            detached += usize::from(cell.is_attached());
            cell.destroy(field, panics);
        }
    });
    detached
}

/// # Safety
///
/// As for [`VTable`].
unsafe fn attached<S: FieldSet>(header: NonNull<Header>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: by the contract `header` is the header of a live node of `S`.
    let set = unsafe { set::<S>(header) };
    let mut fields = S::fields().iter();
    set.each(&mut |cell| {
        if let Some(field) = fields.next().filter(|_| cell.is_attached()) {
            visit(field.name());
        }
    });
}

/// # Safety
///
/// As for [`VTable`]. No other reference to the node exists, now or later.
unsafe fn destroy<S: FieldSet, O: HostOwner>(header: NonNull<Header>, key: usize, panics: &mut Panics) {
    // SAFETY: by N1 the node was allocated by `Box`. By the contract no other reference exists.
    let mut node = unsafe { Box::from_raw(header.cast::<Node<S, O>>().as_ptr()) };
    let mut fields = S::fields().iter();
    node.set.each_mut(&mut |cell| {
        if let Some(field) = fields.next() {
            cell.destroy(field, panics);
        }
    });
    // SAFETY: by the contract `key` is the key of the host. The node, and the owner in the node, is dropped next.
    unsafe { node.owner.release(key) };
}
