//! One field set on the heap, and the type tags by which a search finds the set.
//!
//! In: the type of a field set, and what the node knows of its host. Out: the node, as a [`Link`] without the type. The
//! header of `head.rs` has the design of a host's memory and the invariants N1 to N5.
//!
//! # Type tags
//!
//! A link has a function that returns the vtable of the node, a [`Kind`]. The address of the function is the type tag,
//! which a reader compares by one instruction. Equal addresses are one function, and so one field set. Unequal
//! addresses prove nothing, since every crate may have its own copy of a generic function; then the search calls the
//! type tests (`is_of`). The tag is the address of a function, not of a vtable: each codegen unit of a crate may have
//! its own copy of a vtable.
//!
//! For each set and owner there are two such functions: `kind`, and `marked` for nodes with the mark (N4). The
//! functions return different vtables, so no compiler merges the functions. A list caches another tag for each node:
//! the address of the type test, which depends neither on the owner nor on the mark.
//!
//! None of these functions is inlined: an inline function has a copy in each codegen unit that takes its address.
//!
//! # Images
//!
//! A process may have several linked images, a program and loaded libraries, each with a copy of this runtime: with
//! separate hazard slots, seqlock turns and claims. So only the image that made a cell may use the cell. A `TypeId`
//! proves nothing across images: an edited and rebuilt library has the `TypeId`s of before, with other members of value
//! types, other policies and another order of declarations.
//!
//! The identity of a field set is therefore its `TypeId` *and* the address of `S::fields()`, a static of the
//! declaration and separate in each image. Neither suffices: all value types of a generic declaration share one static.
//! A search never finds the node of another image. The list of a host has the nodes of all images; only functions of
//! the node's own image test, show and destroy a node. The design has two conditions: images stay mapped, and images
//! have one version of this crate, so that `Link`, `Kind` and `List`, all `repr(C)`, have one layout.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::panics::Panics;
use crate::registry::Field;

/// The start of every node and of every list.
#[repr(C)]
pub(crate) struct Link {
    kind: KindOf,
    /// For loom: written at the initialisation of the link, and read at each access.
    #[cfg(loom)]
    made: crate::sync::UnsafeCell<()>,
}

/// The memory after a link. The root of a host points here, since the set of a node mostly begins here: a reader of the
/// first cell adds no offset.
pub(crate) struct AfterLink {
    _of: Link,
}

/// The type tag of a node or list: returns the vtable.
pub(super) type KindOf = fn() -> &'static Kind;

/// The type test of a node, of any owner, with or without the mark: compares the `TypeId` of a field set and the
/// address of its `fields` (see "Images").
pub(super) type IsOf = fn(TypeId, *const Field) -> bool;

/// Calls a type test with the identity of the requested field set. A search passes two function pointers, and no
/// `TypeId`, which does not fit in a register.
pub(super) type Ask = fn(IsOf) -> bool;

/// The vtable of a node or list, whose type is erased. The pointers are to the link of such a node or list, as in N1.
/// The numbers are the key of the host in a side table.
#[repr(C)]
pub(super) struct Kind {
    /// `None` for a list.
    pub(super) is_of: Option<IsOf>,
    /// The type tag without the mark, if this is the vtable of a marked node.
    unmarked: Option<KindOf>,
    pub(super) is_gone: unsafe fn(NonNull<Link>, usize) -> bool,
    /// Calls a function with the names of attached fields. Names, since the layout of a [`Field`] depends on the
    /// features of an image.
    pub(super) attached: unsafe fn(NonNull<Link>, &mut dyn FnMut(&'static str)),
    /// Drops the values of the fields, releases the owner, and frees the node.
    pub(super) end: unsafe fn(NonNull<Link>, usize, &mut Panics),
}

/// One field set on the heap. `repr(C)` puts the link first, as N1 requires, and the set at an offset that does not
/// depend on the owner.
#[repr(C)]
pub(super) struct Node<S, O> {
    link: Link,
    set: S,
    owner: O,
}

/// The state of the host in a first node, besides the key of the host in a side table.
///
/// # Safety
///
/// If `is_gone` returns `true`, no thread can borrow the host, now or later, and all uses of the host happen before the
/// return.
pub(crate) unsafe trait Owner: Send + Sync + 'static {
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
}

/// No state: the holder of the head decides when the host is gone.
// SAFETY: `is_gone` never returns `true`.
unsafe impl Owner for () {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        false
    }

    unsafe fn release(&self, _key: usize) {}
}

/// The type tag of a node of `S` and `O`.
#[inline(never)]
pub(super) fn kind<S: FieldSet + 'static, O: Owner>() -> &'static Kind {
    const { &Kind::of::<S, O>(None) }
}

/// The type tag of a node of `S` and `O` with the mark.
#[inline(never)]
pub(super) fn marked<S: FieldSet + 'static, O: Owner>() -> &'static Kind {
    const { &Kind::of::<S, O>(Some(kind::<S, O>)) }
}

/// The type test of `S`. The address is the cached tag in lists.
#[inline(never)]
pub(super) fn is_of<S: FieldSet + 'static>(set: TypeId, fields: *const Field) -> bool {
    ptr::eq(fields, S::fields().as_ptr()) && set == TypeId::of::<S>()
}

/// Calls a type test with the identity of `S`.
pub(super) fn ask<S: FieldSet + 'static>(is_of: IsOf) -> bool {
    is_of(TypeId::of::<S>(), S::fields().as_ptr())
}

impl Kind {
    const fn of<S: FieldSet + 'static, O: Owner>(unmarked: Option<KindOf>) -> Self {
        Self {
            is_of: Some(is_of::<S>),
            unmarked,
            is_gone: is_gone::<S, O>,
            attached: attached::<S, O>,
            end: end::<S, O>,
        }
    }

    /// The vtable of a list.
    pub(super) const fn of_list(
        is_gone: unsafe fn(NonNull<Link>, usize) -> bool,
        attached: unsafe fn(NonNull<Link>, &mut dyn FnMut(&'static str)),
        end: unsafe fn(NonNull<Link>, usize, &mut Panics),
    ) -> Self {
        Self { is_of: None, unmarked: None, is_gone, attached, end }
    }
}

impl Link {
    #[cfg(not(loom))]
    pub(super) const fn new(kind: KindOf) -> Self {
        Self { kind }
    }

    #[cfg(loom)]
    pub(super) fn new(kind: KindOf) -> Self {
        let made = crate::sync::UnsafeCell::new(());
        made.with_mut(|_| ());
        Self { kind, made }
    }

    /// Whether the type tag is `kind`. A `false` does not prove another kind.
    #[inline]
    pub(super) fn is(&self, kind: KindOf) -> bool {
        #[cfg(loom)]
        self.made.with(|_| ());
        ptr::fn_addr_eq(self.kind, kind)
    }

    /// A second [`is`](Self::is) with another tag. The volatile load keeps the tag of the first comparison out of a
    /// register: the compiler gives each comparison a memory operand, which takes one instruction.
    #[inline]
    pub(super) fn is_after_all(&self, kind: KindOf) -> bool {
        // SAFETY: `self` is a reference, so the field is valid for reads.
        let found = unsafe { ptr::read_volatile(&raw const self.kind) };
        ptr::fn_addr_eq(found, kind)
    }

    /// The vtable of the node or list.
    pub(super) fn kind(&self) -> &'static Kind {
        #[cfg(loom)]
        self.made.with(|_| ());
        (self.kind)()
    }

    /// Removes the mark, if the node has the mark.
    pub(super) fn unmark(&mut self) {
        self.kind = self.kind().unmarked.unwrap_or(self.kind);
    }
}

impl<S: FieldSet + 'static, O: Owner> Node<S, O> {
    /// An unpublished node of an empty set, with the type tag `kind`, as in N1. The set is initialised in place: a set
    /// may be larger than a stack, and a filled cell must not move (Q4).
    #[inline]
    pub(super) fn make(kind: KindOf, owner: O) -> NonNull<Link> {
        let node = NonNull::from(Box::leak(Box::<Self>::new_uninit())).cast::<Self>();
        // SAFETY: the pointer is to an allocation of the size of a node, so the field is in bounds.
        let set = unsafe { &raw mut (*node.as_ptr()).set };
        // SAFETY: `set` is aligned and valid for writes, and no other pointer to the allocation exists.
        unsafe { S::init(set) };
        // SAFETY: the pointer is to an allocation of the size of a node, so the field is in bounds.
        let its_owner = unsafe { &raw mut (*node.as_ptr()).owner };
        // SAFETY: `its_owner` is aligned and valid for writes, and no other pointer to the allocation exists.
        unsafe { its_owner.write(owner) };
        let link = node.cast();
        // SAFETY: a node begins with its link (`repr(C)`), and no other pointer to the allocation exists.
        unsafe { link.write(Link::new(kind)) };
        link
    }
}

/// The field set of a node.
///
/// # Safety
///
/// `link` is the link of a node of `S`, of any owner. The node lives for the lifetime `'host`.
#[inline]
pub(super) unsafe fn set<'host, S>(link: NonNull<Link>) -> &'host S {
    // SAFETY: by the contract `link` is that of a live node of `S`. The layout before the owner is the same for every
    // owner.
    let node = unsafe { link.cast::<Node<S, ()>>().as_ref() };
    &node.set
}

/// The field set of a node, exclusively.
///
/// # Safety
///
/// `link` is the link of a node of `S`, of any owner. The node lives for the lifetime `'host`, without another
/// reference.
#[inline]
pub(super) unsafe fn set_mut<'host, S>(link: NonNull<Link>) -> &'host mut S {
    // SAFETY: by the contract the node is live and has no other reference. The layout before the owner is always the
    // same.
    let node = unsafe { link.cast::<Node<S, ()>>().as_mut() };
    &mut node.set
}

/// # Safety
///
/// As for [`Kind`].
unsafe fn is_gone<S, O: Owner>(link: NonNull<Link>, key: usize) -> bool {
    // SAFETY: by the contract `link` is the start of a live node of `S` and `O`.
    let node = unsafe { link.cast::<Node<S, O>>().as_ref() };
    // SAFETY: by the contract `key` is the key of the host. The owner was not released, since the node is live.
    unsafe { node.owner.is_gone(key) }
}

/// # Safety
///
/// As for [`Kind`].
unsafe fn attached<S: FieldSet, O>(link: NonNull<Link>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: by the contract `link` is the start of a live node of `S` and `O`.
    let node = unsafe { link.cast::<Node<S, O>>().as_ref() };
    let mut fields = S::fields().iter();
    node.set.each(&mut |cell| {
        if let Some(field) = fields.next().filter(|_| cell.is_attached()) {
            visit(field.name());
        }
    });
}

/// # Safety
///
/// As for [`Kind`]. No other reference to the node exists, now or later.
unsafe fn end<S: FieldSet, O: Owner>(link: NonNull<Link>, key: usize, panics: &mut Panics) {
    // SAFETY: by N1 the node was allocated by `Box`. By the contract no other reference exists.
    let mut node = unsafe { Box::from_raw(link.cast::<Node<S, O>>().as_ptr()) };
    let mut fields = S::fields().iter();
    node.set.each_mut(&mut |cell| {
        if let Some(field) = fields.next() {
            cell.end(field, panics);
        }
    });
    // SAFETY: by the contract `key` is the key of the host. The node, and the owner in the node, is dropped next.
    unsafe { node.owner.release(key) };
}
