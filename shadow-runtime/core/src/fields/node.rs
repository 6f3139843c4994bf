//! One field set on the heap, and how it is known what it is.
//!
//! In: a field set's type, and what the node knows of its host. Out: the node, by a [`Link`], whatever its type. The
//! design of a host's memory, with invariants N1 to N5, is the header of `head.rs`.
//!
//! # How a node is known
//!
//! A link has a function that says what the node is, and the function's address is the type tag: a reader compares it
//! first, by one instruction. Equal addresses are one function, and so one field set. Different addresses prove
//! nothing, since every crate may have a copy of its own; then the functions are asked (`is_of`). It is a function and
//! no table of functions, since of those there may be a copy in every piece that a crate is compiled in.
//!
//! For each set and owner there are two such functions, of which one says that the node is marked (N4). They answer
//! differently, so no compiler makes one of the two. A list has beside each node another function, which is the same
//! whatever the owner, and whether it is marked or not, and stands for the set in the same way.
//!
//! None of these is inlined: the compiler would copy so small a function to wherever its address is taken.
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
//! the node's own image test, show and end a node. This asks for two things: images stay mapped, and images have one
//! version of this crate, so that `Link`, `Kind` and `List`, all `repr(C)`, have one layout.

use std::any::TypeId;
use std::ptr::{self, NonNull};

use crate::field_set::FieldSet;
use crate::panics::Panics;
use crate::registry::Field;

/// What every node and list begins with.
#[repr(C)]
pub(crate) struct Link {
    kind: KindOf,
    /// Written where the link is made, and read where it is looked at.
    #[cfg(loom)]
    made: crate::sync::UnsafeCell<()>,
}

/// What comes after a link. Whoever has a host's first node or list has a pointer to this, since mostly a field set
/// begins right there: to read what the set begins with, nothing has to be added to it.
pub(crate) struct AfterLink {
    _of: Link,
}

/// Says what a node is.
pub(super) type KindOf = fn() -> &'static Kind;

/// The type test of a node, of any owner, with or without the mark: compares the `TypeId` of a field set and the
/// address of its `fields` (see "Images").
pub(super) type IsOf = fn(TypeId, *const Field) -> bool;

/// Asks such a function whether it is of the field set that is looked for. So whoever looks passes two addresses, and
/// no type's number, which does not fit a register.
pub(super) type Ask = fn(IsOf) -> bool;

/// What a node is, and what is done with it when its type is not known. The pointers are to the link of such a node, as
/// N1 says, and the numbers are the key of its host in a side table.
#[repr(C)]
pub(super) struct Kind {
    /// None of a list.
    pub(super) is_of: Option<IsOf>,
    /// The same without the mark, if it has one.
    unmarked: Option<KindOf>,
    pub(super) is_gone: unsafe fn(NonNull<Link>, usize) -> bool,
    /// Shows the names of attached fields. Names, since the layout of a [`Field`] depends on the features of an image.
    pub(super) attached: unsafe fn(NonNull<Link>, &mut dyn FnMut(&'static str)),
    /// Ends the fields, lets go of the owner, and frees the node.
    pub(super) end: unsafe fn(NonNull<Link>, usize, &mut Panics),
}

/// One field set on the heap. `repr(C)` puts the link first, where N1 says it is, and the set where it is whatever the
/// owner.
#[repr(C)]
pub(super) struct Node<S, O> {
    link: Link,
    set: S,
    owner: O,
}

/// What a first node knows of its host, besides the key by which a side table has it.
///
/// # Safety
///
/// If `is_gone` says so, nobody can borrow the host, now or later, and whatever was done with it happens before.
pub(crate) unsafe trait Owner: Send + Sync + 'static {
    /// Whether the host is gone.
    ///
    /// # Safety
    ///
    /// `key` is that of the host, and this was not released.
    unsafe fn is_gone(&self, key: usize) -> bool;

    /// Lets go of the host.
    ///
    /// # Safety
    ///
    /// `key` is that of the host. This is not used any more, but for its drop.
    unsafe fn release(&self, key: usize);
}

/// Nothing: whoever has the head says when the host is gone.
// SAFETY: it never says so.
unsafe impl Owner for () {
    unsafe fn is_gone(&self, _key: usize) -> bool {
        false
    }

    unsafe fn release(&self, _key: usize) {}
}

/// The kind of a node of `S` and `O`.
#[inline(never)]
pub(super) fn kind<S: FieldSet + 'static, O: Owner>() -> &'static Kind {
    const { &Kind::of::<S, O>(None) }
}

/// The kind of the same node with the mark.
#[inline(never)]
pub(super) fn marked<S: FieldSet + 'static, O: Owner>() -> &'static Kind {
    const { &Kind::of::<S, O>(Some(kind::<S, O>)) }
}

/// Says so of nodes of `S`, whose lists know them by the address of this.
#[inline(never)]
pub(super) fn is_of<S: FieldSet + 'static>(set: TypeId, fields: *const Field) -> bool {
    ptr::eq(fields, S::fields().as_ptr()) && set == TypeId::of::<S>()
}

/// Asks for `S`.
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

    /// That of a list.
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

    /// Whether it is known at a glance to be of this kind.
    #[inline]
    pub(super) fn is(&self, kind: KindOf) -> bool {
        #[cfg(loom)]
        self.made.with(|_| ());
        ptr::fn_addr_eq(self.kind, kind)
    }

    /// The same, for who has asked for another kind first. It looks into memory again, so that the compiler does so
    /// the first time, too, which takes one instruction and no register, and does not keep for both what it finds.
    #[inline]
    pub(super) fn is_after_all(&self, kind: KindOf) -> bool {
        // SAFETY: it is borrowed.
        let found = unsafe { ptr::read_volatile(&raw const self.kind) };
        ptr::fn_addr_eq(found, kind)
    }

    /// What it is the link of.
    pub(super) fn kind(&self) -> &'static Kind {
        #[cfg(loom)]
        self.made.with(|_| ());
        (self.kind)()
    }

    /// Takes the mark away, if there is one.
    pub(super) fn unmark(&mut self) {
        self.kind = self.kind().unmarked.unwrap_or(self.kind);
    }
}

impl<S: FieldSet + 'static, O: Owner> Node<S, O> {
    /// An unpublished node of this kind, by N1, of an empty set. The set is made in place: a set may be larger than a
    /// stack, and a filled cell must not move (Q4).
    #[inline]
    pub(super) fn make(kind: KindOf, owner: O) -> NonNull<Link> {
        let node = NonNull::from(Box::leak(Box::<Self>::new_uninit())).cast::<Self>();
        // SAFETY: there is memory for a node, of which this is a part.
        let set = unsafe { &raw mut (*node.as_ptr()).set };
        // SAFETY: as above, and nobody else has it.
        unsafe { S::init(set) };
        // SAFETY: there is memory for a node, of which this is a part.
        let its_owner = unsafe { &raw mut (*node.as_ptr()).owner };
        // SAFETY: as above, and nobody else has it.
        unsafe { its_owner.write(owner) };
        let link = node.cast();
        // SAFETY: a node begins with its link, and nobody else has it.
        unsafe { link.write(Link::new(kind)) };
        link
    }
}

/// # Safety
///
/// `link` is that of a node of `S`, whatever its owner, which lives during `'host`.
#[inline]
pub(super) unsafe fn set<'host, S>(link: NonNull<Link>) -> &'host S {
    // SAFETY: the caller says so; before the owner, all nodes of `S` look alike.
    let node = unsafe { link.cast::<Node<S, ()>>().as_ref() };
    &node.set
}

/// # Safety
///
/// As [`set`]; and nothing else refers to the node during `'host`.
#[inline]
pub(super) unsafe fn set_mut<'host, S>(link: NonNull<Link>) -> &'host mut S {
    // SAFETY: as in `set`, and the caller's promise.
    let node = unsafe { link.cast::<Node<S, ()>>().as_mut() };
    &mut node.set
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn is_gone<S, O: Owner>(link: NonNull<Link>, key: usize) -> bool {
    // SAFETY: the caller says that it is the start of such a node.
    let node = unsafe { link.cast::<Node<S, O>>().as_ref() };
    // SAFETY: the caller says whose key it is.
    unsafe { node.owner.is_gone(key) }
}

/// # Safety
///
/// As [`Kind`] says.
unsafe fn attached<S: FieldSet, O>(link: NonNull<Link>, visit: &mut dyn FnMut(&'static str)) {
    // SAFETY: the caller says that it is the start of such a node.
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
/// As [`Kind`] says; and nobody else has the node, now or later.
unsafe fn end<S: FieldSet, O: Owner>(link: NonNull<Link>, key: usize, panics: &mut Panics) {
    // SAFETY: by N1 it was made by `Box`; the caller says that it is nobody else's.
    let mut node = unsafe { Box::from_raw(link.cast::<Node<S, O>>().as_ptr()) };
    let mut fields = S::fields().iter();
    node.set.each_mut(&mut |cell| {
        if let Some(field) = fields.next() {
            cell.end(field, panics);
        }
    });
    // SAFETY: the caller says whose key it is.
    unsafe { node.owner.release(key) };
}
