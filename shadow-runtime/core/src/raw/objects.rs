//! The numbers of each object's fields: for [`detach_object`](super::detach_object) and
//! [`DrainObject`](super::DrainObject), and as the lock of an object's writers.
//!
//! In: an address. Out: the object's lock, and the numbers of the object's fields. Readers do not use this module: a
//! reader looks into the table of one number (`table.rs`). Neighbours: `table.rs`, which locks an object for each
//! attach and detach; `ids.rs`, the registrations of numbers.
//!
//! Fields come and go under the lock of their object. A writer takes this lock before the lock of a table's shard. So
//! the lists here and the tables agree under the object's lock (F2 of `table.rs`).
//!
//! The numbers of an object are an intrusive list of boxes. The list's first box is a node of a digital search tree: at
//! depth n, bit n of the address' hash selects the left or the right child. A leaf of the node's subtrees replaces a
//! removed node. So neither insertion nor removal allocates. The global allocator may be user code and runs under no
//! lock (R4): an attach allocates the box before the lock, and a detach frees the box after the unlock (R7).
//!
//! - **F3** Every box of a tree or a list was given up by `Box::leak`, and is in one list once, or a tree's node once.
//!   The lock of a tree guards all its boxes, their lists included. A thread that unlinks a box owns the box.

use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::panics::Panics;
use crate::raw::ids::{Registration, ValueTable};
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
    registration: &'static Registration,
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

/// Fields after the removal from their tables, under no lock. The drop drops the values of the remaining fields.
pub(super) struct AllTaken {
    next: Link,
}

/// A field after the removal from its table. The drop, under no lock, drops the field's value.
pub(super) struct Taken {
    pub(super) registration: &'static Registration,
    address: usize,
    value: NonNull<()>,
}

// SAFETY: by F3 the tree owns its boxes. A box has an address, a reference to a registration, which is `Sync`, and
// links.
unsafe impl Send for Tree {}

pub(super) fn lock(address: usize) -> Object {
    #[expect(clippy::cast_possible_truncation, reason = "few bits are left")]
    let shard = hash(address) as usize % SHARDS;
    Object { address, tree: lock_mutex(&OBJECTS[shard]) }
}

impl Listed {
    /// A box's content; the caller allocates the box before the object's lock.
    pub(super) fn new(registration: &'static Registration, address: usize) -> Self {
        Self { registration, address, next: None, children: [None; 2] }
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

    /// Unlinks the box of a number. The caller frees the box after the unlock.
    pub(super) fn remove(&mut self, registration: &Registration) -> Option<Box<Listed>> {
        let link = self.tree.link(self.address);
        let mut first = (*link)?;
        // SAFETY: by F3 the pointer is a box of the tree, whose lock is held; no other reference is alive.
        let seen = unsafe { first.as_mut() };
        let gone = if seen.registration.number != registration.number {
            // SAFETY: by F3 the link belongs to a list of the tree, whose lock is held; no other reference is alive.
            unsafe { take_out(&mut seen.next, registration) }?
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

    /// Removes one field of the object from its table, and counts the detach.
    pub(super) fn take(mut self, registration: &'static Registration) -> Option<Taken> {
        let address = self.address;
        let value = registration.table.take(address)?;
        let listed = self.remove(registration);
        // The box is freed after the unlock (R4).
        drop(self);
        drop(listed);
        registration.field.counts().detached();
        Some(Taken { registration, address, value })
    }

    /// Removes all fields of the object with such a registration from their tables.
    pub(super) fn take_all(mut self, is_wanted: impl Fn(&'static Registration) -> bool) -> AllTaken {
        let (mut taken, mut kept) = (None, None);
        let mut next = self.tree.unlink(self.address);
        while let Some(mut seen) = next {
            // SAFETY: by F3 the pointer is a box of a list that this thread has unlinked.
            let listed = unsafe { seen.as_mut() };
            next = listed.next;
            let list = if is_wanted(listed.registration) {
                // An unlinked box has no children, so the first child link now stores the removed value.
                listed.children[0] = listed.registration.table.take(self.address).map(NonNull::cast);
                &mut taken
            } else {
                &mut kept
            };
            listed.next = list.replace(seen);
        }
        if kept.is_some() {
            *self.tree.link(self.address) = kept;
        }
        AllTaken { next: taken }
    }
}

/// Unlinks the box of a number from the list behind `link`.
///
/// # Safety
///
/// By F3 `link` leads to boxes of a list. No other thread and no other reference uses the boxes during the call.
unsafe fn take_out(mut link: &mut Link, registration: &Registration) -> Link {
    while let Some(mut seen) = *link {
        // SAFETY: by the contract the pointer is a box of a list, and no other reference uses the box.
        let seen = unsafe { seen.as_mut() };
        if seen.registration.number == registration.number {
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
        let Listed { registration, address, next, children: [value, _] } = *listed;
        self.next = next;
        let value = value.expect("by F2 the table of a listed registration has a value").cast();
        registration.field.counts().detached();
        Some(Taken { registration, address, value })
    }
}

impl AllTaken {
    /// Drops the values of the remaining fields, and returns their number.
    ///
    /// # Panics
    ///
    /// If a destructor panics: the first panic is raised again after the last destructor.
    pub(super) fn end(&mut self) -> usize {
        let mut panics = Panics::none();
        let mut count = 0;
        for taken in self {
            count += 1;
            panics.contain(&taken.registration.field, || drop(taken));
        }
        panics.raise();
        count
    }
}

impl Drop for AllTaken {
    fn drop(&mut self) {
        self.end();
    }
}

impl Taken {
    /// The value; or a clone, if the table is an `UpdateTable` and a reader is cloning the value. The caller knows that
    /// the table of the registration is a `T`.
    pub(super) fn into_value<T: ValueTable>(self) -> T::Value {
        let taken = ManuallyDrop::new(self);
        let known = taken.registration.typed::<T>().expect("the caller has asked for the type");
        // SAFETY: `take` or `take_all` has removed the value from this number's table for this address. Only this call
        // ends the value: the drop of the `Taken` does not run.
        unsafe { known.table.value_of(taken.address, taken.value) }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        // SAFETY: `take` or `take_all` has removed the value from this number's table for this address, and only this
        // drop ends the value.
        unsafe { self.registration.table.destroy(self.address, self.value) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::BTreeSet;
    use std::panic::Location;

    use super::*;
    use crate::fewer::fewer;
    use crate::policy::Policy;
    use crate::raw::ids::{self, IdType};
    use crate::raw::write_once::WriteOnceTable;

    /// Compares a tree with a set of addresses and numbers.
    #[test]
    fn a_tree_has_the_added_numbers_without_the_removed() {
        const ADDRESSES: usize = fewer(700, 10);
        // High addresses, which no other test uses.
        const FIRST: usize = usize::MAX << 20;
        let registrations = [101, 102, 103].map(|number| {
            let id_type = IdType::new::<u8>("Id", Policy::GetOrAttach, None, Location::caller());
            ids::register::<WriteOnceTable<u8>>(number, id_type).expect("no other test has these numbers").registration
        });
        let mut expected = BTreeSet::new();
        let mut state = 1_u64;
        for _ in 0..fewer(20_000, 150) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // Few addresses, so that trees become empty again.
            let random = |shift: u32| usize::try_from(state >> shift & 0xffff).expect("16 bits");
            let (address, registration) = (FIRST + 16 * (random(40) % ADDRESSES), registrations[random(33) % 3]);
            let listed = Box::new(Listed::new(registration, address));
            if expected.insert((address, registration.number)) {
                lock(address).add(listed);
            } else {
                let gone = lock(address).remove(registration);
                assert_eq!(
                    gone.map(|gone| (gone.address, gone.registration.number)),
                    Some((address, registration.number))
                );
                expected.remove(&(address, registration.number));
                let again = lock(address).remove(registration);
                assert!(again.is_none());
            }
        }
        for (address, number) in expected {
            let registration =
                registrations.into_iter().find(|registration| registration.number == number).expect("one of the three");
            let gone = lock(address).remove(registration);
            assert!(gone.is_some(), "lost");
        }
        for object in 0..ADDRESSES {
            let address = FIRST + 16 * object;
            assert!(lock(address).tree.link(address).is_none());
        }
    }
}
