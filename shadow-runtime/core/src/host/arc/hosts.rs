//! The iteration over the living `Arc` hosts: `hosts` of the registry.
//!
//! In: a type. Out: the `Arc`s of this type that the table has. Neighbours: `mod.rs`, the table; `weak.rs`, which makes
//! an `Arc` from the `Weak` of an entry.
//!
//! The iteration locks one shard at a time, makes an `Arc` for each entry of the type, unlocks the shard, and then
//! yields these `Arc`s. Under the lock, no `Arc` is dropped, and nothing is allocated: the iteration reserves room for
//! all entries of the shard before the lock, and again if the shard has grown meanwhile (R4). Under the lock, no entry
//! is removed, so the nodes live (A2); and the weak counts of entries are not given up (`detach.rs`).
//!
//! A key does not leave its shard. So the iteration yields a host at most once, and misses no host that the table has
//! from the begin to the end of the iteration.

use crate::fields::RootPtr;
use crate::host::arc::TABLE;
use crate::registry::Registry;
use crate::side_table::SHARDS;
use crate::sync::Arc;

impl Registry {
    /// The living `Arc<T>` hosts of this program, each once, in no particular order.
    ///
    /// A host is an `Arc` to which a field was attached, even if all its fields were detached again. The type of a host
    /// is the type of the `Arc` at the first attach: an `Arc<T>` that was an `Arc<dyn Trait>` then is found as an
    /// `Arc<dyn Trait>`. The iteration may miss a host whose first field is attached meanwhile. Embedded fields are not
    /// in the registry.
    ///
    /// The iterator holds an `Arc` for each host that it is about to yield, of at most a 128th part of all hosts. So
    /// `Arc::try_unwrap` elsewhere may fail meanwhile, and the last `Arc` of a host may be dropped in the loop. Nothing
    /// is locked between two hosts: the loop may attach, drop, sweep and iterate.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{registry, shadow};
    ///
    /// struct Client(u8);
    ///
    /// shadow! { trait ClientFields for Arc<Client> { get_or_update room: String; } }
    ///
    /// let clients = [1, 2, 3].map(|id| Arc::new(Client(id)));
    /// clients[0].update_room("lobby".to_owned());
    /// clients[1].update_room("lobby".to_owned());
    /// drop(clients);
    /// let [third, fourth] = [3, 4].map(|id| Arc::new(Client(id)));
    /// third.update_room("lobby".to_owned());
    /// fourth.update_room("garden".to_owned());
    ///
    /// let hosts = registry().hosts::<Client>();
    /// let in_lobby: Vec<u8> = hosts.filter(|client| client.room().as_deref() == Some("lobby")).map(|client| client.0).collect();
    /// assert_eq!(in_lobby, [3]);
    /// ```
    #[cfg_attr(all(test, loom), expect(private_interfaces, reason = "the `Arc` of the models"))]
    pub fn hosts<T: ?Sized + Send + Sync + 'static>(self) -> impl Iterator<Item = Arc<T>> {
        Hosts { next_shard: 0, found: Vec::new() }
    }
}

/// The hosts of one shard after another.
struct Hosts<T: ?Sized> {
    next_shard: usize,
    /// The hosts of the last shard that are not yielded yet.
    found: Vec<Arc<T>>,
}

impl<T: ?Sized + Send + Sync + 'static> Iterator for Hosts<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        loop {
            if let Some(host) = self.found.pop() {
                return Some(host);
            }
            if self.next_shard == SHARDS {
                return None;
            }
            let shard = TABLE.shard_at(self.next_shard);
            self.found.reserve(shard.entries());
            let locked = shard.lock();
            if shard.entries() <= self.found.capacity() {
                self.next_shard += 1;
                // SAFETY: the table has the entry as long as the shard is locked, so by A2 the nodes live. Weak counts
                // are given up under the lock alone.
                locked.each(|key, root| unsafe { RootPtr::from_raw(root).upgrade(key, &mut self.found) });
            }
        }
    }
}
