//! Rows 15 and 16: compile times of shadow fields.
//!
//! In: the crates of `builds/`. Out: the medians of builds in turns.

use std::io;
use std::time::Duration;

use crate::builds::{Scratch, derive, fields};
use crate::check::{Check, Figure, Role, Target, Unit, float};
use crate::measure::{Measure, median, nanoseconds};
use crate::rows::Case;

pub(super) fn cases(quick: bool, cases: &mut Vec<Case>) {
    let rounds = if quick { 1 } else { 5 };
    cases.push(Case::new(15, move |_| vec![checked("cold build of a crate with one derive", 1.4, || cold(rounds))]));
    let work = format!("build time per field, {} fields over {} structs", fields::FIELDS, fields::STRUCTS);
    cases.push(Case::new(16, move |measure| vec![checked(&work, 2.0, || per_field(measure, 2 * rounds))]));
}

/// A check. If a build fails, prints the error, and returns a check that misses its target.
fn checked(work: &str, most: f64, figures: impl FnOnce() -> io::Result<Vec<Figure>>) -> Check {
    let figures = figures().unwrap_or_else(|error| {
        eprintln!("{work}: {error}");
        Vec::new()
    });
    Check::new(work, Target::Ratio(most), figures)
}

fn cold(rounds: usize) -> io::Result<Vec<Figure>> {
    let crates = [derive::ours()?, derive::empty()?];
    let mut times = [Vec::new(), Vec::new()];
    for scratch in &crates {
        scratch.prepare(&[])?;
    }
    for _ in 0..rounds {
        for (scratch, times) in crates.iter().zip(&mut times) {
            scratch.forget()?;
            times.push(milliseconds(scratch.build(&[])?));
        }
    }
    let [ours, empty] = times.map(median);
    Ok(vec![
        Figure::new(Role::Ours, "one `#[derive(Shadow)]`", Unit::Milliseconds, ours),
        Figure::new(Role::Rival, "an empty derive on syn", Unit::Milliseconds, empty),
    ])
}

/// The three crates are members of one workspace, so their dependencies are built once, before the first round.
fn per_field(measure: Measure, rounds: usize) -> io::Result<Vec<Figure>> {
    let scratch = fields_workspace()?;
    let crates = [("structs", fields::structs()), ("shadow", fields::shadow()), ("by-hand", fields::by_hand())];
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    scratch.prepare(&[])?;
    for round in 0..rounds {
        for ((name, text), times) in crates.iter().zip(&mut times) {
            // A changed text forces a build, whatever the clock of the file system.
            scratch.write(&format!("{name}/src/lib.rs"), &format!("{text}// round {round}\n"))?;
            times.push(milliseconds(scratch.build(&["--package", name])?));
        }
    }
    let [structs, shadow, by_hand] = times.map(median);
    if !measure.quick {
        eprintln!("row 16: {structs:.0} ms alone, {shadow:.0} ms with shadow fields, {by_hand:.0} ms by hand");
    }
    let each = |all: f64| (all - structs) / float(fields::FIELDS);
    Ok(vec![
        Figure::new(Role::Ours, "shadow field", Unit::Milliseconds, each(shadow)),
        Figure::new(Role::Rival, "accessors by hand", Unit::Milliseconds, each(by_hand)),
    ])
}

fn fields_workspace() -> io::Result<Scratch> {
    const SHADOW: &str = concat!("shadow-runtime = { path = '", env!("CARGO_MANIFEST_DIR"), "/../shadow-runtime' }");
    let manifest = |name: &str, dependency: &str| {
        format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n\n[dependencies]\n{dependency}\n")
    };
    Scratch::new(
        "fields",
        &[
            ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"structs\", \"shadow\", \"by-hand\"]\n"),
            ("structs/Cargo.toml", &manifest("structs", "")),
            ("structs/src/lib.rs", &fields::structs()),
            ("shadow/Cargo.toml", &manifest("shadow", SHADOW)),
            ("shadow/src/lib.rs", &fields::shadow()),
            ("by-hand/Cargo.toml", &manifest("by-hand", "arc-swap = \"1.9\"")),
            ("by-hand/src/lib.rs", &fields::by_hand()),
        ],
    )
}

fn milliseconds(time: Duration) -> f64 {
    nanoseconds(time) / 1e6
}
