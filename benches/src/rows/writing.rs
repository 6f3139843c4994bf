//! Rows 20 to 22, and two parts of the chart: writes to the side table of `Arc` hosts, as attaches and as churn.
//!
//! The side table of the process does not shrink. So in rows 21 and 22, with growing tables, each measurement has a
//! fresh process.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::check::{Check, Figure, Role, Target, Unit, float};
use crate::contestant::{Alone, Dash, Detach, Index, Kernel, Ours, Papaya, Sharded, Table, fill};
use crate::hash::{AddressHash, fold};
use crate::hosts::{Count, Hosts, Layout, Object};
use crate::measure::{Contestant, Measure, nanoseconds, timed, together};
use crate::order::Xorshift;
use crate::rows::reuse::replace;
use crate::rows::{Case, human, sizes};

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[10_000, 1_000_000], quick) {
        let most = if size > 10_000 { 1.1 } else { 1.5 };
        cases.push(Case::new(20, move |measure| vec![replacement(measure, size, most)]));
    }
    let processes = if quick { 1 } else { 7 };
    for size in sizes(&[1_000_000], quick) {
        cases.push(Case { processes, ..Case::new(21, move |_| vec![two_fill(size)]) });
    }
    for size in sizes(&[200_000], quick) {
        cases.push(Case { processes, ..Case::new(22, move |_| vec![two_race(size)]) });
    }
}

fn replacing<'a, T: Table>(
    role: Role,
    table: &'a T,
    size: usize,
    end: impl Fn(&T, &Arc<Object>) + 'a,
) -> Contestant<'a> {
    let Hosts { all: mut hosts, .. } = Hosts::make(size, Layout::Strided);
    fill(table, &hosts);
    let mut random = Xorshift::new(20);
    let end = move |host: &Arc<Object>| end(table, host);
    Contestant::new(role, T::NAME, move |count| timed(|| replace(table, &mut hosts, count, &mut random, &end)))
}

/// Churn among `size` hosts, for the chart.
pub(super) fn chart_churn(measure: Measure, size: usize) -> Check {
    let check = replacement(measure, size, 1.0);
    Check { work: format!("replacing, {} hosts", human(size)), ..check }
}

/// Attaches to `size` hosts, in one thread, for the chart.
pub(super) fn chart_attaches(size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided).all;
    let figures = vec![
        filled_by_one::<Ours>(Role::Ours, &hosts),
        filled_by_one::<Dash>(Role::Rival, &hosts),
        filled_by_one::<Sharded>(Role::Rival, &hosts),
        filled_by_one::<Index>(Role::Rival, &hosts),
        filled_by_one::<Papaya>(Role::Rival, &hosts),
        filled_by_one::<Kernel>(Role::Rival, &hosts),
    ];
    Check::new(format!("attaching, {} hosts", human(size)), Target::Ratio(1.0), figures)
}

/// The time of an attach in one thread.
fn filled_by_one<T: Table>(role: Role, hosts: &[Arc<Object>]) -> Figure {
    let table = T::empty();
    let took = timed(|| {
        fill(&table, hosts);
        table.read(&hosts[0]).unwrap_or(0)
    });
    Figure::new(role, T::NAME, Unit::Nanoseconds, nanoseconds(took) / float(hosts.len()))
}

fn replacement(measure: Measure, size: usize, most: f64) -> Check {
    let (dash, papaya) = (Dash::empty(), Papaya::empty());
    let figures = measure.compare(
        // The warm-up has the same number of replacements, so that the table is in its steady state before the rounds.
        if measure.quick { 20_000 } else { 1_000_000 },
        vec![
            replacing(Role::Ours, &Ours, size, |_, _| ()),
            replacing(Role::Rival, &dash, size, Dash::detach).named("DashMap, by hand"),
            replacing(Role::Rival, &papaya, size, Papaya::detach).named("papaya, by hand"),
            replacing(Role::Shown, &Alone, size, Alone::detach),
        ],
    );
    let work = format!("a new `Arc` host, attached, replaces one of {}", human(size));
    Check::new(work, Target::Ratio(most), figures)
}

/// The time of an attach in two threads, each with a half of the hosts.
fn filled_by_two<T: Table>(role: Role, hosts: &[Arc<Object>]) -> Figure {
    let table = T::empty();
    let (first, second) = hosts.split_at(hosts.len() / 2);
    let took = together(|thread| {
        let half = [first, second][thread];
        for host in half {
            table.attach(host, host.id);
        }
        table.read(&half[0]).unwrap_or(0)
    });
    Figure::new(role, T::NAME, Unit::Nanoseconds, nanoseconds(took) / float(second.len()))
}

fn two_fill(size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided).all;
    let figures = vec![
        filled_by_two::<Ours>(Role::Ours, &hosts),
        filled_by_two::<Dash>(Role::Rival, &hosts),
        filled_by_two::<Index>(Role::Rival, &hosts),
        filled_by_two::<Papaya>(Role::Rival, &hosts),
        filled_by_two::<Alone>(Role::Shown, &hosts),
    ];
    Check::new(format!("two threads fill {} fresh `Arc` hosts", human(size)), Target::Ratio(1.0), figures)
}

/// A table with an initialiser for each host: of racing threads, one runs the initialiser.
trait Race: Sync {
    const NAME: &'static str;

    fn empty() -> Self;

    fn get_or_attach(&self, host: &Arc<Object>) -> u64;
}

impl Race for Ours {
    const NAME: &'static str = "shadow field";

    fn empty() -> Self {
        Self
    }

    #[inline]
    fn get_or_attach(&self, host: &Arc<Object>) -> u64 {
        *host.count()
    }
}

impl Race for Alone {
    const NAME: &'static str = <Self as Table>::NAME;

    fn empty() -> Self {
        Self
    }

    #[inline]
    fn get_or_attach(&self, host: &Arc<Object>) -> u64 {
        host.id
    }
}

/// The typical quick solution of a user, as in `contestant/sharded.rs`. No lock is held while an initialiser runs.
struct Cells([Cell; 64]);

#[derive(Default)]
#[repr(align(128))]
struct Cell(RwLock<HashMap<usize, Arc<OnceLock<u64>>, AddressHash>>);

impl Race for Cells {
    const NAME: &'static str = "64 × RwLock<HashMap> of OnceLock";

    fn empty() -> Self {
        Self(std::array::from_fn(|_| Cell::default()))
    }

    fn get_or_attach(&self, host: &Arc<Object>) -> u64 {
        let address = Arc::as_ptr(host).addr();
        let Cell(shard) = &self.0[(fold(address as u64) >> 40) as usize % 64];
        let found = shard.read().unwrap_or_else(PoisonError::into_inner).get(&address).cloned();
        let cell = found.unwrap_or_else(|| {
            let mut map = shard.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(map.entry(address).or_default())
        });
        *cell.get_or_init(|| host.id)
    }
}

/// A `papaya` map of cells: `papaya` may run the initialiser of an entry in several threads.
struct PapayaCells(papaya::HashMap<usize, Arc<OnceLock<u64>>, AddressHash>);

impl Race for PapayaCells {
    const NAME: &'static str = "papaya of OnceLock";

    fn empty() -> Self {
        Self(papaya::HashMap::with_hasher(AddressHash))
    }

    fn get_or_attach(&self, host: &Arc<Object>) -> u64 {
        let map = self.0.pin();
        *map.get_or_insert_with(Arc::as_ptr(host).addr(), Arc::default).get_or_init(|| host.id)
    }
}

/// The time of a call in two threads, over the same hosts in the same order.
fn raced<T: Race>(role: Role, hosts: &[Arc<Object>]) -> Figure {
    let table = T::empty();
    let took = together(|_| hosts.iter().fold(0, |sum: u64, host| sum.wrapping_add(table.get_or_attach(host))));
    Figure::new(role, T::NAME, Unit::Nanoseconds, nanoseconds(took) / float(hosts.len()))
}

fn two_race(size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided).all;
    let figures = vec![
        raced::<Ours>(Role::Ours, &hosts),
        raced::<Cells>(Role::Rival, &hosts),
        raced::<PapayaCells>(Role::Rival, &hosts),
        raced::<Alone>(Role::Shown, &hosts),
    ];
    let work = format!("two threads race `get_or_attach` on {} fresh `Arc` hosts", human(size));
    Check::new(work, Target::Ratio(0.8), figures)
}
