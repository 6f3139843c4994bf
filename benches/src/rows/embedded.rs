//! Rows 1 to 4: hosts that embed their fields, against the same structs written by hand.

use std::hint::black_box;

use crate::check::{Check, Role, Target};
use crate::hosts::{Bare, ByHand, Counter, Make, Plain, Task, boxed};
use crate::measure::{Contestant, Measure, timed};
use crate::rows::reading::{embedded, reads};
use crate::rows::{Case, human, sizes};

const BY_HAND: &str = "OnceLock<Box<Ext>>";

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000, 1_000_000], quick) {
        let small = size == 1_000;
        let most = if small { 1.10 } else { 1.25 };
        let mut add = |case: Case| cases.push(if small { case.with_instructions() } else { case });
        add(Case::new(1, move |measure| vec![hit_attach(measure, size, most)]));
        add(Case::new(1, move |measure| vec![hit_get_or_attach(measure, size, most)]));
        add(Case::new(2, move |measure| vec![look(measure, size)]));
    }
    cases.push(Case::new(3, |measure| vec![life(measure)]).with_instructions());
    cases.push(Case::new(4, |measure| vec![attach(measure)]).with_instructions());
    cases.push(Case::new(4, |measure| vec![get_or_attach(measure)]).with_instructions());
}

fn hit_attach(measure: Measure, size: usize, most: f64) -> Check {
    let ours = boxed(size, |host: &Task| assert!(host.attach_word(host.id).is_ok()));
    let by_hand = boxed(size, |host: &ByHand| assert!(host.attach_word(host.id).is_ok()));
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow field", &ours, |host| host.word().copied().unwrap_or(1)),
            embedded(Role::Rival, BY_HAND, &by_hand, |host| host.word().copied().unwrap_or(1)),
        ],
    );
    Check::new(format!("embedded hit, `attach`, {} hosts", human(size)), Target::Ratio(most), figures)
}

fn hit_get_or_attach(measure: Measure, size: usize, most: f64) -> Check {
    let ours = boxed(size, |host: &Counter| assert_eq!(*host.count(), host.id));
    let by_hand = boxed(size, |host: &ByHand| assert_eq!(*host.count(), host.id));
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow field", &ours, |host| *host.count()),
            embedded(Role::Rival, BY_HAND, &by_hand, |host| *host.count()),
        ],
    );
    Check::new(format!("embedded hit, `get_or_attach`, {} hosts", human(size)), Target::Ratio(most), figures)
}

fn look(measure: Measure, size: usize) -> Check {
    let ours = boxed(size, |_: &Task| ());
    let plain = boxed(size, |_: &Plain| ());
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow field", &ours, |host| host.word().copied().unwrap_or(1)),
            embedded(Role::Rival, "plain field", &plain, |host| host.word),
        ],
    );
    Check::new(format!("embedded look, nothing attached, {} hosts", human(size)), Target::Ratio(1.2), figures)
}

/// Makes and drops hosts sequentially; `live` uses each host.
///
/// The host passes a black box after the construction and before the drop. So the optimiser keeps construction, attach
/// and drop.
#[inline(never)]
fn lives<H: Make>(count: usize, live: impl Fn(&H)) -> u64 {
    for id in 0..count as u64 {
        let host = black_box(Box::new(H::make(id)));
        live(&host);
        drop(black_box(host));
    }
    0
}

fn living<H: Make>(role: Role, name: &str, live: impl Fn(&H) + Copy + 'static) -> Contestant<'static> {
    Contestant::new(role, name, move |count| timed(|| lives(count, live)))
}

const fn hosts(measure: Measure) -> usize {
    if measure.quick { 100_000 } else { 1_000_000 }
}

fn life(measure: Measure) -> Check {
    let figures = measure.compare(
        hosts(measure),
        vec![
            living(Role::Ours, "with `ShadowFields`", |_: &Task| ()),
            living(Role::Rival, "the same struct without", |_: &Bare| ()),
        ],
    );
    Check::new("new + drop of a host that never gets a field", Target::Ratio(1.05), figures)
}

fn attach(measure: Measure) -> Check {
    let figures = measure.compare(
        hosts(measure),
        vec![
            living(Role::Ours, "shadow field", |host: &Task| assert!(host.attach_word(host.id).is_ok())),
            living(Role::Rival, BY_HAND, |host: &ByHand| assert!(host.attach_word(host.id).is_ok())),
        ],
    );
    Check::new("new + attach + drop of the host, `attach`", Target::Ratio(1.15), figures)
}

fn get_or_attach(measure: Measure) -> Check {
    let figures = measure.compare(
        hosts(measure),
        vec![
            living(Role::Ours, "shadow field", |host: &Counter| assert_eq!(*host.count(), host.id)),
            living(Role::Rival, BY_HAND, |host: &ByHand| assert_eq!(*host.count(), host.id)),
        ],
    );
    Check::new("new + attach + drop of the host, `get_or_attach`", Target::Ratio(1.15), figures)
}
