//! The loops that several rows share: reading the same value, in the same order, through whatever keeps it.

use std::hint::black_box;
use std::sync::Arc;

use crate::check::Role;
use crate::contestant::{Table, read_all};
use crate::hosts::Object;
use crate::measure::{Contestant, Measure, timed};
use crate::order::Walk;

/// How many reads a round has, on so many hosts: fewer where each takes longer.
pub(super) const fn reads(measure: Measure, hosts: usize) -> usize {
    match hosts {
        _ if measure.quick => 100_000,
        ..200_000 => 2_000_000,
        _ => 1_000_000,
    }
}

/// Adds up what `read` reads from each host.
#[inline(never)]
fn read_boxed<H>(hosts: &[Box<H>], read: impl Fn(&H) -> u64) -> u64 {
    let mut sum = 0_u64;
    for host in hosts {
        sum = sum.wrapping_add(read(host));
        // Keeps the optimiser from unrolling, which it does for the smallest bodies only, so that what is compared is
        // one visit with one visit. It costs no instruction.
        black_box(());
    }
    sum
}

/// Reads from hosts that embed the value, or what leads to it.
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
