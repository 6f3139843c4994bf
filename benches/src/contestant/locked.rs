//! One `Mutex<hashbrown::HashMap>`: the simplest contestant, with the longest pauses.

use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashMap;

use crate::contestant::{Table, address};
use crate::hash::AddressHash;
use crate::hosts::Object;

/// The map and its lock.
#[derive(Debug)]
pub struct Locked {
    map: Mutex<HashMap<usize, Box<u64>, AddressHash>>,
}

impl Table for Locked {
    const NAME: &'static str = "Mutex<hashbrown>";

    fn empty() -> Self {
        Self { map: Mutex::new(HashMap::with_hasher(AddressHash)) }
    }

    #[inline]
    fn attach(&self, host: &Arc<Object>, value: u64) {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(map.insert(address(host), Box::new(value)).is_none(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        let map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(&address(host)).map(|value| **value)
    }
}
