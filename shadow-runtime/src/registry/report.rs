//! The registry's report: rows, and a table of them for people.
//!
//! In: fields. Out: a snapshot of their counts, which prints as a table of at most 120 columns.

use std::fmt;
use std::panic::Location;

use crate::policy::Policy;
use crate::registry::Field;

/// The widest line that the table has.
const WIDTH: usize = 120;

/// One row per shadow field. Made by [`Registry::report`](super::Registry::report).
///
/// It prints as a table that fits 120 columns; long names are cut there, not in the rows.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(get_or_attach hits: std::sync::atomic::AtomicU64)]
/// struct Page { shadow: ShadowFields }
///
/// Page::default().hits();
/// let table = registry().report().to_string();
/// assert!(table.lines().next().unwrap().starts_with("host"));
/// assert!(table.lines().any(|line| line.contains("hits") && line.contains("get_or_attach")));
/// ```
#[derive(Clone, Debug)]
pub struct Report {
    rows: Vec<Row>,
}

/// One shadow field, and what was done with it on all hosts together.
///
/// ```
/// use shadow_runtime::{Shadow, ShadowFields, registry};
///
/// #[derive(Shadow, Default)]
/// #[shadow_field(get_or_update title: String)]
/// struct Page { shadow: ShadowFields }
///
/// let mut page = Page::default();
/// page.update_title("draft".into());
/// page.update_title("final".into());
/// page.detach_title();
///
/// let report = registry().report();
/// let row = report.iter().find(|row| row.field() == "title").unwrap();
/// assert_eq!((row.host(), row.value_type()), ("Page", "String"));
/// assert_eq!((row.attached(), row.updates(), row.detached(), row.live()), (1, 1, 1, 0));
/// assert_eq!(row.duplicates(), 0);
/// println!("declared at {}", row.declared_at());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Row {
    field: &'static Field,
    attached: u64,
    detached: u64,
    updates: u64,
    duplicates: u64,
}

impl Report {
    pub(super) fn of(fields: &[&'static Field]) -> Self {
        let row = |&field: &&'static Field| {
            let [attached, detached, updates, duplicates] = field.counts().read();
            Row { field, attached, detached, updates, duplicates }
        };
        Self { rows: fields.iter().map(row).collect() }
    }

    /// The rows, in the order in which the fields were first attached.
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows.iter()
    }
}

impl<'report> IntoIterator for &'report Report {
    type Item = &'report Row;
    type IntoIter = std::slice::Iter<'report, Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl IntoIterator for Report {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.rows.into_iter()
    }
}

impl Row {
    /// The type of the host, as declared.
    #[must_use]
    pub const fn host(&self) -> &'static str {
        self.field.host()
    }

    /// The name of the field.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        self.field.name()
    }

    /// The type of the value, as declared.
    #[must_use]
    pub const fn value_type(&self) -> &'static str {
        self.field.value_type()
    }

    /// The field's policy.
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.field.policy()
    }

    /// Where the field is declared.
    #[must_use]
    pub const fn declared_at(&self) -> &'static Location<'static> {
        self.field.place()
    }

    /// On how many hosts it is attached now.
    #[must_use]
    pub const fn live(&self) -> u64 {
        self.attached - self.detached
    }

    /// How often it was attached.
    #[must_use]
    pub const fn attached(&self) -> u64 {
        self.attached
    }

    /// How often it ended: detached, or dropped with its host.
    #[must_use]
    pub const fn detached(&self) -> u64 {
        self.detached
    }

    /// How often a value that was there was replaced.
    #[must_use]
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// How often a second attach was refused.
    #[must_use]
    pub const fn duplicates(&self) -> u64 {
        self.duplicates
    }
}

const COLUMNS: [&str; 10] =
    ["host", "field", "value", "policy", "live", "attached", "detached", "updates", "refused", "declared at"];

/// The columns that may be cut: `declared at` at its start, the others at their end.
const ELASTIC: [usize; 4] = [0, 1, 2, 9];

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<[String; 10]> = self.rows.iter().map(Row::words).collect();
        let mut widths = COLUMNS.map(str::len);
        for line in &lines {
            for (width, word) in widths.iter_mut().zip(line) {
                *width = (*width).max(columns(word));
            }
        }
        fit(&mut widths);
        write_line(formatter, &widths, &COLUMNS.map(String::from))?;
        for line in &lines {
            formatter.write_str("\n")?;
            write_line(formatter, &widths, line)?;
        }
        Ok(())
    }
}

impl Row {
    fn words(&self) -> [String; 10] {
        let place = self.declared_at();
        [
            without_paths(self.host()),
            self.field().to_owned(),
            without_paths(self.value_type()),
            self.policy().to_string(),
            short(self.live()),
            short(self.attached),
            short(self.detached),
            short(self.updates),
            short(self.duplicates),
            format!("{}:{}", place.file(), place.line()),
        ]
    }
}

/// Takes from the widest elastic column until the line fits.
fn fit(widths: &mut [usize; 10]) {
    let gaps = 2 * (widths.len() - 1);
    while widths.iter().sum::<usize>() + gaps > WIDTH {
        let widest = ELASTIC.into_iter().max_by_key(|&column| widths[column]).unwrap_or(0);
        widths[widest] -= 1;
    }
}

fn write_line(formatter: &mut fmt::Formatter<'_>, widths: &[usize; 10], words: &[String; 10]) -> fmt::Result {
    for (column, (word, &width)) in words.iter().zip(widths).enumerate() {
        if column > 0 {
            formatter.write_str("  ")?;
        }
        match column {
            4..=8 => write!(formatter, "{word:>width$}")?,
            // A path says most at its end.
            9 => formatter.write_str(&cut_start(word, width))?,
            _ => {
                let word = cut_end(word, width);
                write!(formatter, "{word}{:gap$}", "", gap = width - columns(&word))?;
            }
        }
    }
    Ok(())
}

/// A type without the modules that its names are in, which tell the least in the narrow columns of a table.
fn without_paths(name: &str) -> String {
    let mut text = String::new();
    for (index, part) in name.split("::").enumerate() {
        if index > 0 {
            let module = text.len() - text.trim_end_matches(|last: char| last.is_alphanumeric() || last == '_').len();
            if module == 0 {
                text.push_str("::");
            }
            text.truncate(text.len() - module);
        }
        text.push_str(part);
    }
    text
}

fn cut_end(word: &str, width: usize) -> String {
    if columns(word) <= width {
        return word.to_owned();
    }
    let mut room = width - 1;
    fitting(word.chars(), &mut room).chain(['…']).collect()
}

fn cut_start(word: &str, width: usize) -> String {
    if columns(word) <= width {
        return word.to_owned();
    }
    let mut room = width - 1;
    let end: Vec<char> = fitting(word.chars().rev(), &mut room).collect();
    ['…'].into_iter().chain(end.into_iter().rev()).collect()
}

/// As many of the characters as there is room for.
fn fitting(characters: impl Iterator<Item = char>, room: &mut usize) -> impl Iterator<Item = char> {
    characters.map_while(|character| {
        *room = room.checked_sub(column_count(character))?;
        Some(character)
    })
}

fn columns(word: &str) -> usize {
    word.chars().map(column_count).sum()
}

/// How many columns a terminal gives a character: two for the wide scripts of East Asia (Unicode's annex 11, by blocks).
fn column_count(character: char) -> usize {
    let wide = matches!(character,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}');
    if wide { 2 } else { 1 }
}

/// A number in at most eight columns: exact up to 99,999,999, then in millions and beyond.
fn short(number: u64) -> String {
    match number {
        0..=99_999_999 => number.to_string(),
        100_000_000..=999_999_999_999 => format!("{}M", number / 1_000_000),
        1_000_000_000_000..=999_999_999_999_999 => format!("{}G", number / 1_000_000_000),
        _ => format!("{}T", number / 1_000_000_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{columns, cut_end, cut_start, short, without_paths};

    #[test]
    fn wide_characters_count_for_two() {
        assert_eq!(columns("ab連線"), 6);
        assert_eq!(cut_end("連線連線", 6), "連線…");
        assert_eq!(cut_start("連線連線", 6), "…連線");
        assert_eq!(cut_end("abcdef", 4), "abc…");
    }

    #[test]
    fn a_type_is_shown_without_its_modules() {
        for (name, shown) in [
            ("u32", "u32"),
            ("core::sync::atomic::AtomicU32", "AtomicU32"),
            ("alloc::vec::Vec<crate::net::Peer>", "Vec<Peer>"),
            ("&'static a::B", "&'static B"),
            ("<T as a::Iterator>::Item", "<T as Iterator>::Item"),
        ] {
            assert_eq!(without_paths(name), shown);
        }
    }

    #[test]
    fn numbers_are_exact_as_long_as_they_fit() {
        for (number, shown) in [
            (0, "0"),
            (99_999_999, "99999999"),
            (100_000_000, "100M"),
            (999_999_999_999, "999999M"),
            (1_000_000_000_000, "1000G"),
            (u64::MAX, "18446744T"),
        ] {
            assert_eq!(short(number), shown);
        }
    }
}
