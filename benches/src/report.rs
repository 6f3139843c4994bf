//! Formats the table of `compare`.
//!
//! In: checks, in any order. Out: lines. Ours is first, with ratio, target and verdict; the rivals follow.

use crate::check::{Check, Figure, Target, Unit};

/// The header line.
#[must_use]
pub fn head() -> String {
    line(["row", "work", "contestant", "figure", "instr.", "ratio", "target", ""])
}

/// The lines of one check.
#[must_use]
pub fn lines(row: u8, check: &Check) -> String {
    let row = row.to_string();
    let (ratio, target) = (ratio(check), target(check));
    let verdict = if check.holds() { "holds" } else { "misses" };
    let Some((first, others)) = check.figures.split_first() else {
        return line([&row, &check.work, "not measured", "", "", "", &target, verdict]);
    };
    let (figure, instructions) = (first.to_string(), instructions(first));
    let mut text = line([&row, &check.work, &first.who, &figure, &instructions, &ratio, &target, verdict]);
    for other in others {
        text += "\n";
        text += &line(["", "", &other.who, &other.to_string(), &self::instructions(other), "", "", ""]);
    }
    text
}

/// The lines of one point of the chart, without a verdict.
#[must_use]
pub fn point(check: &Check) -> String {
    let figures = check.figures.iter().map(|figure| format!("    {:<28}  {:>12}\n", figure.who, figure.to_string()));
    format!("{}\n{}", check.work, figures.collect::<String>())
}

fn line([row, work, who, figure, instructions, ratio, target, verdict]: [&str; 8]) -> String {
    let text = format!(
        "{row:>3}  {work:<62}  {who:<24}  {figure:>12}  {instructions:>7}  {ratio:>8}  {target:>12}  {verdict}"
    );
    text.trim_end().to_owned()
}

fn instructions(figure: &Figure) -> String {
    figure.instructions.map_or_else(String::new, |count| format!("{count:.1}"))
}

fn ratio(check: &Check) -> String {
    check.ratio().map_or_else(String::new, |ratio| fraction(ratio, ratio))
}

/// The target in words.
fn target(check: &Check) -> String {
    match check.target {
        Target::Ratio(most) => format!("≤ {}", fraction(most, most)),
        Target::Most(most) => {
            let unit = check.figures.first().map_or(Unit::Bytes, |ours| ours.unit);
            format!("≤ {most:.0} {}", unit.word())
        }
    }
}

/// A ratio, as `1/n` if `size` is small.
fn fraction(value: f64, size: f64) -> String {
    if size < 0.1 { format!("1/{:.0}", 1.0 / value) } else { format!("{value:.2}") }
}
