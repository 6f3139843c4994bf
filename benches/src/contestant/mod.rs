//! The contestants: tables that associate a value with the address of an object.
//!
//! In: a host and a value. Out: the value, by the host. Each contestant has a file, and implements one trait, so all
//! contestants run the same loops.

mod alone;
mod c_library;
mod dash;
mod glib;
mod index;
mod kernel;
mod locked;
mod ours;
mod papaya;
mod rwlock;
mod sharded;

use std::hint::black_box;
use std::sync::Arc;

pub use alone::Alone;
pub use c_library::CLibrary;
pub use dash::Dash;
pub use index::Index;
pub use kernel::Kernel;
pub use locked::Locked;
pub use ours::Ours;
pub use papaya::Papaya;
pub use rwlock::RwLocked;
pub use sharded::Sharded;

use crate::hosts::Object;

/// A table with a value for each host.
pub trait Table: Sync {
    /// The contestant's name in reports.
    const NAME: &'static str;

    /// An empty table.
    fn empty() -> Self;

    /// Attaches `value` to `host`, which must have no value.
    fn attach(&self, host: &Arc<Object>, value: u64);

    /// The value of `host`.
    fn read(&self, host: &Arc<Object>) -> Option<u64>;
}

/// A table whose entries the program removes by hand, right before the drop of the host.
pub trait Detach: Table {
    /// Removes the value of `host`.
    fn detach(&self, host: &Arc<Object>);
}

/// A table that hands out the address of a value.
pub trait Get: Table {
    /// The address of the value of `host`, or 0.
    fn get(&self, host: &Arc<Object>) -> usize;
}

/// A table whose reads return the addresses of values, and load no value.
#[derive(Debug)]
pub struct Addresses<T>(pub T);

impl<T: Get> Table for Addresses<T> {
    const NAME: &'static str = T::NAME;

    fn empty() -> Self {
        Self(T::empty())
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        self.0.attach(host, value);
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        Some(self.0.get(host) as u64).filter(|&address| address != 0)
    }
}

/// The key of the maps.
#[inline]
fn address(host: &Arc<Object>) -> usize {
    Arc::as_ptr(host).addr()
}

/// Attaches each host's id to the host, in the order of the hosts.
pub fn fill<T: Table>(table: &T, hosts: &[Arc<Object>]) {
    for host in hosts {
        table.attach(host, host.id);
    }
}

/// Sums the values of `hosts`; a host without a value counts 1.
#[inline(never)]
pub fn read_all<T: Table>(table: &T, hosts: &[Arc<Object>]) -> u64 {
    let mut sum = 0_u64;
    for host in hosts {
        sum = sum.wrapping_add(table.read(host).unwrap_or(1));
        // Prevents unrolling, as in `rows/reading.rs`.
        black_box(());
    }
    sum
}
