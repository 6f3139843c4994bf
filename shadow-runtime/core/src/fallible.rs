//! Allocation that may fail, for callers that return an error: a library for C must not end the program.
//!
//! In: a value. Out: its box, or its text, or [`OutOfMemory`]. Neighbours: `raw/table.rs`, `raw/ids.rs`,
//! `side_table/writer.rs`, `init_lock/graph.rs`, `registry/description.rs`, `registry/report.rs`,
//! `registry/counters.rs`, `hazard/node.rs` and `hazard/scan_list.rs`, which allocate in this way. All other
//! allocations of the library end the process without memory, as those of std do.

use std::alloc::{Layout, alloc};
use std::error::Error;
use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// The system has no memory for a field, a description or a report. The call changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutOfMemory;

impl fmt::Display for OutOfMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("no memory is left")
    }
}

impl Error for OutOfMemory {}

/// As `Box::new`, with an error if the allocator has no memory. The error drops `value`.
pub(crate) fn try_box<T>(value: T) -> Result<Box<T>, OutOfMemory> {
    let mut room = try_uninit()?;
    room.write(value);
    // SAFETY: the line above has initialised the box.
    Ok(unsafe { room.assume_init() })
}

/// As `Box::new_uninit`, with an error if the allocator has no memory.
#[inline]
pub(crate) fn try_uninit<T>() -> Result<Box<MaybeUninit<T>>, OutOfMemory> {
    let layout = Layout::new::<T>();
    if layout.size() == 0 {
        return Ok(Box::new_uninit());
    }
    // SAFETY: the layout has a non-zero size.
    let room = unsafe { alloc(layout) };
    let room = NonNull::new(room.cast()).ok_or(OutOfMemory)?;
    // SAFETY: the global allocator has allocated the memory with the layout of a `T`, and the box alone owns the
    // memory. A `MaybeUninit` needs no initialisation.
    Ok(unsafe { Box::from_raw(room.as_ptr()) })
}

/// A vector with room for `length` values and no more.
pub(crate) fn try_room<T>(length: usize) -> Result<Vec<T>, OutOfMemory> {
    let mut room = Vec::new();
    room.try_reserve_exact(length).map_err(|_| OutOfMemory)?;
    Ok(room)
}

/// The decimal digits of a number.
pub(crate) fn try_digits(number: u64) -> Result<Box<str>, OutOfMemory> {
    let length = number.checked_ilog10().unwrap_or(0) as usize + 1;
    let mut digits = try_room(length)?;
    let mut rest = number;
    for _ in 0..length {
        digits.push(b'0' + (rest % 10) as u8);
        rest /= 10;
    }
    digits.reverse();
    Ok(String::from_utf8(digits).expect("digits are ASCII").into_boxed_str())
}

/// The text of a value, in a string that may have more room than the text.
pub(crate) fn try_format(value: &dyn fmt::Display) -> Result<String, OutOfMemory> {
    let mut text = Text(String::new());
    // Only `Text::write_str` fails.
    write!(text, "{value}").map_err(|_| OutOfMemory)?;
    Ok(text.0)
}

/// A string that grows, or fails to grow, by writes.
struct Text(String);

impl Write for Text {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.0.try_reserve(more.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(more);
        Ok(())
    }
}

/// A copy of a text.
pub(crate) fn try_copy(text: &str) -> Result<Box<str>, OutOfMemory> {
    let mut copy = try_room(text.len())?;
    copy.extend_from_slice(text.as_bytes());
    Ok(String::from_utf8(copy).expect("the text is UTF-8").into_boxed_str())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_display() {
        for number in [0, 1, 9, 10, 99, 100, 1234, u64::MAX] {
            assert_eq!(*try_digits(number).expect("there is memory"), number.to_string());
        }
    }

    #[test]
    fn a_box_has_its_value_whatever_the_size() {
        assert_eq!(*try_box([7_u64; 100]).expect("there is memory"), [7; 100]);
        assert_eq!(*try_box(()).expect("it needs no memory"), ());
        let room = try_room::<u8>(usize::MAX);
        assert_eq!(room, Err(OutOfMemory));
    }
}
