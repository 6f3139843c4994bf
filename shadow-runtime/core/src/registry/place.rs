//! The place of a declaration in a source file.
//!
//! In: a location of Rust, or a file and a line of another language. Out: the place, for the report. Neighbours:
//! `field.rs` and `description.rs`, which have places; `report.rs`, which hands places out.

use std::fmt;
use std::panic::Location;

/// The place of a declaration: a file, a line, and the column if the column is known. Returned by
/// [`Row::declared_at`](super::Row::declared_at).
///
/// A place of Rust is a [`Location`], with a column. [`Description::declared_at`](super::Description::declared_at)
/// makes a place without a column, for a declaration in another language.
///
/// ```
/// use std::panic::Location;
/// use shadow_runtime::Place;
///
/// let here = Place::from(Location::caller());
/// assert_eq!(here.file(), file!());
/// assert_eq!(here.to_string(), format!("{}:{}:{}", here.file(), here.line(), here.column().unwrap()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    file: &'static str,
    line: u32,
    column: Option<u32>,
}

impl Place {
    pub(super) const fn of_line(file: &'static str, line: u32) -> Self {
        Self { file, line, column: None }
    }

    pub(super) const fn of_location(location: &'static Location<'static>) -> Self {
        Self { file: location.file(), line: location.line(), column: Some(location.column()) }
    }

    /// The file, as the compiler was given it.
    ///
    /// ```
    /// # use std::panic::Location;
    /// # use shadow_runtime::Place;
    /// assert_eq!(Place::from(Location::caller()).file(), file!());
    /// ```
    #[must_use]
    pub const fn file(&self) -> &'static str {
        self.file
    }

    /// The line, from 1 on.
    ///
    /// ```
    /// # use std::panic::Location;
    /// # use shadow_runtime::Place;
    /// assert_eq!(Place::from(Location::caller()).line(), line!());
    /// ```
    #[must_use]
    pub const fn line(&self) -> u32 {
        self.line
    }

    /// The column, from 1 on, if the column is known.
    ///
    /// ```
    /// # use std::panic::Location;
    /// # use shadow_runtime::Place;
    /// assert!(Place::from(Location::caller()).column().is_some());
    /// ```
    #[must_use]
    pub const fn column(&self) -> Option<u32> {
        self.column
    }
}

impl From<&'static Location<'static>> for Place {
    fn from(location: &'static Location<'static>) -> Self {
        Self::of_location(location)
    }
}

/// `file:line:column`, or `file:line` without a column.
impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)?;
        self.column.map_or(Ok(()), |column| write!(formatter, ":{column}"))
    }
}
