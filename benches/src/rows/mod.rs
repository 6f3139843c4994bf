//! The table of targets: every row, as cases that each run in a process of their own.
//!
//! In: how figures are to be taken. Out: checks. One file per group of rows that share their hosts:
//!
//! | rows | file |
//! |---|---|
//! | 1 to 4 | `embedded.rs` |
//! | 5, 6, 8, and the chart | `hit.rs` |
//! | 7 | `miss.rs` |
//! | 9, 10 | `reuse.rs` |
//! | 11 | `size.rs` |
//! | 12, 13 | `update.rs` |
//! | 14 | `pause.rs` |
//! | 15, 16 | `compile.rs` |
//!
//! Loops that rows share are in `reading.rs`.

mod compile;
mod embedded;
mod hit;
mod miss;
mod pause;
mod reading;
mod reuse;
mod size;
mod update;

use std::fmt;

pub use hit::chart_point;

use crate::check::Check;
use crate::measure::Measure;

/// Part of a row that needs a process of its own.
pub struct Case {
    /// The number of the row.
    pub row: u8,
    /// In how many processes it runs, one after the other; their medians count.
    pub processes: usize,
    /// For how many operations instructions are counted; 0 if they are not.
    pub instructions: usize,
    run: Box<dyn Fn(Measure) -> Vec<Check>>,
}

impl Case {
    fn new(row: u8, run: impl Fn(Measure) -> Vec<Check> + 'static) -> Self {
        Self { row, processes: 1, instructions: 0, run: Box::new(run) }
    }

    /// The same, with instructions counted. Only for cases that are one comparison, on few hosts.
    fn with_instructions(self) -> Self {
        Self { instructions: 20_000, ..self }
    }

    /// Takes the figures, in this process.
    #[must_use]
    pub fn run(&self, measure: Measure) -> Vec<Check> {
        (self.run)(measure)
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Case of row {}", self.row)
    }
}

/// All cases, by row.
#[must_use]
pub fn cases(quick: bool) -> Vec<Case> {
    let mut cases = Vec::new();
    embedded::cases(quick, &mut cases);
    hit::cases(quick, &mut cases);
    miss::cases(quick, &mut cases);
    reuse::cases(quick, &mut cases);
    size::cases(quick, &mut cases);
    update::cases(&mut cases);
    pause::cases(quick, &mut cases);
    compile::cases(quick, &mut cases);
    cases.sort_by_key(|case| case.row);
    cases
}

/// What a quick run keeps of a list of sizes: the small ones, or a small one.
fn sizes(all: &[usize], quick: bool) -> Vec<usize> {
    const LARGEST_QUICK: usize = 100_000;
    if !quick {
        return all.to_vec();
    }
    let small: Vec<usize> = all.iter().copied().filter(|&size| size <= LARGEST_QUICK).collect();
    if small.is_empty() { vec![LARGEST_QUICK] } else { small }
}

/// A size as people say it.
fn human(count: usize) -> String {
    match count {
        1_000_000.. if count % 1_000_000 == 0 => format!("{}M", count / 1_000_000),
        1_000.. if count % 1_000 == 0 => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}
