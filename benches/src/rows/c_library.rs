//! Row 26: `shadow_field_get` of the library for C, against the kernel's algorithm and the table of a C program.
//!
//! All lookups hit. The judged operation is the lookup alone, which returns the address of a value. A further figure
//! includes the load of the value, as in the other rows.

use crate::check::{Check, Role, Target};
use crate::contestant::{Addresses, CLibrary, Get, Kernel, RwLocked};
use crate::hosts::{Hosts, Layout};
use crate::measure::Measure;
use crate::order::shuffle;
use crate::rows::reading::{filled, pair_of_readers, reads, table};
use crate::rows::{Case, human, sizes};

const OURS_AND_LOAD: &str = "shadow_field_get + load";
const RWLOCK_AND_LOAD: &str = "rwlock, … + load";

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    for size in sizes(&[1_000, 1_000_000], quick) {
        let case = Case::new(26, move |measure| vec![one_thread(measure, size)]);
        cases.push(if size == 1_000 { case.with_instructions() } else { case });
        cases.push(Case::new(26, move |measure| vec![two_threads(measure, size)]));
    }
    for size in sizes(&[1_000_000], quick) {
        cases.push(Case::new(26, move |measure| vec![against_kernel(measure, size)]));
    }
}

/// A table with all `hosts`, whose reads return addresses.
fn addresses<T: Get>(hosts: &Hosts) -> Addresses<T> {
    Addresses(filled(&hosts.all))
}

fn one_thread(measure: Measure, size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let (ours, locked, kernel) = (addresses::<CLibrary>(&hosts), addresses::<RwLocked>(&hosts), addresses(&hosts));
    let order = hosts.shuffled(1);
    let mut contestants = vec![
        table(Role::Ours, &ours, &order),
        table(Role::Rival, &locked, &order),
        table(Role::Shown, &ours.0, &order).named(OURS_AND_LOAD),
        table(Role::Shown, &locked.0, &order).named(RWLOCK_AND_LOAD),
    ];
    // With 1,000 objects, the kernel's table has more chains than objects, and no target. See `against_kernel`.
    if size == 1_000 {
        contestants.push(table::<Addresses<Kernel>>(Role::Shown, &kernel, &order));
    }
    let figures = measure.compare(reads(measure, size), contestants);
    Check::new(format!("C library, hit, {} objects", human(size)), Target::Ratio(0.7), figures)
}

fn two_threads(measure: Measure, size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let (ours, locked) = (addresses::<CLibrary>(&hosts), addresses::<RwLocked>(&hosts));
    let first = hosts.shuffled(1);
    let mut second = first.clone();
    shuffle(&mut second, 2);
    let orders = [&first[..], &second[..]];
    let figures = measure.compare(
        reads(measure, size),
        vec![
            pair_of_readers(Role::Ours, &ours, orders),
            pair_of_readers(Role::Rival, &locked, orders),
            pair_of_readers(Role::Shown, &ours.0, orders).named(OURS_AND_LOAD),
            pair_of_readers(Role::Shown, &locked.0, orders).named(RWLOCK_AND_LOAD),
        ],
    );
    Check::new(format!("C library, two threads reading, {} objects", human(size)), Target::Ratio(0.7), figures)
}

fn against_kernel(measure: Measure, size: usize) -> Check {
    let hosts = Hosts::make(size, Layout::Strided);
    let (ours, kernel) = (addresses::<CLibrary>(&hosts), addresses::<Kernel>(&hosts));
    let order = hosts.shuffled(1);
    let figures = measure
        .compare(reads(measure, size), vec![table(Role::Ours, &ours, &order), table(Role::Rival, &kernel, &order)]);
    Check::new(format!("C library, hit, {} objects", human(size)), Target::Ratio(1.0 / 50.0), figures)
}
