//! Descriptions of numbers of `raw`: the texts of the report and of messages, set at run time.
//!
//! In: a number and its texts, from a program that knows what a number names. Out: the texts, to a report or a message.
//! Neighbours: `mod.rs`, whose lock guards the [`Descriptions`]; `field.rs`, the texts of a field.
//!
//! No attach and no read looks at a description. The vector is sorted by number. A new description needs room, which
//! the thread allocates before the lock, in proportion to the length, so that many descriptions cost linear time.

use std::{fmt, mem};

use super::{Place, STATE};
use crate::fallible::{OutOfMemory, try_room};
use crate::sync::plain::lock;

/// The texts of a field of [`raw`](crate::raw) in the report and in messages. Passed to
/// [`raw::describe`](crate::raw::describe).
///
/// A description has a name. The host, the type of the value and the place are as those of the id if the description
/// has none.
///
/// ```
/// use shadow_runtime::raw::Description;
///
/// const COUNTER: Description =
///     Description::new("counter").host("struct socket").value_type("uint64_t").declared_at("net/socket.c", 12);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Description {
    pub(super) name: &'static str,
    pub(super) host: Option<&'static str>,
    pub(super) value_type: Option<&'static str>,
    pub(super) place: Option<Place>,
}

impl Description {
    /// A description with the name of the field.
    ///
    /// ```
    /// # use shadow_runtime::raw::{Description, describe};
    /// describe(1, Description::new("counter"));
    /// ```
    pub const fn new(name: &'static str) -> Self {
        Self { name, host: None, value_type: None, place: None }
    }

    /// Adds the type of the object.
    ///
    /// ```
    /// # use shadow_runtime::raw::{Description, describe};
    /// describe(1, Description::new("counter").host("struct socket"));
    /// ```
    pub const fn host(self, host: &'static str) -> Self {
        Self { host: Some(host), ..self }
    }

    /// Adds the type of the value.
    ///
    /// ```
    /// # use shadow_runtime::raw::{Description, describe};
    /// describe(1, Description::new("counter").value_type("uint64_t"));
    /// ```
    pub const fn value_type(self, value_type: &'static str) -> Self {
        Self { value_type: Some(value_type), ..self }
    }

    /// Adds the file and the line of the declaration.
    ///
    /// ```
    /// # use shadow_runtime::raw::{Description, describe};
    /// describe(1, Description::new("counter").declared_at("net/socket.c", 12));
    /// ```
    pub const fn declared_at(self, file: &'static str, line: u32) -> Self {
        Self { place: Some(Place::of_line(file, line)), ..self }
    }
}

/// The descriptions of all numbers, sorted by number.
pub(super) struct Descriptions {
    sorted: Vec<(u64, Description)>,
}

impl Descriptions {
    pub(super) const fn new() -> Self {
        Self { sorted: Vec::new() }
    }

    pub(super) fn find(&self, number: u64) -> Option<Description> {
        let index = self.sorted.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        Some(self.sorted[index].1)
    }

    /// Sets the description of a number, or returns `false` if there is no room.
    fn set(&mut self, number: u64, description: Description) -> bool {
        match self.sorted.binary_search_by_key(&number, |(number, _)| *number) {
            Ok(index) => self.sorted[index].1 = description,
            Err(_) if self.sorted.len() == self.sorted.capacity() => return false,
            Err(index) => self.sorted.insert(index, (number, description)),
        }
        true
    }
}

/// Describes a number. The last description wins. Without memory, the previous description stays.
pub(crate) fn try_describe(number: u64, description: Description) -> Result<(), OutOfMemory> {
    // Allocated before the lock, and freed after the unlock, since the global allocator may have fields.
    let mut room: Vec<(u64, Description)> = Vec::new();
    loop {
        let mut state = lock(&STATE);
        let sorted = &mut state.descriptions.sorted;
        if room.capacity() > sorted.len() {
            room.extend_from_slice(sorted);
            mem::swap(sorted, &mut room);
        }
        if state.descriptions.set(number, description) {
            return Ok(());
        }
        let capacity = (2 * state.descriptions.sorted.len()).max(8);
        drop(state);
        room = try_room(capacity)?;
    }
}

/// A number of `raw`, with the name that its id has in the source. Two numbers are equal whatever the names.
#[derive(Clone, Copy)]
pub(crate) struct RawNumber {
    pub(crate) number: u64,
    pub(crate) name: Option<&'static str>,
}

impl RawNumber {
    /// The name of the description, or else the name of the id.
    pub(crate) fn current_name(self) -> Option<&'static str> {
        let described = lock(&STATE).descriptions.find(self.number);
        described.map(|description| description.name).or(self.name)
    }
}

impl PartialEq for RawNumber {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

/// The field in messages: `raw id 1`, or with a name `raw id 1 "counter"`.
impl fmt::Display for RawNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "raw id {}", self.number)?;
        self.current_name().map_or(Ok(()), |name| write!(formatter, " {name:?}"))
    }
}

/// The number and the name, for `Debug` of an id.
impl fmt::Debug for RawNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.number)?;
        self.current_name().map_or(Ok(()), |name| write!(formatter, ", {name:?}"))
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::fewer::fewer;

    #[test]
    fn each_number_has_its_last_description() {
        const FIRST: u64 = u64::MAX - 1000;
        const COUNT: u64 = fewer(101, 11) as u64;
        let found = |number: u64| lock(&STATE).descriptions.find(number);
        // Every residue once, in an order that is neither ascending nor descending.
        let numbers = || (0..COUNT).map(|step| FIRST + step * 37 % COUNT);
        for (round, name) in ["first", "second"].into_iter().enumerate() {
            for (done, number) in numbers().enumerate() {
                let description = Description::new(name).declared_at("socket.c", u32::try_from(done).unwrap());
                try_describe(number, description).expect("there is memory");
                for (other, seen) in numbers().enumerate() {
                    let before = if round == 0 { None } else { Some("first") };
                    let expected = if other <= done { Some(name) } else { before };
                    assert_eq!(found(seen).map(|description| description.name), expected, "{round} {done} {other}");
                }
            }
        }
        assert_eq!([found(FIRST - 1), found(FIRST + COUNT)], [None; 2]);
    }
}
