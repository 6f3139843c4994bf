//! The shared loops of several rows: reads of the same values, in the same order, from any contestant.

use std::hint::black_box;
use std::sync::Arc;

use crate::check::Role;
use crate::contestant::{Table, read_all};
use crate::hosts::Object;
use crate::measure::{Contestant, Measure, timed};
use crate::order::Walk;

/// The number of reads of a round: fewer with many hosts, where a read is slower.
pub(super) const fn reads(measure: Measure, hosts: usize) -> usize {
    match hosts {
        _ if measure.quick => 100_000,
        ..200_000 => 2_000_000,
        _ => 1_000_000,
    }
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
