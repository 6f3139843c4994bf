//! Texts whose allocation may fail: kept strings of the program, and strings for the program.
//!
//! In: strings of C, and values that print. Out: the copy of a string for ever, or a new string, or [`NoMemory`].
//! Neighbour: `report.rs`, the caller.

use std::ffi::{CStr, CString, c_char};
use std::fmt::{self, Write};
use std::sync::OnceLock;

/// The failure of an allocation.
pub(crate) struct NoMemory;

/// A copy of a string, for ever: a link of a list, which a leak checker finds. A vector of one link is a box whose
/// allocation may fail.
struct Text {
    text: String,
    next: OnceLock<Vec<Text>>,
}

static FIRST_TEXT: OnceLock<Vec<Text>> = OnceLock::new();

/// The copy of a string. Equal strings have one copy, so a program may repeat a description. Allocates under no lock.
///
/// # Safety
///
/// `text` is a string, or null.
pub(crate) unsafe fn keep(text: *const c_char) -> Result<Option<&'static str>, NoMemory> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: by the contract, and since the pointer is not null.
    let text = try_format(&Lossy(unsafe { CStr::from_ptr(text) }))?;
    let mut new = try_room(1)?;
    new.push(Text { text, next: OnceLock::new() });
    let mut link = &FIRST_TEXT;
    loop {
        let refused = link.set(new).err();
        let kept = link.get().and_then(|kept| kept.first()).expect("the link is set");
        match refused {
            Some(refused) if refused[0].text != kept.text => (new, link) = (refused, &kept.next),
            _ => return Ok(Some(&kept.text)),
        }
    }
}

/// A string of C, with U+FFFD in place of bytes that are not UTF-8.
struct Lossy<'a>(&'a CStr);

impl fmt::Display for Lossy<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.to_bytes().utf8_chunks().try_for_each(|chunk| {
            formatter.write_str(chunk.valid())?;
            if chunk.invalid().is_empty() { Ok(()) } else { formatter.write_char(char::REPLACEMENT_CHARACTER) }
        })
    }
}

/// A string that grows, or fails to grow, by writes.
struct Growing(String);

impl Write for Growing {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        self.0.try_reserve(more.len()).map_err(|_| fmt::Error)?;
        self.0.push_str(more);
        Ok(())
    }
}

/// The text of a value whose `Display` does not fail.
fn try_format(value: &dyn fmt::Display) -> Result<String, NoMemory> {
    let mut text = Growing(String::new());
    write!(text, "{value}").map_err(|_| NoMemory)?;
    Ok(text.0)
}

/// An empty vector with room for `length` values and no more.
fn try_room<T>(length: usize) -> Result<Vec<T>, NoMemory> {
    let mut room = Vec::new();
    room.try_reserve_exact(length).map_err(|_| NoMemory)?;
    Ok(room)
}

/// The text of a value whose `Display` does not fail, as a string of C. A NUL of the text is left out.
pub(crate) fn try_c_string(value: &dyn fmt::Display) -> Result<CString, NoMemory> {
    let mut text = try_format(value)?;
    text.retain(|character| character != '\0');
    // A vector of this capacity becomes a `CString` without another allocation.
    let mut bytes = try_room(text.len() + 1)?;
    bytes.extend_from_slice(text.as_bytes());
    bytes.push(0);
    Ok(CString::from_vec_with_nul(bytes).expect("the NUL at the end is the only one"))
}
