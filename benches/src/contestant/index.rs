//! `scc::HashIndex`: optimised for reads, which take an epoch guard and no lock.

use std::sync::Arc;

use scc::HashIndex;

use crate::contestant::{Table, address};
use crate::hash::AddressHash;
use crate::hosts::Object;

/// The index.
#[derive(Debug)]
pub struct Index {
    map: HashIndex<usize, Box<u64>, AddressHash>,
}

impl Table for Index {
    const NAME: &'static str = "scc::HashIndex";

    fn empty() -> Self {
        Self { map: HashIndex::with_hasher(AddressHash) }
    }

    #[inline]
    fn attach(&self, host: &Arc<Object>, value: u64) {
        assert!(self.map.insert_sync(address(host), Box::new(value)).is_ok(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        self.map.peek_with(&address(host), |_, value| **value)
    }
}
