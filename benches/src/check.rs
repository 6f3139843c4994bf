//! A check: the figures of all contestants for one piece of work, and the target for ours.
//!
//! In: figures. Out: the ratio, and whether the target is met. A child process sends a check to its parent as lines of
//! text, with tabs between words.

use std::fmt::{self, Write};

use crate::measure::median;

/// The purpose of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The judged figure.
    Ours,
    /// A reference for ours; of several, the lowest counts.
    Rival,
    /// Only shown.
    Shown,
}

/// The unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Time per operation.
    Nanoseconds,
    /// Time, on a human scale.
    Milliseconds,
    /// Memory per host.
    Bytes,
    /// Memory of all hosts.
    Megabytes,
    /// Processor time of a build.
    Seconds,
    /// Crates of a build.
    Crates,
}

impl Unit {
    /// The unit, as printed after a value.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Milliseconds => "ms",
            Self::Bytes => "bytes",
            Self::Megabytes => "MB",
            Self::Seconds => "s",
            Self::Crates => "crates",
        }
    }
}

/// The target of a check.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The most for ours divided by the lowest rival.
    Ratio(f64),
    /// The most for ours, in the unit of the figure.
    Most(f64),
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The purpose.
    pub role: Role,
    /// The contestant.
    pub who: String,
    /// The unit.
    pub unit: Unit,
    /// The value.
    pub value: f64,
    /// Instructions per operation, if counted.
    pub instructions: Option<f64>,
}

/// Figures and their target.
#[derive(Clone, Debug)]
pub struct Check {
    /// The kind and amount of work.
    pub work: String,
    /// The target.
    pub target: Target,
    /// The figures; ours is the first.
    pub figures: Vec<Figure>,
}

impl Figure {
    /// A figure without instructions.
    pub fn new(role: Role, who: impl Into<String>, unit: Unit, value: f64) -> Self {
        Self { role, who: who.into(), unit, value, instructions: None }
    }
}

/// The value with its unit.
impl fmt::Display for Figure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = match self.unit {
            Unit::Nanoseconds if self.value >= 100.0 => 0,
            Unit::Nanoseconds | Unit::Milliseconds => 2,
            Unit::Bytes | Unit::Megabytes | Unit::Seconds => 1,
            Unit::Crates => 0,
        };
        write!(formatter, "{:.digits$} {}", self.value, self.unit.word())
    }
}

impl Check {
    /// A check of `work` against `target`.
    pub fn new(work: impl Into<String>, target: Target, figures: Vec<Figure>) -> Self {
        Self { work: work.into(), target, figures }
    }

    /// Ours divided by the lowest rival.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let rivals = self.figures.iter().filter(|figure| figure.role == Role::Rival);
        let lowest = rivals.map(|figure| figure.value).min_by(f64::total_cmp)?;
        Some(self.ours()?.value / lowest)
    }

    /// Whether the target is met. A check without a measured figure misses its target.
    #[must_use]
    pub fn holds(&self) -> bool {
        match self.target {
            Target::Ratio(most) => self.ratio().is_some_and(|ratio| ratio <= most),
            Target::Most(most) => self.ours().is_some_and(|ours| ours.value <= most),
        }
    }

    fn ours(&self) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.role == Role::Ours)
    }

    /// Encodes the check as lines for [`from_lines`](Self::from_lines).
    #[must_use]
    pub fn to_lines(&self) -> String {
        let (kind, most) = match self.target {
            Target::Ratio(most) => ("ratio", most),
            Target::Most(most) => ("most", most),
        };
        let mut lines = format!("check\t{kind}\t{most}\t{}\n", self.work);
        for Figure { role, who, unit, value, .. } in &self.figures {
            let _ = writeln!(lines, "figure\t{role:?}\t{unit:?}\t{value}\t{who}");
        }
        lines
    }

    /// Decodes checks from the lines of [`to_lines`](Self::to_lines), and skips all other lines.
    #[must_use]
    pub fn from_lines(lines: &str) -> Vec<Self> {
        let mut checks: Vec<Self> = Vec::new();
        for line in lines.lines() {
            match line.split('\t').collect::<Vec<_>>()[..] {
                ["check", kind, most, work] => {
                    let most = most.parse().unwrap_or(f64::NAN);
                    let target = match kind {
                        "most" => Target::Most(most),
                        _ => Target::Ratio(most),
                    };
                    checks.push(Self::new(work, target, Vec::new()));
                }
                ["figure", role, unit, value, who] => {
                    let figure =
                        Figure::new(parse_role(role), who, parse_unit(unit), value.parse().unwrap_or(f64::NAN));
                    checks.last_mut().into_iter().for_each(|check| check.figures.push(figure.clone()));
                }
                _ => {}
            }
        }
        checks
    }

    /// Merges runs of the same checks in several processes: each figure becomes the median.
    #[must_use]
    pub fn merge(runs: &[Vec<Self>]) -> Vec<Self> {
        let mut merged = runs.first().cloned().unwrap_or_default();
        for (index, check) in merged.iter_mut().enumerate() {
            for (number, figure) in check.figures.iter_mut().enumerate() {
                let values = runs.iter().filter_map(|run| Some(run.get(index)?.figures.get(number)?.value));
                figure.value = median(values.collect());
            }
        }
        merged
    }
}

fn parse_role(word: &str) -> Role {
    match word {
        "Ours" => Role::Ours,
        "Rival" => Role::Rival,
        _ => Role::Shown,
    }
}

fn parse_unit(word: &str) -> Unit {
    match word {
        "Milliseconds" => Unit::Milliseconds,
        "Bytes" => Unit::Bytes,
        "Megabytes" => Unit::Megabytes,
        "Seconds" => Unit::Seconds,
        "Crates" => Unit::Crates,
        _ => Unit::Nanoseconds,
    }
}

/// Converts a count for a division.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
#[must_use]
pub const fn float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(ours: f64, rivals: &[f64]) -> Check {
        let mut figures = vec![Figure::new(Role::Ours, "ours", Unit::Nanoseconds, ours)];
        figures.extend(rivals.iter().map(|&rival| Figure::new(Role::Rival, "a rival", Unit::Bytes, rival)));
        figures.push(Figure::new(Role::Shown, "shown", Unit::Milliseconds, 0.1));
        Check::new("some work", Target::Ratio(0.5), figures)
    }

    #[test]
    fn ours_is_compared_with_the_lowest_rival() {
        assert_eq!(check(1.0, &[4.0, 2.0]).ratio(), Some(0.5));
        assert!(check(1.0, &[4.0, 2.0]).holds());
        assert!(!check(1.1, &[4.0, 2.0]).holds());
    }

    #[test]
    fn what_was_not_measured_does_not_hold() {
        assert!(!check(1.0, &[]).holds());
        assert!(!check(f64::NAN, &[1.0]).holds());
        assert!(!Check::new("nothing", Target::Most(1.0), Vec::new()).holds());
    }

    #[test]
    fn a_check_survives_the_way_between_processes() {
        let checks = [check(1.25, &[4.0]), Check::new("other", Target::Most(2.0), Vec::new())];
        let lines: String = checks.iter().map(Check::to_lines).collect();
        let arrived: String = Check::from_lines(&lines).iter().map(Check::to_lines).collect();
        assert_eq!(arrived, lines);
    }

    #[test]
    fn several_processes_give_medians() {
        let runs = [3.0, 1.0, 2.0].map(|ours| vec![check(ours, &[4.0])]);
        assert_eq!(Check::merge(&runs)[0].figures[0].value.total_cmp(&2.0), std::cmp::Ordering::Equal);
    }
}
