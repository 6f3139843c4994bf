//! Contestants: what keeps a value beside an object that is known by its address.
//!
//! In: a host and a value. Out: the value, by the host. One file per contestant, all behind one trait, so that every
//! loop is written once and does the same work for each.

mod dash;
mod index;
mod kernel;
mod locked;
mod ours;
mod papaya;
mod sharded;

use std::hint::black_box;
use std::sync::Arc;

pub use dash::Dash;
pub use index::Index;
pub use kernel::Kernel;
pub use locked::Locked;
pub use ours::Ours;
pub use papaya::Papaya;
pub use sharded::Sharded;

use crate::hosts::Object;

/// A value beside each host.
pub trait Table: Sync {
    /// What reports call it.
    const NAME: &'static str;

    /// A table with nothing in it.
    fn empty() -> Self;

    /// Puts `value` beside `host`, which has none yet.
    fn attach(&self, host: &Arc<Object>, value: u64);

    /// The value beside `host`.
    fn read(&self, host: &Arc<Object>) -> Option<u64>;
}

/// A table whose entries a program ends by hand, right before it drops the host.
pub trait Detach: Table {
    /// Ends what is beside `host`.
    fn detach(&self, host: &Arc<Object>);
}

/// What the maps are keyed by.
#[inline]
fn address(host: &Arc<Object>) -> usize {
    Arc::as_ptr(host).addr()
}

/// Puts each host's id beside it, in the order of the hosts.
pub fn fill<T: Table>(table: &T, hosts: &[Arc<Object>]) {
    for host in hosts {
        table.attach(host, host.id);
    }
}

/// Adds up the values beside `hosts`; a host without one counts 1.
#[inline(never)]
pub fn read_all<T: Table>(table: &T, hosts: &[Arc<Object>]) -> u64 {
    let mut sum = 0_u64;
    for host in hosts {
        sum = sum.wrapping_add(table.read(host).unwrap_or(1));
        // One host at a time, as in `rows/reading.rs`.
        black_box(());
    }
    sum
}
