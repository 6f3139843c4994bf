//! Prints the report as a table of at most 120 columns.
//!
//! In: rows. Out: text. If a line is too long, the table cuts long names.

use std::fmt;

use crate::registry::{Report, Row};

/// The most columns of a line.
const WIDTH: usize = 120;

const COLUMNS: [&str; 10] =
    ["host", "field", "value", "policy", "live", "attached", "detached", "updates", "refused", "declared at"];

/// The table columns that may be cut: `declared at` at its start, the others at their end.
const ELASTIC: [usize; 4] = [0, 1, 2, 9];

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<[String; 10]> = self.iter().map(words).collect();
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

fn words(row: &Row) -> [String; 10] {
    let place = row.declared_at();
    [
        without_paths(row.host()),
        row.field().to_owned(),
        without_paths(row.value_type()),
        row.policy().to_string(),
        short(row.live()),
        short(row.attached()),
        short(row.detached()),
        short(row.updates()),
        short(row.duplicates()),
        format!("{}:{}", place.file(), place.line()),
    ]
}

/// Shrinks the widest elastic column, step by step, until the line fits.
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
            // The end of a path says more than its start, so the start is cut.
            9 => formatter.write_str(&cut_start(word, width))?,
            _ => {
                let word = cut_end(word, width);
                write!(formatter, "{word}{:gap$}", "", gap = width - columns(&word))?;
            }
        }
    }
    Ok(())
}

/// A type without the module paths, which say the least in the narrow columns of a table.
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

/// The longest prefix of the characters within the bound `room`.
fn fitting(characters: impl Iterator<Item = char>, room: &mut usize) -> impl Iterator<Item = char> {
    characters.map_while(|character| {
        *room = room.checked_sub(column_count(character))?;
        Some(character)
    })
}

fn columns(word: &str) -> usize {
    word.chars().map(column_count).sum()
}

/// The number of terminal columns of a character: two for the wide scripts of East Asia (Unicode's annex 11, by
/// blocks).
fn column_count(character: char) -> usize {
    let wide = matches!(character,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}' | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}');
    if wide { 2 } else { 1 }
}

/// A number in at most nine columns: exact up to 99,999,999, then in millions, billions and trillions.
fn short(number: u64) -> String {
    match number {
        0..=99_999_999 => number.to_string(),
        100_000_000..=999_999_999_999 => format!("{}M", number / 1_000_000),
        1_000_000_000_000..=999_999_999_999_999 => format!("{}G", number / 1_000_000_000),
        _ => format!("{}T", number / 1_000_000_000_000),
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::{WIDTH, columns, cut_end, cut_start, fit, short, without_paths};

    #[test]
    fn columns_are_cut_where_they_are_widest_and_only_as_far_as_the_line_is_too_long() {
        // Plus nine gaps of two columns between ten columns.
        let fitting = [10, 20, 8, 10, 8, 8, 8, 8, 8, 14];
        assert_eq!(fitting.iter().sum::<usize>() + 18, WIDTH);
        let mut widths = fitting;
        fit(&mut widths);
        assert_eq!(widths, fitting);
        widths[0] = 24;
        widths[9] = 17;
        fit(&mut widths);
        assert_eq!(widths, [15, 15, 8, 10, 8, 8, 8, 8, 8, 14]);
    }

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
