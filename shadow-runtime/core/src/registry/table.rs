//! Prints the report: as a table, or with `{:#}` as a paragraph for each field.
//!
//! In: rows, and a width: of the format, as in `{:100}`; or else of the terminal on standard output; or else [`WIDTH`].
//! Out: text. Neighbours: `report.rs`, the rows; `../terminal.rs`, the terminal.
//!
//! The table has a line for each host and module, and below it a line for each field. The lines of the hosts are sorted
//! by module and host; the fields of a host are in the order of their first attaches. A table that is too wide shrinks
//! step by step, until it fits:
//!
//! 1. Counters that are 0 for all fields are dropped, the last one first. `live` stays.
//! 2. `declared at` moves to a line of its own below the field.
//! 3. `value` does, too, above `declared at`.
//! 4. The paragraphs replace the table.
//!
//! The print allocates no memory, so a caller without memory gets the report if its writer needs none.
//!
//! No text is cut. So a line wider than the width has a single name, with an indent or a label. The width of a text is
//! its number of characters, as for std's `{:10}`.

use std::array;
use std::fmt::{self, Write};

use crate::registry::{Place, Report, Row};
use crate::terminal;

/// The width without a terminal.
const WIDTH: usize = 120;

type CellOf = fn(&Row) -> Cell;

/// The columns of the paragraphs: the headings, and the cells of a row. The host and the module are not in the table:
/// [`write_host`] writes their lines.
const COLUMNS: [(&str, CellOf); 11] = [
    ("host", |row| Cell::Text(row.host())),
    ("module", |row| Cell::Text(row.module_path().unwrap_or_default())),
    ("field", field_of),
    ("value", |row| Cell::Text(row.value_type())),
    ("policy", |row| Cell::Text(row.policy().name())),
    ("live", |row| Cell::Count(row.live())),
    ("attached", |row| Cell::Count(row.attached())),
    ("detached", |row| Cell::Count(row.detached())),
    ("updates", |row| Cell::Count(row.updates())),
    ("refused", |row| Cell::Count(row.refused())),
    ("declared at", |row| Cell::Place(row.declared_at())),
];

const COUNTERS: [&str; 5] = ["live", "attached", "detached", "updates", "refused"];

/// The text of a row in a column.
enum Cell {
    Text(&'static str),
    /// A name and a number of `raw`.
    Numbered(&'static str, u64),
    Count(u64),
    Place(Place),
}

/// The name of a field; for a number of `raw` that has a name, with the number.
fn field_of(row: &Row) -> Cell {
    let name = row.field();
    let is_name = |number: &u64| name.parse() != Ok(*number) || name.len() != width_of(number);
    row.number().filter(is_name).map_or(Cell::Text(name), |number| Cell::Numbered(name, number))
}

impl fmt::Display for Cell {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Numbered(name, number) => write!(formatter, "{name} ({number})"),
            Self::Count(count) => write!(formatter, "{count}"),
            Self::Place(place) => write!(formatter, "{}:{}", place.file(), place.line()),
        }
    }
}

/// A column of the table.
struct Column {
    heading: &'static str,
    cell: CellOf,
    /// The width of the widest cell, or of the heading.
    width: usize,
    position: Position,
}

/// Where the cells of a column are.
#[derive(PartialEq)]
enum Position {
    Line,
    /// On a line of their own.
    Below,
    Dropped,
}

/// The columns but for the host and the module.
struct Table {
    columns: [Column; COLUMNS.len() - 2],
}

/// The width of a text that is written to it.
struct Width(usize);

impl Write for Width {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.chars().count();
        Ok(())
    }
}

fn width_of(text: &dyn fmt::Display) -> usize {
    let mut width = Width(0);
    // The write cannot fail.
    let _ = write!(width, "{text}");
    width.0
}

/// Whether the report has the column. Without the feature `counts`, there are no counters.
fn is_printed(heading: &str) -> bool {
    cfg!(feature = "counts") || !COUNTERS.contains(&heading)
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = formatter.width().or_else(terminal::width).unwrap_or(WIDTH);
        let table = if formatter.alternate() { None } else { Table::fitting(self, width) };
        let Some(table) = table else { return write_paragraphs(self, formatter) };
        table.write_line(formatter, |column| Cell::Text(column.heading))?;
        let mut before = None;
        for row in self.sorted() {
            let host = Some((row.host(), row.module_path()));
            if before != host {
                before = host;
                write_host(row, width, formatter)?;
            }
            formatter.write_str("\n")?;
            table.write_line(formatter, |column| (column.cell)(row))?;
        }
        Ok(())
    }
}

impl Column {
    fn of((heading, cell): (&'static str, CellOf), report: &Report) -> Self {
        let widths = report.iter().map(|row| width_of(&cell(row)));
        let width = widths.chain([heading.len()]).max().unwrap_or(0);
        let position = if is_printed(heading) { Position::Line } else { Position::Dropped };
        Self { heading, cell, width, position }
    }

    fn is_counter(&self) -> bool {
        COUNTERS.contains(&self.heading)
    }

    /// Whether the column may be dropped.
    fn is_zero(&self, report: &Report) -> bool {
        let is_zero = |row| matches!((self.cell)(row), Cell::Count(0));
        self.is_counter() && self.heading != "live" && report.iter().all(is_zero)
    }
}

impl Table {
    /// The table within the width, or `None` if every shape of the table is too wide.
    fn fitting(report: &Report, width: usize) -> Option<Self> {
        let mut table = Self { columns: array::from_fn(|index| Column::of(COLUMNS[index + 2], report)) };
        // Two blanks come before each column.
        while table.at(Position::Line).map(|column| 2 + column.width).sum::<usize>() > width {
            let mut line = table.columns.iter_mut().rev().filter(|column| column.position == Position::Line);
            if let Some(zero) = line.find(|column| column.is_zero(report)) {
                zero.position = Position::Dropped;
            } else {
                let may_move = |column: &&mut Column| {
                    column.position == Position::Line && ["declared at", "value"].contains(&column.heading)
                };
                table.columns.iter_mut().rev().find(may_move)?.position = Position::Below;
            }
        }
        Some(table)
    }

    fn at(&self, position: Position) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(move |column| column.position == position)
    }

    /// Writes the headings, or the cells of a row, without blanks at the end.
    fn write_line(&self, to: &mut dyn Write, cell: impl Fn(&Column) -> Cell) -> fmt::Result {
        let mut blanks = 0;
        for column in self.at(Position::Line) {
            let cell = cell(column);
            let rest = column.width - width_of(&cell);
            let (before, after) = if column.is_counter() { (rest, 0) } else { (0, rest) };
            write!(to, "{:1$}{cell}", "", blanks + 2 + before)?;
            blanks = after;
        }
        self.at(Position::Below).try_for_each(|column| write!(to, "\n    {}", cell(column)))
    }
}

/// Writes a line with the host and the module, or two lines if there is no room.
fn write_host(row: &Row, width: usize, to: &mut dyn Write) -> fmt::Result {
    let host = row.host();
    let Some(module) = row.module_path() else { return write!(to, "\n{host}") };
    let has_room = width_of(&format_args!("{host} in {module}")) <= width;
    write!(to, "\n{host}{}in {module}", if has_room { ' ' } else { '\n' })
}

/// Writes a paragraph for each row: a line for each column that has a text, with the heading.
fn write_paragraphs(report: &Report, to: &mut dyn Write) -> fmt::Result {
    let mut between = "";
    for row in report.sorted() {
        for (heading, cell) in COLUMNS.into_iter().filter(|(heading, _)| is_printed(heading)) {
            let cell = cell(row);
            if width_of(&cell) > 0 {
                write!(to, "{between}{heading:11}  {cell}")?;
                between = "\n";
            }
        }
        between = "\n\n";
    }
    Ok(())
}

#[cfg(all(test, not(loom), feature = "counts"))]
mod tests {
    use std::panic::Location;

    use super::*;
    use crate::fewer::fewer;
    use crate::policy::Policy;
    use crate::registry::Field;

    /// A field on the heap, with the place of the caller.
    #[track_caller]
    fn row(names: [&'static str; 4], policy: Policy, [attached, detached, updates, refused]: [u64; 4]) -> Row {
        let [module, host, name, value] = names;
        let field = match module {
            "" => Field::of_raw(7, Location::caller(), host, name, value, policy, 8),
            _ => Field::new(module, host, name, value, policy, None),
        };
        let names = field.names_with(None);
        let field = Box::leak(Box::new(field));
        Row { field, names, live: attached - detached, attached, detached, updates, refused }
    }

    /// A report in the order of first attaches, and the places of its rows.
    fn report() -> (Report, Vec<String>) {
        let rows = vec![
            row(["app::pool", "Connection", "idle", "bool"], Policy::Attach, [5, 5, 0, 0]),
            row(["app::net", "Connection", "label", "Vec<String>"], Policy::GetOrUpdate, [12_345, 5, 0, 0]),
            row(["", "*const ()", "7", "u8"], Policy::Attach, [1, 0, 0, 1]),
            row(["app::net", "Connection", "größe", "AtomicU64"], Policy::GetOrAttach, [3, 1, 0, 0]),
        ];
        let places = rows.iter().map(Row::declared_at);
        let places = places.map(|place| format!("{}:{}", place.file(), place.line())).collect();
        (Report::of(rows).expect("there is memory"), places)
    }

    /// Checks a printed report, with `PLACE` for the place of each declaration.
    fn check(printed: &str, expected: &str) {
        let printed = report().1.iter().fold(printed.to_owned(), |text, place| text.replace(place, "PLACE"));
        assert!(printed == expected.trim_start_matches('\n'), "{printed}");
    }

    #[test]
    fn a_wide_table_has_all_columns_and_tells_two_connections_apart_by_their_modules() {
        let (report, places) = report();
        let width = 82 + places[0].len();
        let expected = "
  field  value        policy          live  attached  detached  updates  refused  declared at
*const ()
  7      u8           attach             1         1         0        0        1  PLACE
Connection in app::net
  label  Vec<String>  get_or_update  12340     12345         5        0        0  PLACE
  größe  AtomicU64    get_or_attach      2         3         1        0        0  PLACE
Connection in app::pool
  idle   bool         attach             0         5         5        0        0  PLACE";
        check(&format!("{report:width$}"), expected);
        check(&format!("{report:200}"), expected);
    }

    #[test]
    fn zeros_are_dropped_first() {
        let (report, places) = report();
        let width = 73 + places[0].len();
        let expected = "
  field  value        policy          live  attached  detached  refused  declared at
*const ()
  7      u8           attach             1         1         0        1  PLACE
Connection in app::net
  label  Vec<String>  get_or_update  12340     12345         5        0  PLACE
  größe  AtomicU64    get_or_attach      2         3         1        0  PLACE
Connection in app::pool
  idle   bool         attach             0         5         5        0  PLACE";
        check(&format!("{report:width$}"), expected);
        check(&format!("{report:0$}", width + 8), expected);
    }

    #[test]
    fn places_move_below_their_fields_next() {
        let expected = "
  field  value        policy          live  attached  detached  refused
    declared at
*const ()
  7      u8           attach             1         1         0        1
    PLACE
Connection in app::net
  label  Vec<String>  get_or_update  12340     12345         5        0
    PLACE
  größe  AtomicU64    get_or_attach      2         3         1        0
    PLACE
Connection in app::pool
  idle   bool         attach             0         5         5        0
    PLACE";
        check(&format!("{:80}", report().0), expected);
        check(&format!("{:71}", report().0), expected);
    }

    #[test]
    fn values_move_below_their_fields_last() {
        let expected = "
  field  policy          live  attached  detached  refused
    value
    declared at
*const ()
  7      attach             1         1         0        1
    u8
    PLACE
Connection in app::net
  label  get_or_update  12340     12345         5        0
    Vec<String>
    PLACE
  größe  get_or_attach      2         3         1        0
    AtomicU64
    PLACE
Connection in app::pool
  idle   attach             0         5         5        0
    bool
    PLACE";
        check(&format!("{:70}", report().0), expected);
        check(&format!("{:58}", report().0), expected);
    }

    #[test]
    fn paragraphs_replace_a_table_that_is_still_too_wide_and_are_the_alternate_form() {
        let paragraphs = "
host         *const ()
field        7
value        u8
policy       attach
live         1
attached     1
detached     0
updates      0
refused      1
declared at  PLACE

host         Connection
module       app::net
field        label
value        Vec<String>
policy       get_or_update
live         12340
attached     12345
detached     5
updates      0
refused      0
declared at  PLACE

host         Connection
module       app::net
field        größe
value        AtomicU64
policy       get_or_attach
live         2
attached     3
detached     1
updates      0
refused      0
declared at  PLACE

host         Connection
module       app::pool
field        idle
value        bool
policy       attach
live         0
attached     5
detached     5
updates      0
refused      0
declared at  PLACE";
        check(&format!("{:57}", report().0), paragraphs);
        check(&format!("{:40}", report().0), paragraphs);
        check(&format!("{:#}", report().0), paragraphs);
        check(&format!("{:#200}", report().0), paragraphs);
    }

    #[test]
    fn no_width_cuts_a_name_and_only_a_single_name_is_wider_than_the_width() {
        let names = [
            "app::a_module_of_a_program::with_a_path::of_more_than_sixty_characters",
            "AHostWithANameOfMoreThanFortyCharacters<Generic, And, So, On>",
            "a_field_with_a_name_of_more_than_forty_characters",
            "std::collections::HashMap<String, Vec<Option<(u8, u16)>>>",
        ];
        let long = row(names, Policy::GetOrUpdateCopy, [u64::MAX; 4]);
        let place = format!("{}:{}", long.declared_at().file(), long.declared_at().line());
        let report =
            Report::of(vec![long, row(["m", "H", "f", "u8"], Policy::Attach, [1, 0, 0, 0])]).expect("there is memory");
        for width in (0..300).step_by(fewer(1, 299)) {
            let printed = format!("{report:width$}");
            let shown = names.into_iter().chain([&*place, "get_or_update(copy)", "18446744073709551615"]);
            let missing: Vec<&str> = shown.filter(|name| !printed.contains(name)).collect();
            assert!(missing.is_empty(), "{width}: {missing:?} of\n{printed}");
            for line in printed.lines().filter(|line| line.chars().count() > width) {
                let is_single = names.into_iter().chain([&*place]).filter(|name| line.contains(name)).count() == 1;
                let is_paragraph = COLUMNS.iter().any(|(heading, _)| line.starts_with(&format!("{heading:11}  ")));
                assert!(is_paragraph || is_single && !line.contains("18446744073709551615"), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_module_has_a_line_of_its_own_if_there_is_no_room() {
        let row = row(["app::net", "Connection", "label", "String"], Policy::Attach, [1, 0, 0, 0]);
        let host = |width| {
            let mut line = String::new();
            write_host(&row, width, &mut line).expect("a string grows");
            line
        };
        assert_eq!(host(22), "\nConnection in app::net");
        assert_eq!(host(21), "\nConnection\nin app::net");
    }

    #[test]
    fn a_report_without_fields_has_headings_only() {
        let empty = Report::of(Vec::new()).expect("it needs no memory");
        let headings = "  field  value  policy  live  attached  detached  updates  refused  declared at";
        assert_eq!(format!("{empty:80}"), headings);
        assert_eq!(format!("{empty:79}"), headings);
        assert_eq!(format!("{empty:78}"), headings.replace("refused  ", ""));
        assert_eq!(format!("{empty:41}"), "  field  value  policy  live  declared at");
        assert_eq!(format!("{empty:40}"), "  field  value  policy  live\n    declared at", "`live` is never dropped");
        assert_eq!(format!("{empty:#}"), "");
    }
}
