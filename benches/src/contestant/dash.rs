//! `DashMap`, with 64 shards, as the sharded contestant has, and inlined functions.

use std::sync::Arc;

use dashmap::DashMap;

use crate::contestant::{Detach, Table, address};
use crate::hash::AddressHash;
use crate::hosts::Object;

/// Shards of hashbrown, each behind a lock that spins and then parks.
#[derive(Debug)]
pub struct Dash {
    map: DashMap<usize, Box<u64>, AddressHash>,
}

impl Table for Dash {
    const NAME: &'static str = "DashMap";

    fn empty() -> Self {
        Self { map: DashMap::with_hasher_and_shard_amount(AddressHash, 64) }
    }

    #[inline]
    fn attach(&self, host: &Arc<Object>, value: u64) {
        assert!(self.map.insert(address(host), Box::new(value)).is_none(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        self.map.get(&address(host)).map(|value| **value)
    }
}

impl Detach for Dash {
    #[inline]
    fn detach(&self, host: &Arc<Object>) {
        assert!(self.map.remove(&address(host)).is_some(), "not attached");
    }
}
