//! Row 14: the longest single attach while a table fills.
//!
//! Our side table never shrinks, so each measurement has a fresh process; the median counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::check::{Check, Figure, Role, Target, Unit};
use crate::contestant::{Locked, Ours, Table};
use crate::hosts::{Hosts, Layout, Object};
use crate::measure::nanoseconds;
use crate::rows::{Case, human, sizes};

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[10_000_000], quick) {
        let case = Case::new(14, move |_| vec![pause(size)]);
        cases.push(Case { processes: if quick { 3 } else { 5 }, ..case });
    }
}

fn pause(size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let figures = vec![
        Figure::new(Role::Ours, Ours::NAME, Unit::Milliseconds, longest::<Ours>(&hosts.all)),
        Figure::new(Role::Rival, Locked::NAME, Unit::Milliseconds, longest::<Locked>(&hosts.all)),
    ];
    Check::new(format!("the longest attach of {}", human(size)), Target::Ratio(1.0 / 20.0), figures)
}

fn longest<T: Table>(hosts: &[Arc<Object>]) -> f64 {
    let table = T::empty();
    let mut longest = Duration::ZERO;
    for host in hosts {
        let start = Instant::now();
        table.attach(host, host.id);
        longest = longest.max(start.elapsed());
    }
    nanoseconds(longest) / 1e6
}
