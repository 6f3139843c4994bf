//! Row 25: updates, by a value and by a closure, in one thread and in two threads on one host.
//!
//! The value is a number, so that the contestants differ by the update alone. A `Mutex` is only shown: its reads wait
//! for its writes.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use shadow_runtime::{Shadow, ShadowFields};

use crate::check::{Check, Role, Target};
use crate::measure::{Contestant, Measure, timed, together};
use crate::rows::Case;

pub(super) fn cases(cases: &mut Vec<Case>) {
    for threads in [1, 2] {
        cases.push(Case::new(25, move |measure| vec![by_value(measure, threads)]));
        cases.push(Case::new(25, move |measure| vec![by_closure(measure, threads)]));
    }
}

#[derive(Debug, Default, Shadow)]
#[shadow_field(get_or_update number: u64)]
struct Host {
    shadow: ShadowFields,
}

fn operations(measure: Measure) -> usize {
    if measure.quick { 50_000 } else { 500_000 }
}

/// A contestant that calls `update` with numbers, in one thread or in two.
fn updating<'a>(role: Role, name: &str, threads: usize, update: impl Fn(u64) + Sync + 'a) -> Contestant<'a> {
    let work = move |count: usize| {
        (0..count as u64).for_each(&update);
        0
    };
    Contestant::new(
        role,
        name,
        move |count| if threads == 1 { timed(|| work(count)) } else { together(|_| work(count)) },
    )
}

fn how(threads: usize) -> &'static str {
    if threads == 1 { "one thread" } else { "two threads on one host" }
}

fn by_value(measure: Measure, threads: usize) -> Check {
    let (ours, swap, locked) = (Host::default(), ArcSwap::from_pointee(0), Mutex::new(0));
    let figures = measure.compare(
        operations(measure),
        vec![
            updating(Role::Ours, "update_f", threads, |number| _ = ours.update_number(number)),
            updating(Role::Rival, "ArcSwap::store", threads, |number| swap.store(Arc::new(number))),
            updating(Role::Shown, "Mutex", threads, |number| {
                *locked.lock().unwrap_or_else(PoisonError::into_inner) = number;
            }),
        ],
    );
    Check::new(format!("an update by a value, {}", how(threads)), Target::Ratio(1.0), figures)
}

fn by_closure(measure: Measure, threads: usize) -> Check {
    let (ours, swap, locked) = (Host::default(), ArcSwap::from_pointee(0), Mutex::new(0_u64));
    let figures = measure.compare(
        operations(measure),
        vec![
            updating(Role::Ours, "update_f_with", threads, |number| {
                ours.update_number_with(|old| old.copied().unwrap_or(0).wrapping_add(number));
            }),
            updating(Role::Rival, "ArcSwap::rcu", threads, |number| {
                swap.rcu(|old: &Arc<u64>| old.wrapping_add(number));
            }),
            updating(Role::Shown, "Mutex", threads, |number| {
                let mut value = locked.lock().unwrap_or_else(PoisonError::into_inner);
                *value = value.wrapping_add(number);
            }),
        ],
    );
    Check::new(format!("an update by a closure, {}", how(threads)), Target::Ratio(1.0), figures)
}
