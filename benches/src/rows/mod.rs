//! The table of targets: its rows, as cases that run in separate processes.
//!
//! In: settings of the measurement. Out: checks. Rows with common hosts share a file:
//!
//! | rows | file |
//! |---|---|
//! | 1 to 4 | `embedded.rs` |
//! | 5, 6, 8, and reads of the chart | `hit.rs` |
//! | 7 | `miss.rs` |
//! | 9, 10 | `reuse.rs` |
//! | 11 | `size.rs` |
//! | 12, 13 | `update.rs` |
//! | 14 | `pause.rs` |
//! | 15, 16 | `compile.rs` |
//! | 17 | `first_minute.rs` |
//! | 18, 19, 23 | `several.rs` |
//! | 20 to 22, and writes of the chart | `writing.rs` |
//! | 24 | `large.rs` |
//! | 25 | `replacing.rs` |
//! | 26 | `c_library.rs` |
//!
//! The shared loops are in `reading.rs`.

mod c_library;
mod compile;
mod embedded;
mod first_minute;
mod hit;
mod large;
mod miss;
mod pause;
mod reading;
mod replacing;
mod reuse;
mod several;
mod size;
mod update;
mod writing;

use std::fmt;

use crate::check::Check;
use crate::measure::Measure;

/// A part of a row, with a process of its own.
pub struct Case {
    /// The number of the row.
    pub row: u8,
    /// The number of processes, run sequentially; the median counts.
    pub processes: usize,
    /// The number of operations for which instructions are counted; 0 without a count.
    pub instructions: usize,
    run: Box<dyn Fn(Measure) -> Vec<Check>>,
}

impl Case {
    fn new(row: u8, run: impl Fn(Measure) -> Vec<Check> + 'static) -> Self {
        Self { row, processes: 1, instructions: 0, run: Box::new(run) }
    }

    /// Enables the count of instructions. Only for a case with a single comparison, on few hosts.
    fn with_instructions(self) -> Self {
        Self { instructions: 20_000, ..self }
    }

    /// Measures in this process.
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

/// The cases of all rows, by row.
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
    first_minute::cases(&mut cases);
    several::cases(quick, &mut cases);
    writing::cases(quick, &mut cases);
    large::cases(quick, &mut cases);
    replacing::cases(&mut cases);
    c_library::cases(quick, &mut cases);
    cases.sort_by_key(|case| case.row);
    cases
}

/// Measures the contestants with `size` hosts, for the chart: one check for each panel, in the order of [`PANELS`].
///
/// [`PANELS`]: crate::chart::PANELS
#[must_use]
pub fn chart_point(measure: Measure, size: usize) -> Vec<Check> {
    vec![hit::chart_point(measure, size), writing::chart_attaches(size), writing::chart_churn(measure, size)]
}

/// The sizes of a quick run: the small sizes, or a single small size.
fn sizes(all: &[usize], quick: bool) -> Vec<usize> {
    const LARGEST_QUICK: usize = 100_000;
    if !quick {
        return all.to_vec();
    }
    let small: Vec<usize> = all.iter().copied().filter(|&size| size <= LARGEST_QUICK).collect();
    if small.is_empty() { vec![LARGEST_QUICK] } else { small }
}

/// Formats a size for people.
fn human(count: usize) -> String {
    match count {
        1_000_000.. if count % 1_000_000 == 0 => format!("{}M", count / 1_000_000),
        1_000.. if count % 1_000 == 0 => format!("{}k", count / 1_000),
        _ => count.to_string(),
    }
}
