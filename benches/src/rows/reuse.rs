//! Rows 9 and 10: hosts that come and go for ever, at one address that the allocator reuses at once, and at random
//! addresses.
//!
//! In these rows, memory means the live bytes: hosts, fields, the table, and retired memory of the table.

use std::hint::black_box;
use std::sync::Arc;

use crate::check::{Check, Figure, Role, Target, Unit, float};
use crate::contestant::{Dash, Detach, Ours, Table, fill};
use crate::hosts::{Hosts, Layout, Object};
use crate::measure::{Contestant, Measure, median, nanoseconds, timed};
use crate::memory::Mark;
use crate::order::Xorshift;
use crate::rows::{Case, human};

/// The most growth of memory that counts as flat. Row 10 says 1.2; row 9 only says "flat".
const FLAT: f64 = 1.2;

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    let others = if quick { 100_000 } else { 1_000_000 };
    cases.push(Case::new(9, move |measure| vec![one_address(measure, others)]));
    cases.push(Case::new(9, move |measure| vec![one_address_memory(measure, others)]));
    cases.push(Case::new(10, move |measure| churn(measure, others)));
}

/// Makes a host, attaches a value, and drops the host, `count` times.
#[inline(never)]
fn pairs<T: Table>(table: &T, count: usize, end: impl Fn(&Arc<Object>)) -> u64 {
    for id in 0..count as u64 {
        let host = black_box(Arc::new(Object::new(id)));
        table.attach(&host, id);
        end(&host);
        drop(black_box(host));
    }
    0
}

fn one_address(measure: Measure, others: usize) -> Check {
    let hosts = Hosts::make(others, Layout::Strided);
    let (ours, dash) = (Ours::empty(), Dash::empty());
    fill(&ours, &hosts.all);
    fill(&dash, &hosts.all);
    let figures = measure.compare(
        // The warm-up has the same number of pairs, so that the table is in its steady state before the first round.
        others,
        vec![
            Contestant::new(Role::Ours, Ours::NAME, |count| timed(|| pairs(&ours, count, |_| ()))),
            Contestant::new(Role::Rival, Dash::NAME, |count| timed(|| pairs(&dash, count, |host| dash.detach(host)))),
        ],
    );
    let work = format!("attach + last drop at one address, {} others", human(others));
    Check::new(work, Target::Ratio(1.5), figures)
}

fn one_address_memory(measure: Measure, others: usize) -> Check {
    let (rounds, each) = if measure.quick { (100, 10_000) } else { (100, 100_000) };
    let before = Mark::now();
    let hosts = Hosts::make(others, Layout::Strided);
    fill(&Ours, &hosts.all);
    let start = before.grown();
    let mut most = start;
    for _ in 0..rounds {
        pairs(&Ours, each, |_| ());
        most = most.max(before.grown());
    }
    let figures = vec![
        Figure::new(Role::Ours, "the most in all pairs", Unit::Megabytes, most / 1e6),
        Figure::new(Role::Rival, "before the first pair", Unit::Megabytes, start / 1e6),
    ];
    Check::new(format!("the same, memory over {} pairs", human(rounds * each)), Target::Ratio(FLAT), figures)
}

/// The cost of a part of the churn.
struct Stretch {
    each: f64,
    memory: f64,
}

fn churn(measure: Measure, alive: usize) -> Vec<Check> {
    let (stretches, each) = if measure.quick { (100, 10_000) } else { (100, 1_000_000) };
    let before = Mark::now();
    let Hosts { all: mut hosts, .. } = Hosts::make(alive, Layout::Strided);
    fill(&Ours, &hosts);
    let start = before.grown();
    let mut random = Xorshift::new(10);
    let mut seen = Vec::new();
    for stretch in 1..=stretches {
        let took = timed(|| replace(&Ours, &mut hosts, each, &mut random, |_| ()));
        seen.push(Stretch { each: nanoseconds(took) / float(each), memory: before.grown() });
        if stretch % 10 == 0 && !measure.quick {
            let Stretch { each: time, memory } = seen[stretch - 1];
            eprintln!("row 10: {} of {} pairs, {time:.0} ns, {:.0} MB", stretch * each, stretches * each, memory / 1e6);
        }
    }
    let part = stretches / 20;
    let time = |part: &[Stretch]| median(part.iter().map(|stretch| stretch.each).collect());
    let most = seen.iter().map(|stretch| stretch.memory).fold(start, f64::max);
    let work = format!("random churn, {} pairs over {} hosts", human(stretches * each), human(alive));
    let times = vec![
        Figure::new(Role::Ours, "the last 5% of the pairs", Unit::Nanoseconds, time(&seen[stretches - part..])),
        Figure::new(Role::Rival, "the first 5%", Unit::Nanoseconds, time(&seen[..part])),
    ];
    let memory = vec![
        Figure::new(Role::Ours, "the most in all pairs", Unit::Megabytes, most / 1e6),
        Figure::new(Role::Rival, "before the first pair", Unit::Megabytes, start / 1e6),
    ];
    vec![
        Check::new(format!("{work}: time"), Target::Ratio(1.2), times),
        Check::new(format!("{work}: memory"), Target::Ratio(FLAT), memory),
    ]
}

/// Replaces a random host by a new host, which drops the last `Arc` of the old host, `count` times. Calls `end` with
/// the old host before the drop.
#[inline(never)]
pub(super) fn replace<T: Table>(
    table: &T,
    hosts: &mut [Arc<Object>],
    count: usize,
    random: &mut Xorshift,
    end: impl Fn(&Arc<Object>),
) -> u64 {
    for id in 0..count as u64 {
        let host = Arc::new(Object::new(id));
        table.attach(&host, id);
        let old = &mut hosts[random.below(hosts.len())];
        end(old);
        *old = host;
    }
    0
}
