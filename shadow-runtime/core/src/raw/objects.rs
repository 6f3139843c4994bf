//! The kinds of each object's fields: for [`detach_object`](super::detach_object), and as the lock of an object's
//! writers.
//!
//! In: an address. Out: the object's lock, and the kinds of the object's fields. Readers do not use this module: a
//! reader looks into the table of one kind (`table.rs`). Neighbours: `table.rs`, which locks an object for each attach
//! and detach; `kind.rs`, the kinds.
//!
//! Fields come and go under the lock of their object. A writer takes this lock before the lock of a table's shard. So
//! the lists here and the tables agree under the object's lock (F2 of `table.rs`).
//!
//! The kinds of an object are an intrusive list of boxes. The list's first box is a node of a digital search tree: at
//! depth n, bit n of the address' hash selects the left or the right child. A leaf of the node's subtrees replaces a
//! removed node. So neither insertion nor removal allocates. The global allocator may be user code and runs under no
//! lock (R4): an attach allocates the box before the lock, and a detach frees the box after the unlock (R7).
//!
//! - **F3** Every box of a tree or a list was given up by `Box::leak`, and is in one list once, or a tree's node once.
//!   The lock of a tree guards all its boxes, their lists included. A thread that unlinks a box owns the box.

use std::ptr::NonNull;

use crate::raw::kind::Kind;
use crate::side_table::hash;
use crate::sync::{Locked, Mutex, array_of, lock as lock_mutex, shared};

const SHARDS: usize = 64;

shared! {
    static OBJECTS: [Mutex<Tree>; SHARDS] = array_of!(SHARDS, Mutex::new(Tree { root: None }));
}

type Link = Option<NonNull<Listed>>;

/// The fields of the objects of one shard, and the lock of these objects.
struct Tree {
    root: Link,
}

/// One field of an object: a box in the object's list.
pub(super) struct Listed {
    kind: &'static Kind,
    address: usize,
    /// The next box of the object.
    next: Link,
    /// The subtrees, in the first box of an object.
    children: [Link; 2],
}

/// The lock of an object: the right to attach and detach the object's fields.
pub(super) struct Object {
    address: usize,
    tree: Locked<'static, Tree>,
}

/// Fields after the removal from their tables, under no lock. The drop of a [`Taken`] drops the field's value.
pub(super) struct AllTaken {
    next: Link,
}

/// A field after the removal from its table. The drop, under no lock, drops the field's value.
pub(super) struct Taken {
    pub(super) kind: &'static Kind,
    address: usize,
    value: NonNull<()>,
}

// SAFETY: by F3 the tree owns its boxes. A box has an address, a reference to a kind, which is `Sync`, and links.
unsafe impl Send for Tree {}

pub(super) fn lock(address: usize) -> Object {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    let shard = hash(address) as usize % SHARDS;
    Object { address, tree: lock_mutex(&OBJECTS[shard]) }
}

impl Listed {
    /// A box's content; the caller allocates the box before the object's lock.
    pub(super) fn new(kind: &'static Kind, address: usize) -> Self {
        Self { kind, address, next: None, children: [None; 2] }
    }
}

impl Tree {
    /// The link to the object's first box, or the vacant link where the box would be.
    fn link(&mut self, address: usize) -> &mut Link {
        let mut link = &mut self.root;
        let mut bits = hash(address);
        while let Some(mut seen) = *link {
            // SAFETY: by F3 the pointer is a box of this tree, which is borrowed exclusively.
            let seen = unsafe { seen.as_mut() };
            if seen.address == address {
                break;
            }
            // The low bits of the hash select the shard, so the tree starts at the high bits. Objects with equal hashes
            // form a chain of left children.
            link = &mut seen.children[usize::from(bits >> 63 == 1)];
            bits <<= 1;
        }
        link
    }

    /// Unlinks the first box of an object, with its list, and puts a leaf of the box's subtrees in its place.
    fn unlink(&mut self, address: usize) -> Link {
        let mut first = (*self.link(address))?;
        let mut leaf = first;
        let mut above: Option<(NonNull<Listed>, usize)> = None;
        // SAFETY: by F3 the pointer is a box of this tree, which is borrowed exclusively.
        while let Some(side) = unsafe { leaf.as_ref() }.children.iter().position(Option::is_some) {
            above = Some((leaf, side));
            // SAFETY: by F3 `leaf` is a box of this tree, which is borrowed exclusively.
            leaf = unsafe { leaf.as_ref() }.children[side].expect("it is that side");
        }
        let Some((mut above, side)) = above else {
            *self.link(address) = None;
            return Some(first);
        };
        // SAFETY: by F3 `above` is a box of this tree, which is borrowed exclusively; no other reference is alive.
        unsafe { above.as_mut() }.children[side] = None;
        // SAFETY: by F3 `first` is a box of this tree, which is borrowed exclusively; no other reference is alive. The
        // leaf is no longer among the children.
        let children = std::mem::take(&mut unsafe { first.as_mut() }.children);
        // SAFETY: by F3 `leaf` is a box of this tree, which is borrowed exclusively; no other reference is alive.
        unsafe { leaf.as_mut() }.children = children;
        *self.link(address) = Some(leaf);
        Some(first)
    }
}

impl Object {
    pub(super) fn add(&mut self, listed: Box<Listed>) {
        let new = NonNull::from(Box::leak(listed));
        let link = self.tree.link(self.address);
        match link {
            None => *link = Some(new),
            Some(first) => {
                // SAFETY: by F3 the pointer is a box of the tree, whose lock is held; no other reference is alive.
                let second = unsafe { first.as_mut() }.next.replace(new);
                // SAFETY: this call has just leaked the box `new` (F3), and no other reference to the box is alive.
                unsafe { &mut *new.as_ptr() }.next = second;
            }
        }
    }

    /// Unlinks a kind. The caller frees the box after the unlock.
    pub(super) fn remove(&mut self, kind: &Kind) -> Option<Box<Listed>> {
        let link = self.tree.link(self.address);
        let mut first = (*link)?;
        // SAFETY: by F3 the pointer is a box of the tree, whose lock is held; no other reference is alive.
        let seen = unsafe { first.as_mut() };
        let gone = if seen.kind.number != kind.number {
            take_out(&mut seen.next, kind)?
        } else if let Some(mut second) = seen.next.take() {
            // SAFETY: by F3 `second` is a box of the tree, whose lock is held, and a different box from `first`.
            unsafe { second.as_mut() }.children = std::mem::take(&mut seen.children);
            *link = Some(second);
            first
        } else {
            self.tree.unlink(self.address)?
        };
        // SAFETY: by F3 the pointer comes from a box, and this thread has just unlinked the box.
        Some(unsafe { Box::from_raw(gone.as_ptr()) })
    }

    /// Removes all fields of the object from their tables.
    pub(super) fn take_all(mut self) -> AllTaken {
        let first = self.tree.unlink(self.address);
        let mut next = first;
        while let Some(mut seen) = next {
            // SAFETY: by F3 the pointer is a box of a list that this thread has unlinked.
            let listed = unsafe { seen.as_mut() };
            // An unlinked box has no children, so the first child link now stores the removed value.
            listed.children[0] = listed.kind.take(self.address).map(NonNull::cast);
            next = listed.next;
        }
        AllTaken { next: first }
    }
}

/// Unlinks a kind from the list behind `link`.
fn take_out(mut link: &mut Link, kind: &Kind) -> Link {
    while let Some(mut seen) = *link {
        // SAFETY: by F3 the pointer is a box of a list that the caller has borrowed exclusively.
        let seen = unsafe { seen.as_mut() };
        if seen.kind.number == kind.number {
            return std::mem::replace(link, seen.next);
        }
        link = &mut seen.next;
    }
    None
}

impl Iterator for AllTaken {
    type Item = Taken;

    fn next(&mut self) -> Option<Taken> {
        // SAFETY: by F3 the pointer comes from a box of a list that `take_all` has unlinked. The iterator passes each
        // box once.
        let listed = unsafe { Box::from_raw(self.next?.as_ptr()) };
        let Listed { kind, address, next, children: [value, _] } = *listed;
        self.next = next;
        let value = value.expect("by F2 the table of a listed kind has a value").cast();
        Some(Taken { kind, address, value })
    }
}

impl Drop for AllTaken {
    fn drop(&mut self) {
        self.for_each(drop);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: `take_all` has removed the value from this kind's table for this address, and only this drop ends the
        // value.
        unsafe { self.kind.end(self.address, self.value) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::Location;

    use super::*;
    use crate::fewer::fewer;
    use crate::policy::Policy;
    use crate::raw::kind::{self, Wanted};
    use crate::raw::once::Onces;

    /// Compares a tree with a set of addresses and numbers.
    #[test]
    fn what_a_tree_has_is_what_was_added_and_not_removed() {
        const ADDRESSES: usize = fewer(700, 10);
        let kinds = [101, 102, 103].map(|number| {
            let wanted = Wanted::new::<u8>(Policy::GetOrAttach, Location::caller());
            kind::name::<Onces<u8>>(number, wanted).expect("no other test has these numbers").kind
        });
        let mut expected = BTreeSet::new();
        let mut state = 1_usize;
        for _ in 0..fewer(20_000, 150) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few addresses, so that trees become empty again; and high addresses, which no other test uses.
            let (address, kind) = ((1 << 40) + 16 * ((state >> 40) % ADDRESSES), kinds[(state >> 33) % 3]);
            let listed = Box::new(Listed::new(kind, address));
            if expected.insert((address, kind.number)) {
                lock(address).add(listed);
            } else {
                let gone = lock(address).remove(kind);
                assert_eq!(gone.map(|gone| (gone.address, gone.kind.number)), Some((address, kind.number)));
                expected.remove(&(address, kind.number));
                let again = lock(address).remove(kind);
                assert!(again.is_none());
            }
        }
        for (address, number) in expected {
            let kind = kinds.into_iter().find(|kind| kind.number == number).expect("one of the three");
            let gone = lock(address).remove(kind);
            assert!(gone.is_some(), "lost");
        }
        for object in 0..ADDRESSES {
            assert!(lock((1 << 40) + 16 * object).tree.link((1 << 40) + 16 * object).is_none());
        }
    }
}
