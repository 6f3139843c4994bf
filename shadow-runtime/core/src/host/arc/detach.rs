//! The end of all fields of a living `Arc` host: `detach_all` of the registry.
//!
//! In: a `&mut Arc`. Out: an empty host, and the number of dropped values; or nothing, if the `Arc` is not the only
//! reference. Neighbours: `mod.rs`, the table; `weak.rs`, the `Weak` of an entry; `fields/root.rs`, the nodes.
//!
//! # Why no thread uses the fields
//!
//! A `&V` borrows an `Arc` of its host. So a thread may drop the values if its `Arc` is the only one, now and until the
//! end of the call. `Arc::get_mut` decides this, except that the entry owns a `Weak`. A comparison of the counts does
//! not decide: between two loads, a `Weak` of the program may become an `Arc`. So this file gives up the weak counts of
//! the entry, calls `get_mut`, and takes the counts again. The allocation stays, since the caller has an `Arc`.
//! Meanwhile:
//!
//! - Lookups of the host, attaches and drops by others need an `Arc` of the host, and there is no other. `get_mut`
//!   acquires the drops of former `Arc`s, so all former uses happen before.
//! - The registry's iteration (`hosts.rs`) makes an `Arc` from the entry's `Weak`, under the lock of the shard. So the
//!   counts are given up under this lock. Before the unlock, the entry gets the root of a bare node, of which the
//!   iteration makes no `Arc`. After the drop of the values, the entry gets its root back.
//! - A look of a sweep loads the counts, and finds the strong count 1. A look by the table
//!   (`is_dead_by_table`) takes no lock, and may still use the root that the entry had before: the look loads the type
//!   tag and borrows the owner, both of which `RootPtr::detach` allows.
//!
//! The nodes and the entry stay, so the next attach allocates nothing for the host. The log keeps its entry (G1).

use crate::fields::RootPtr;
use crate::host::arc::{TABLE, key_of};
use crate::panics::Panics;
use crate::registry::Registry;
use crate::side_table::hash;
use crate::sync::Arc;

impl Registry {
    /// Drops all values of an `Arc` host whose only reference is `host`. Returns the number of dropped values.
    ///
    /// Afterwards the host is as before the first attach: a pool may hand out the same `Arc` again. The fields of the
    /// host keep their memory for the next attach. A field that is embedded in the object, as of a struct that derives
    /// `Shadow` or of a [`Shadowed`](crate::Shadowed), stays: `Arc::get_mut` leads to the field.
    ///
    /// Returns `None`, and drops nothing, if the program has a second `Arc` or a `Weak` of the object: a second owner
    /// may hold a reference to a value. While another thread iterates over [`hosts`](Self::hosts), the iteration may
    /// be the second owner for a moment.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{registry, shadow};
    ///
    /// struct Buffer;
    ///
    /// shadow! { trait BufferFields for Arc<Buffer> { attach user: String; get_or_attach hits: u64; } }
    ///
    /// let mut buffer = Arc::new(Buffer);
    /// buffer.attach_user("alice".to_owned()).unwrap();
    /// buffer.hits();
    ///
    /// let second = Arc::clone(&buffer);
    /// assert_eq!(registry().detach_all(&mut buffer), None);
    /// drop(second);
    /// assert_eq!(registry().detach_all(&mut buffer), Some(2));
    /// buffer.attach_user("bob".to_owned()).unwrap();
    /// ```
    ///
    /// The call locks a part of the side table for a moment, twice. Destructors run under no lock.
    ///
    /// # Panics
    ///
    /// If destructors panic: the first panic is raised again after the last destructor has run.
    #[cfg_attr(all(test, loom), expect(private_interfaces, reason = "the `Arc` of the models"))]
    pub fn detach_all<T: ?Sized + Send + Sync + 'static>(self, host: &mut Arc<T>) -> Option<usize> {
        detach_all(host)
    }
}

/// The entry of a host that has the root of a bare node meanwhile. The drop gives the entry its root back.
struct Lent {
    key: usize,
    hash: u64,
    root: RootPtr,
}

impl Drop for Lent {
    fn drop(&mut self) {
        TABLE.shard(self.hash).lock().replace(self.key, self.hash, self.root.into_raw());
    }
}

/// Drops all values of a host, if `host` is the only reference.
fn detach_all<T: ?Sized + Send + Sync + 'static>(host: &mut Arc<T>) -> Option<usize> {
    let (key, hash) = (key_of(host), hash(key_of(host)));
    let bare = RootPtr::bare().into_raw();
    let mut shard = TABLE.shard(hash).lock();
    let Some(root) = shard.find(key, hash).map(RootPtr::from_raw) else {
        return Arc::get_mut(host).map(|_| 0);
    };
    // SAFETY: by A1 the entry, and by A2 the nodes, stay while the caller has an `Arc`. The counts are given up under
    // the lock, and taken again below. Only `is_gone` runs without the lock and without an `Arc`.
    unsafe { root.set_counted(key, false) };
    let is_only = Arc::get_mut(host).is_some();
    // SAFETY: the call before has given the counts up, and the caller has an `Arc`.
    unsafe { root.set_counted(key, true) };
    if !is_only {
        return None;
    }
    shard.replace(key, hash, bare);
    drop(shard);
    let lent = Lent { key, hash, root };
    let mut panics = Panics::none();
    // SAFETY: the nodes stay, as above. `host` was the only reference, and is borrowed exclusively; by the header no
    // thread makes a second one, so no thread uses the fields.
    let detached = unsafe { root.detach(&mut panics) };
    drop(lent);
    panics.raise();
    Some(detached)
}
