//! A walk over the keys of a shard, one key at a time, without an allocation. Between two keys the shard is unlocked.
//!
//! In: the last key of the walk. Out: the next key. Neighbours: `writer.rs`, the lock of a shard; `mod.rs`, with the
//! layout and T2.
//!
//! # Order
//!
//! A walk visits the keys in ascending order of their hashes, and keys with equal hashes in ascending order. The order
//! does not depend on the size of the array, so the last key is the whole state of a walk: the shard may grow, and
//! other keys may come and go, between two steps. Each step returns the least key that follows the last key. So a walk
//! visits each key that is in the shard during the whole walk exactly once, and no key twice.
//!
//! The home group of a key is made of the high bits of the hash (`array.rs`). So the keys of a home group precede the
//! keys of the next home group, and a step starts at the home group of the last key.
//!
//! # Cost
//!
//! A step holds the lock, and looks at the probe sequence of each home group from the last key's to the next key's. So
//! a walk looks at each group of the array, and at the probe sequence of each key. A step through vacant groups alone
//! loads one word for each of them.

use super::array::Array;
use super::hash;
use super::writer::{Guard, Position, key_at, tags};

/// A key, with its hash in front: the order of a walk.
type Hashed = (u64, usize);

impl<N> Guard<'_, N> {
    /// The key that follows `last` in the order of a walk, or the first key.
    pub(crate) fn key_after(&self, last: Option<usize>) -> Option<usize> {
        let array = self.shard.array.array();
        let last = last.map(|key| (hash(key), key));
        let first = last.map_or(0, |(hash, _)| array.home(hash));
        (first..array.groups()).find_map(|home| least_after(array, home, last)).map(|(_, key)| key)
    }
}

/// The least key after `last` with this home group, under the lock.
fn least_after<N>(array: Array<N>, home: usize, last: Option<Hashed>) -> Option<Hashed> {
    let mut next: Option<Hashed> = None;
    let mut group = home;
    for _ in 0..array.groups() {
        // SAFETY: the group is less than `groups`: by the caller's range, or since `after` has returned it.
        let seen = unsafe { tags(array, group) };
        for index in seen.taken() {
            // SAFETY: the group exists, as above, and the slot is not vacant, so by M1 the array has slots.
            let key = unsafe { key_at(array, Position { group, index }) };
            let hashed = (hash(key), key);
            let is_next = Some(hashed) > last && next.is_none_or(|next| hashed < next);
            if is_next && array.home(hashed.0) == home {
                next = Some(hashed);
            }
        }
        // By T2 no key of this home group is behind a group without the overflow bit.
        if !seen.has_overflowed() {
            break;
        }
        group = array.after(group);
    }
    next
}
