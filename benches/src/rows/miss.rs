//! Row 7: misses, at the worst load factor.
//!
//! A hash table is slowest right before it grows, and the time of the growth is unknown from outside. So the row fills
//! the tables from half the size to the full size in small steps, at least one of which passes a growth, and measures
//! misses after each step. The check compares the figures of the step at which ours is slowest.

use std::sync::Arc;

use crate::check::{Check, Figure, Role, Target};
use crate::contestant::{Ours, Sharded, Table, fill, read_all};
use crate::hosts::{Hosts, Layout, Object};
use crate::measure::Measure;
use crate::order::shuffle;
use crate::rows::reading::table;
use crate::rows::{Case, human, sizes};

/// The fill levels from half the size to the full size, in thousandths: steps of 2^(1/8).
const LEVELS: [usize; 9] = [500, 545, 595, 648, 707, 771, 841, 917, 1000];

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000, 100_000, 1_000_000, 10_000_000], quick) {
        let most = if size > 1_000_000 { 1.0 } else { 1.5 };
        for layout in [Layout::Strided, Layout::Random] {
            cases.push(Case::new(7, move |measure| vec![miss(measure, size, layout, most)]));
        }
    }
}

fn miss(measure: Measure, size: usize, layout: Layout, most: f64) -> Check {
    let (_hosts, present, absent) = hosts(size, layout);
    let (ours, sharded) = (Ours::empty(), Sharded::empty());
    let reads = if measure.quick { 100_000 } else { 1_000_000 };
    let mut filled = 0;
    let mut worst: Option<(usize, Vec<Figure>)> = None;
    for level in LEVELS {
        let size = size / 1000 * level;
        fill(&ours, &present[filled..size]);
        fill(&sharded, &present[filled..size]);
        filled = size;
        let found = read_all(&ours, &absent) + read_all(&sharded, &absent);
        assert_eq!(found, 2 * absent.len() as u64, "found what was never attached");
        let figures =
            measure.compare(reads, vec![table(Role::Ours, &ours, &absent), table(Role::Rival, &sharded, &absent)]);
        if worst.as_ref().is_none_or(|(_, worst)| figures[0].value > worst[0].value) {
            worst = Some((level, figures));
        }
    }
    let (level, figures) = worst.unwrap_or_default();
    let how = if layout == Layout::Strided { "strided" } else { "random" };
    let work = format!("`Arc` miss, {} hosts, {how} addresses, at {}% of them", human(size), level.div_ceil(10));
    Check::new(work, Target::Ratio(most), figures)
}

/// Returns an owner of the gaps, the hosts to be attached, and, allocated in between, the hosts never attached, in
/// random order.
fn hosts(size: usize, layout: Layout) -> (Hosts, Vec<Arc<Object>>, Vec<Arc<Object>>) {
    let absent = size.min(1_000_000);
    let all = Hosts::make(size + absent, layout);
    let step = (size + absent) / absent;
    let (mut present, mut probes) = (Vec::new(), Vec::new());
    for (index, host) in all.all.iter().enumerate() {
        if index % step == 0 { &mut probes } else { &mut present }.push(Arc::clone(host));
    }
    shuffle(&mut probes, 1);
    (all, present, probes)
}
