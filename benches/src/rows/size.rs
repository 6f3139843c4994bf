//! Row 11: memory per host with one field of 8 bytes, against the kernel's memory per value.
//!
//! Memory means all bytes in addition to the host without fields.

use std::sync::Arc;

use crate::check::{Check, Figure, Role, Target, Unit, float};
use crate::contestant::{Kernel, Ours, fill};
use crate::hosts::{Bare, Count, Counter, Hosts, Layout, Make, Object, Task, boxed};
use crate::memory::Mark;
use crate::rows::{Case, human, sizes};

const EMBEDDED: f64 = 48.0;
const ARC: f64 = 120.0;

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000_000], quick) {
        cases.push(Case::new(11, move |_| {
            let attach = |host: &Task| assert!(host.attach_word(host.id).is_ok());
            vec![embedded("attach", size, attach)]
        }));
        cases.push(Case::new(11, move |_| {
            let attach = |host: &Counter| assert_eq!(*host.count(), host.id);
            vec![embedded("get_or_attach", size, attach)]
        }));
        cases.push(Case::new(11, move |_| vec![arc("attach", size, |hosts| fill(&Ours, hosts))]));
        cases.push(Case::new(11, move |_| {
            let attach = |hosts: &[Arc<Object>]| hosts.iter().for_each(|host| assert_eq!(*host.count(), host.id));
            vec![arc("get_or_attach", size, attach)]
        }));
    }
}

/// The growth of live bytes during `make`, and the result of `make`.
pub(super) fn grown<T>(make: impl FnOnce() -> T) -> (f64, T) {
    let before = Mark::now();
    let it = make();
    (before.grown(), it)
}

fn embedded<H: Make>(policy: &str, size: usize, attach: impl Fn(&H)) -> Check {
    let (without, bare) = grown(|| boxed(size, |_: &Bare| ()));
    let (with, hosts) = grown(|| boxed(size, attach));
    drop((bare, hosts));
    check(&format!("embedded, `{policy}`"), size, EMBEDDED, (with - without) / float(size), None)
}

/// Attaches in small steps, and keeps the worst ratio of memory to hosts between half the size and the full size. At
/// least one step in this range passes a growth of the table.
fn arc(policy: &str, size: usize, attach: impl Fn(&[Arc<Object>])) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let before = Mark::now();
    let (mut attached, mut each, mut worst) = (0, 0.0, 0.0_f64);
    for step in hosts.all.chunks(size / 200) {
        attach(step);
        attached += step.len();
        each = before.grown() / float(attached);
        if attached > size / 2 {
            worst = worst.max(each);
        }
    }
    check(&format!("`Arc`, `{policy}`"), size, ARC, each, Some(worst))
}

fn check(host: &str, size: usize, most: f64, each: f64, worst: Option<f64>) -> Check {
    let mut figures = vec![
        Figure::new(Role::Ours, "shadow field", Unit::Bytes, each),
        Figure::new(Role::Rival, "the kernel's", Unit::Bytes, float(Kernel::BYTES_PER_VALUE)),
    ];
    figures.extend(worst.map(|worst| Figure::new(Role::Shown, "at its worst fill level", Unit::Bytes, worst)));
    Check::new(format!("memory per host, {host}, {} hosts", human(size)), Target::Most(most), figures)
}
