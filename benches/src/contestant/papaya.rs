//! `papaya::HashMap`: lock-free, with one guard per read.
//!
//! Papaya boxes each pair, so the value needs no further box. The map resizes in one blocking step: if a resize were
//! incomplete at the end of the attaches, every read would search two arrays.

use std::sync::Arc;

use papaya::{HashMap, ResizeMode};

use crate::contestant::{Detach, Table, address};
use crate::hash::AddressHash;
use crate::hosts::Object;

/// The map.
#[derive(Debug)]
pub struct Papaya {
    map: HashMap<usize, u64, AddressHash>,
}

impl Table for Papaya {
    const NAME: &'static str = "papaya";

    fn empty() -> Self {
        Self { map: HashMap::builder().hasher(AddressHash).resize_mode(ResizeMode::Blocking).build() }
    }

    #[inline]
    fn attach(&self, host: &Arc<Object>, value: u64) {
        assert!(self.map.pin().insert(address(host), value).is_none(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        self.map.pin().get(&address(host)).copied()
    }
}

impl Detach for Papaya {
    #[inline]
    fn detach(&self, host: &Arc<Object>) {
        assert!(self.map.pin().remove(&address(host)).is_some(), "not attached");
    }
}
