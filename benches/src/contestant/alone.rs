//! The hosts without a table: what a row's loop costs by itself.

use std::hint::black_box;
use std::sync::Arc;

use crate::contestant::{Detach, Table};
use crate::hosts::Object;

/// No table.
#[derive(Debug)]
pub struct Alone;

impl Table for Alone {
    const NAME: &'static str = "the hosts alone";

    fn empty() -> Self {
        Self
    }

    #[inline]
    fn attach(&self, _: &Arc<Object>, value: u64) {
        // Keeps the load of the value from the host.
        black_box(value);
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        Some(host.id)
    }
}

impl Detach for Alone {
    #[inline]
    fn detach(&self, _: &Arc<Object>) {}
}
