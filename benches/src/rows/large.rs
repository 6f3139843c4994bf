//! Row 24: a declaration of 20 fields, of which a host uses one.
//!
//! All cells of a declaration are in one allocation, so a host pays for the cells that it does not use.

use std::sync::OnceLock;

use shadow_runtime::{Shadow, ShadowFields};

use crate::check::{Check, Figure, Role, Target, Unit, float};
use crate::hosts::{Make, Task, boxed};
use crate::measure::Measure;
use crate::rows::reading::{embedded, reads};
use crate::rows::size::grown;
use crate::rows::{Case, human, sizes};

const FIELDS: usize = 20;

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000, 1_000_000], quick) {
        cases.push(Case::new(24, move |measure| vec![time(measure, size)]));
    }
    for size in sizes(&[1_000_000], quick) {
        cases.push(Case::new(24, move |_| vec![memory(size)]));
    }
}

#[derive(Debug, Shadow)]
#[shadow_field(attach f1: u64)]
#[shadow_field(attach f2: u64)]
#[shadow_field(attach f3: u64)]
#[shadow_field(attach f4: u64)]
#[shadow_field(attach f5: u64)]
#[shadow_field(attach f6: u64)]
#[shadow_field(attach f7: u64)]
#[shadow_field(attach f8: u64)]
#[shadow_field(attach f9: u64)]
#[shadow_field(attach f10: u64)]
#[shadow_field(attach f11: u64)]
#[shadow_field(attach f12: u64)]
#[shadow_field(attach f13: u64)]
#[shadow_field(attach f14: u64)]
#[shadow_field(attach f15: u64)]
#[shadow_field(attach f16: u64)]
#[shadow_field(attach f17: u64)]
#[shadow_field(attach f18: u64)]
#[shadow_field(attach f19: u64)]
#[shadow_field(attach f20: u64)]
struct Large {
    id: u64,
    shadow: ShadowFields,
}

/// The handwritten alternative.
#[derive(Debug)]
struct ByHand {
    id: u64,
    ext: OnceLock<Box<[OnceLock<u64>; FIELDS]>>,
}

impl Make for Large {
    fn make(id: u64) -> Self {
        Self { id, shadow: ShadowFields::new() }
    }
}

impl Make for ByHand {
    fn make(id: u64) -> Self {
        Self { id, ext: OnceLock::new() }
    }
}

fn attach_last(host: &Large) {
    assert!(host.attach_f20(host.id).is_ok());
}

impl ByHand {
    fn attach_last(&self) {
        let ext = self.ext.get_or_init(|| Box::new([const { OnceLock::new() }; FIELDS]));
        assert!(ext[FIELDS - 1].set(self.id).is_ok());
    }

    #[inline]
    fn last(&self) -> Option<&u64> {
        self.ext.get()?[FIELDS - 1].get()
    }
}

fn attach_only(host: &Task) {
    assert!(host.attach_word(host.id).is_ok());
}

fn time(measure: Measure, size: usize) -> Check {
    let (ours, by_hand, small) = (boxed(size, attach_last), boxed(size, ByHand::attach_last), boxed(size, attach_only));
    let figures = measure.compare(
        reads(measure, size),
        vec![
            embedded(Role::Ours, "shadow field", &ours, |host| host.f20().copied().unwrap_or(1)),
            embedded(Role::Rival, "OnceLock<Box<[OnceLock<_>; 20]>>", &by_hand, |host| {
                host.last().copied().unwrap_or(1)
            }),
            embedded(Role::Shown, "of one field", &small, |host| host.word().copied().unwrap_or(1)),
        ],
    );
    Check::new(format!("embedded hit, the last of {FIELDS} fields, {} hosts", human(size)), Target::Ratio(1.1), figures)
}

/// The bytes of a host's fields, above those of a host with a pointer.
fn bytes<H: Make>(size: usize, attach: impl Fn(&H)) -> f64 {
    let (without, bare) = grown(|| boxed(size, |_: &H| ()));
    let (with, hosts) = grown(|| boxed(size, attach));
    drop((bare, hosts));
    (with - without) / float(size)
}

fn memory(size: usize) -> Check {
    let figures = vec![
        Figure::new(Role::Ours, "shadow field", Unit::Bytes, bytes(size, attach_last)),
        Figure::new(Role::Rival, "OnceLock<Box<[OnceLock<_>; 20]>>", Unit::Bytes, bytes(size, ByHand::attach_last)),
        Figure::new(Role::Shown, "of one field", Unit::Bytes, bytes(size, attach_only)),
    ];
    let work = format!("memory per host, embedded, one of {FIELDS} fields, {} hosts", human(size));
    Check::new(work, Target::Ratio(1.1), figures)
}
