//! Row 17: the first command of the README, from a cold target directory.
//!
//! In: this workspace. Out: the number of crates that the build compiles, and the processor time of the build. The
//! registry's files are on the disk already: the download of crates is not part of the figure.

use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, io, process};

use crate::builds::ROOT;
use crate::check::{Check, Figure, Role, Target, Unit, float};
use crate::rows::Case;

const MOST_CRATES: f64 = 10.0;
const MOST_SECONDS: f64 = 15.0;

pub(super) fn cases(cases: &mut Vec<Case>) {
    cases.push(Case::new(17, |_| {
        let (crates, seconds) = build().unwrap_or_else(|error| {
            eprintln!("the build of the example: {error}");
            (None, None)
        });
        vec![
            check("crates that the example livepatch builds", MOST_CRATES, Unit::Crates, crates),
            check("processor time of this build, from a cold target directory", MOST_SECONDS, Unit::Seconds, seconds),
        ]
    }));
}

/// A check of a figure; an absent figure misses the target.
fn check(work: &str, most: f64, unit: Unit, figure: Option<f64>) -> Check {
    let figures = figure.map(|value| Figure::new(Role::Ours, "livepatch", unit, value));
    Check::new(work, Target::Most(most), figures.into_iter().collect())
}

/// Builds the example in a new target directory. Returns the number of crates, and the processor time in seconds.
fn build() -> io::Result<(Option<f64>, Option<f64>)> {
    let target = env::temp_dir().join(format!("shadow-compare-{}-first-minute", process::id()));
    let before = children_seconds();
    let output = cargo(&target);
    let seconds = before.and_then(|before| Some(children_seconds()? - before));
    // The next start of the system clears the directory, too.
    let _ = fs::remove_dir_all(&target);
    let output = output?;
    let text = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(io::Error::other(text.into_owned()));
    }
    let crates = text.lines().filter(|line| line.trim_start().starts_with("Compiling ")).count();
    Ok((Some(float(crates)), seconds))
}

fn cargo(target: &Path) -> io::Result<process::Output> {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(ROOT)
        .args(["build", "--release", "--offline", "--color", "never", "--example", "livepatch"])
        .env("CARGO_TARGET_DIR", target)
        .env_remove("CARGO_TERM_QUIET")
        .env_remove("RUSTC_WRAPPER")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
}

/// The processor time of this process's ended children, from the kernel's statistics; `None` on other systems.
fn children_seconds() -> Option<f64> {
    /// Linux reports processor times to user space in hundredths of a second, whatever the kernel's own tick.
    const TICKS_PER_SECOND: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The second word, the name of the program, is in parentheses and may have spaces. The fields `cutime` and `cstime`
    // are the words 16 and 17.
    let mut words = text.rsplit_once(')')?.1.split_whitespace().skip(13);
    let mut next = || words.next()?.parse::<f64>().ok();
    Some((next()? + next()?) / TICKS_PER_SECOND)
}
