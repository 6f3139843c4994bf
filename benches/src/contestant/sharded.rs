//! 64 × `RwLock<hashbrown::HashMap>`: the typical quick solution of a user.
//!
//! Each shard has cache lines of its own, against false sharing. Middle bits of the hash choose the shard: hashbrown
//! takes tags from the top bits and buckets from the bottom bits, and would lose the bits that chose the shard.

use std::sync::{Arc, PoisonError, RwLock};

use hashbrown::HashMap;

use crate::contestant::{Table, address};
use crate::hash::{AddressHash, fold};
use crate::hosts::Object;

const SHARDS: usize = 64;

/// The shards.
#[derive(Debug)]
pub struct Sharded {
    shards: Box<[Shard]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    map: RwLock<HashMap<usize, Box<u64>, AddressHash>>,
}

impl Sharded {
    #[inline]
    fn shard(&self, address: usize) -> &RwLock<HashMap<usize, Box<u64>, AddressHash>> {
        let index = (fold(address as u64) >> 40) as usize % SHARDS;
        &self.shards[index].map
    }
}

impl Table for Sharded {
    const NAME: &'static str = "64 × RwLock<hashbrown>";

    fn empty() -> Self {
        Self { shards: (0..SHARDS).map(|_| Shard::default()).collect() }
    }

    #[inline]
    fn attach(&self, host: &Arc<Object>, value: u64) {
        let address = address(host);
        let mut map = self.shard(address).write().unwrap_or_else(PoisonError::into_inner);
        assert!(map.insert(address, Box::new(value)).is_none(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        let address = address(host);
        let map = self.shard(address).read().unwrap_or_else(PoisonError::into_inner);
        map.get(&address).map(|value| **value)
    }
}
