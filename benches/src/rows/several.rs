//! Rows 18, 19 and 23: hosts with several declarations, of which a visit reads three.
//!
//! Each declaration has a field set of its own, so a visit searches three sets.

use std::sync::{Arc, OnceLock};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use crate::check::{Check, Role, Target};
use crate::contestant::{Alone, Dash, Papaya, Table, fill};
use crate::hosts::{Hosts, Layout, Make, Object, boxed};
use crate::measure::Measure;
use crate::rows::reading::{embedded, reads, table};
use crate::rows::{Case, human, sizes};

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000, 100_000], quick) {
        let mut add = |case: Case| cases.push(if size == 1_000 { case.with_instructions() } else { case });
        add(Case::new(18, move |measure| vec![eight(measure, size)]));
        add(Case::new(23, move |measure| vec![four(measure, size)]));
    }
    for (size, most) in [(1_000, 0.8), (10_000, 0.9), (300_000, 0.5)] {
        if !quick || size < 100_000 {
            cases.push(Case::new(19, move |measure| vec![on_arc::<Eight>(measure, size, most)]));
            cases.push(Case::new(23, move |measure| vec![on_arc::<Four>(measure, size, most)]));
        }
    }
}

/// Eight declarations, each with a field.
#[derive(Debug, Shadow)]
#[shadow_field(attach f1: u64)]
struct Many {
    id: u64,
    shadow: ShadowFields,
}

shadow! { impl Many { attach f2: u64; } }
shadow! { impl Many { attach f3: u64; } }
shadow! { impl Many { attach f4: u64; } }
shadow! { impl Many { attach f5: u64; } }
shadow! { impl Many { attach f6: u64; } }
shadow! { impl Many { attach f7: u64; } }
shadow! { impl Many { attach f8: u64; } }

/// The handwritten alternative: a box for each of the modules that would have a declaration.
#[derive(Debug)]
struct Cells<const COUNT: usize> {
    id: u64,
    cells: [OnceLock<Box<u64>>; COUNT],
}

shadow! { trait F1 for Arc<Object> { attach f1: u64; } }
shadow! { trait F2 for Arc<Object> { attach f2: u64; } }
shadow! { trait F3 for Arc<Object> { attach f3: u64; } }
shadow! { trait F4 for Arc<Object> { attach f4: u64; } }
shadow! { trait F5 for Arc<Object> { attach f5: u64; } }
shadow! { trait F6 for Arc<Object> { attach f6: u64; } }
shadow! { trait F7 for Arc<Object> { attach f7: u64; } }
shadow! { trait F8 for Arc<Object> { attach f8: u64; } }

impl Make for Many {
    fn make(id: u64) -> Self {
        Self { id, shadow: ShadowFields::new() }
    }
}

impl<const COUNT: usize> Make for Cells<COUNT> {
    fn make(id: u64) -> Self {
        Self { id, cells: [const { OnceLock::new() }; COUNT] }
    }
}

impl<const COUNT: usize> Cells<COUNT> {
    fn attach(&self) {
        assert!(self.cells.iter().all(|cell| cell.set(Box::new(self.id)).is_ok()));
    }

    #[inline]
    fn get(&self, index: usize) -> Option<&u64> {
        self.cells[index].get().map(|value| &**value)
    }
}

/// A visit: the sum of three values. An absent value counts 1.
#[inline]
fn sum(values: [Option<&u64>; 3]) -> u64 {
    values.into_iter().fold(0, |sum, value| sum.wrapping_add(value.copied().unwrap_or(1)))
}

fn eight(measure: Measure, size: usize) -> Check {
    let ours = boxed(size, |host: &Many| {
        attach_four(host);
        let all = [host.attach_f5(host.id), host.attach_f6(host.id), host.attach_f7(host.id), host.attach_f8(host.id)];
        assert!(all.iter().all(Result::is_ok));
    });
    let by_hand = boxed(size, Cells::<8>::attach);
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow fields", &ours, |host| sum([host.f1(), host.f4(), host.f8()])),
            embedded(Role::Rival, "OnceLock<Box<_>>", &by_hand, |host| sum([host.get(0), host.get(3), host.get(7)])),
            embedded(Role::Shown, "the hosts alone", &by_hand, |host| host.id),
        ],
    );
    let work = format!("embedded, the first, fourth and last of 8 declarations, {} hosts", human(size));
    Check::new(work, Target::Ratio(1.5), figures)
}

fn four(measure: Measure, size: usize) -> Check {
    let ours = boxed(size, attach_four);
    let by_hand = boxed(size, Cells::<4>::attach);
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow fields", &ours, |host| sum([host.f1(), host.f2(), host.f4()])),
            embedded(Role::Rival, "OnceLock<Box<_>>", &by_hand, |host| sum([host.get(0), host.get(1), host.get(3)])),
            embedded(Role::Shown, "the hosts alone", &by_hand, |host| host.id),
        ],
    );
    let work = format!("embedded, the first, second and last of 4 declarations, {} hosts", human(size));
    Check::new(work, Target::Ratio(1.5), figures)
}

fn attach_four(host: &Many) {
    let all = [host.attach_f1(host.id), host.attach_f2(host.id), host.attach_f3(host.id), host.attach_f4(host.id)];
    assert!(all.iter().all(Result::is_ok));
}

/// Our table, with eight declarations.
struct Eight;

/// Our table, with four declarations.
struct Four;

/// Three tables of a rival: a table for each value that a visit reads.
struct Three<T>([T; 3]);

/// Our table, with a number of declarations.
trait Ours: Table {
    const DECLARATIONS: usize;
}

impl Ours for Eight {
    const DECLARATIONS: usize = 8;
}

impl Ours for Four {
    const DECLARATIONS: usize = 4;
}

impl Table for Four {
    const NAME: &'static str = "shadow fields";

    fn empty() -> Self {
        Self
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        let all = [host.attach_f1(value), host.attach_f2(value), host.attach_f3(value), host.attach_f4(value)];
        assert!(all.iter().all(Result::is_ok), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        Some(sum([host.f1(), host.f2(), host.f4()]))
    }
}

impl Table for Eight {
    const NAME: &'static str = "shadow fields";

    fn empty() -> Self {
        Self
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        Four.attach(host, value);
        let all = [host.attach_f5(value), host.attach_f6(value), host.attach_f7(value), host.attach_f8(value)];
        assert!(all.iter().all(Result::is_ok), "attached already");
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        Some(sum([host.f1(), host.f4(), host.f8()]))
    }
}

impl<T: Table> Table for Three<T> {
    const NAME: &'static str = T::NAME;

    fn empty() -> Self {
        Self([T::empty(), T::empty(), T::empty()])
    }

    fn attach(&self, host: &Arc<Object>, value: u64) {
        for table in &self.0 {
            table.attach(host, value);
        }
    }

    #[inline]
    fn read(&self, host: &Arc<Object>) -> Option<u64> {
        Some(self.0.iter().fold(0, |sum: u64, table| sum.wrapping_add(table.read(host).unwrap_or(1))))
    }
}

fn on_arc<T: Ours>(measure: Measure, size: usize, most: f64) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let (ours, dash, papaya) = (T::empty(), Three::<Dash>::empty(), Three::<Papaya>::empty());
    fill(&ours, &hosts.all);
    fill(&dash, &hosts.all);
    fill(&papaya, &hosts.all);
    let order = hosts.shuffled(1);
    let figures = measure.compare(
        reads(measure, size),
        vec![
            table(Role::Ours, &ours, &order),
            table(Role::Rival, &dash, &order).named("3 × DashMap"),
            table(Role::Rival, &papaya, &order).named("3 × papaya"),
            table(Role::Shown, &Alone, &order),
        ],
    );
    let work = format!("`Arc`, three of {} declarations, {} hosts", T::DECLARATIONS, human(size));
    Check::new(work, Target::Ratio(most), figures)
}
