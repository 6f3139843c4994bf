//! The shared loops of several rows: reads of the same values, in the same order, from any contestant.

use std::hint::black_box;
use std::sync::Arc;

use crate::check::Role;
use crate::contestant::{Table, fill, read_all};
use crate::hosts::Object;
use crate::measure::{Contestant, Measure, timed, together};
use crate::order::Walk;

/// The number of reads of a round: fewer with many hosts, where a read is slower.
pub(super) const fn reads(measure: Measure, hosts: usize) -> usize {
    match hosts {
        _ if measure.quick => 100_000,
        ..200_000 => 2_000_000,
        _ => 1_000_000,
    }
}

/// A table with all `hosts`. Reads values and asserts the right result.
pub(super) fn filled<T: Table>(hosts: &[Arc<Object>]) -> T {
    let table = T::empty();
    fill(&table, hosts);
    // The kernel's chains are fast to fill, but slow to search, so the check covers some hosts only.
    let some = &hosts[..hosts.len().min(10_000)];
    let expected = some.iter().fold(0_u64, |sum, host| sum.wrapping_add(host.id));
    assert_eq!(read_all(&table, some), expected, "{} lost something", T::NAME);
    table
}

/// Sums the results of `read` for each host.
#[inline(never)]
fn read_boxed<H>(hosts: &[Box<H>], read: impl Fn(&H) -> u64) -> u64 {
    let mut sum = 0_u64;
    for host in hosts {
        sum = sum.wrapping_add(read(host));
        // Prevents unrolling, which the optimiser applies to the smallest bodies only. So all contestants run one read
        // per iteration. Costs no instruction.
        black_box(());
    }
    sum
}

/// Reads from hosts that embed the value, or a pointer to the value.
pub(super) fn embedded<'a, H>(
    role: Role,
    name: &str,
    hosts: &'a [Box<H>],
    read: impl Fn(&H) -> u64 + Copy + 'a,
) -> Contestant<'a> {
    let mut walk = Walk::new(hosts);
    Contestant::new(role, name, move |count| timed(|| walk.visit(count, |hosts| read_boxed(hosts, read))))
}

/// Reads from a table, by the addresses of hosts.
pub(super) fn table<'a, T: Table>(role: Role, table: &'a T, order: &'a [Arc<Object>]) -> Contestant<'a> {
    let mut walk = Walk::new(order);
    Contestant::new(role, T::NAME, move |count| timed(|| walk.visit(count, |hosts| read_all(table, hosts))))
}

/// Two threads that read from one table, by the addresses of hosts, each in its own order.
pub(super) fn pair_of_readers<'a, T: Table>(
    role: Role,
    table: &'a T,
    orders: [&'a [Arc<Object>]; 2],
) -> Contestant<'a> {
    Contestant::new(role, T::NAME, move |count| {
        together(|thread| Walk::new(orders[thread]).visit(count, |hosts| read_all(table, hosts)))
    })
}
