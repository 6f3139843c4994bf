//! Rows 5, 6 and 8, and a part of the chart: reads of the value of an `Arc` host, by its address.

use std::sync::Arc;

use crate::check::{Check, Role, Target};
use crate::contestant::{Dash, Index, Kernel, Ours, Papaya, Sharded};
use crate::hosts::{ByHand, Counter, Hosts, Layout, Object, boxed};
use crate::measure::Measure;
use crate::order::shuffle;
use crate::rows::reading::{embedded, filled, pair_of_readers, reads, table};
use crate::rows::{Case, human, sizes};

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000, 100_000, 1_000_000, 10_000_000], quick) {
        let most = if size > 1_000_000 { 1.0 } else { 0.7 };
        for layout in [Layout::Strided, Layout::Random] {
            let case = Case::new(5, move |measure| vec![hit(measure, size, layout, most)]);
            cases.push(if size == 1_000 { case.with_instructions() } else { case });
        }
    }
    cases.push(Case::new(6, |measure| vec![two_threads(measure, 100_000, 100_000, 0.7)]));
    cases.push(Case::new(6, |measure| vec![two_threads(measure, 100_000, 64, 0.4)]));
    for size in sizes(&[1_000_000, 10_000_000], quick) {
        let most = if size > 1_000_000 { 1.0 / 250.0 } else { 1.0 / 60.0 };
        cases.push(Case::new(8, move |measure| vec![against_kernel(measure, size, most)]));
    }
}

/// A table of each kind, with the same hosts.
struct Tables {
    ours: Ours,
    dash: Dash,
    sharded: Sharded,
    index: Index,
    papaya: Papaya,
}

impl Tables {
    fn filled(hosts: &[Arc<Object>]) -> Self {
        Self {
            ours: filled(hosts),
            dash: filled(hosts),
            sharded: filled(hosts),
            index: filled(hosts),
            papaya: filled(hosts),
        }
    }
}

fn hit(measure: Measure, size: usize, layout: Layout, most: f64) -> Check {
    let hosts = Hosts::make(size, layout);
    let tables = Tables::filled(&hosts.all);
    let order = hosts.shuffled(1);
    let figures = measure.compare(
        reads(measure, size),
        vec![
            table(Role::Ours, &tables.ours, &order),
            table(Role::Rival, &tables.dash, &order),
            table(Role::Rival, &tables.sharded, &order),
            table(Role::Rival, &tables.index, &order),
            table(Role::Rival, &tables.papaya, &order),
        ],
    );
    let how = if layout == Layout::Strided { "strided" } else { "random" };
    Check::new(format!("`Arc` hit, {} hosts, {how} addresses", human(size)), Target::Ratio(most), figures)
}

/// Two threads read from the first `visited` hosts, in different orders.
fn two_threads(measure: Measure, size: usize, visited: usize, most: f64) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let tables = Tables::filled(&hosts.all);
    let first = hosts.shuffled(1)[..visited].to_vec();
    let mut second = first.clone();
    shuffle(&mut second, 2);
    let orders = [&first[..], &second[..]];
    let figures = measure.compare(
        reads(measure, size),
        vec![
            pair_of_readers(Role::Ours, &tables.ours, orders),
            pair_of_readers(Role::Rival, &tables.dash, orders),
            pair_of_readers(Role::Rival, &tables.sharded, orders),
            pair_of_readers(Role::Rival, &tables.index, orders),
            pair_of_readers(Role::Rival, &tables.papaya, orders),
        ],
    );
    let which = if visited == size { format!("{} hosts", human(size)) } else { format!("the same {visited} hosts") };
    Check::new(format!("two threads reading, {which}"), Target::Ratio(most), figures)
}

fn against_kernel(measure: Measure, size: usize, most: f64) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let (ours, kernel) = (filled::<Ours>(&hosts.all), filled::<Kernel>(&hosts.all));
    let order = hosts.shuffled(1);
    let figures = measure
        .compare(reads(measure, size), vec![table(Role::Ours, &ours, &order), table(Role::Rival, &kernel, &order)]);
    Check::new(format!("`Arc` hit, {} hosts", human(size)), Target::Ratio(most), figures)
}

/// Reads from `size` hosts, for the chart.
pub(super) fn chart_point(measure: Measure, size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let tables = Tables::filled(&hosts.all);
    let kernel = filled::<Kernel>(&hosts.all);
    let order = hosts.shuffled(1);
    let inside = boxed(size, |host: &Counter| assert_eq!(*host.count(), host.id));
    let by_hand = boxed(size, |host: &ByHand| assert_eq!(*host.count(), host.id));
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow field, embedded", &inside, |host| *host.count()),
            embedded(Role::Shown, "OnceLock<Box<_>> by hand", &by_hand, |host| *host.count()),
            table(Role::Ours, &tables.ours, &order).named("shadow field, on an Arc"),
            table(Role::Rival, &tables.dash, &order),
            table(Role::Rival, &tables.sharded, &order),
            table(Role::Rival, &tables.index, &order),
            table(Role::Rival, &tables.papaya, &order),
            table(Role::Rival, &kernel, &order),
        ],
    );
    Check::new(format!("reading, {} hosts", human(size)), Target::Ratio(1.0), figures)
}
