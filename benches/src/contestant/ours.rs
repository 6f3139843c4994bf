//! Shadow fields on `Arc` hosts. The side table belongs to the process, so the contestant is stateless.

use std::sync::Arc;

use crate::contestant::Table;
use crate::hosts::{Object, Word};

/// The side table of `shadow-runtime`.
#[derive(Debug)]
pub struct Ours;

impl Table for Ours {
    const NAME: &'static str = "shadow field";

    fn empty() -> Self {
        Self
    }

    #[inline]
    fn attach(&self, host: &Arc<Object>, value: u64) {
        assert!(host.attach_word(value).is_ok(), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        host.word().copied()
    }
}
