//! The report, the descriptions of numbers, and warnings.
//!
//! In: what a program says of its numbers. Out: the report as text, and warnings to the program or to standard error.
//! Neighbours: `text.rs`, the texts; `fields.rs`, which warns of duplicates.
#![allow(non_camel_case_types, reason = "the names of C")]

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::io::Write;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use shadow_runtime::raw::{self, Description};

use crate::border::{fail, set_errno};
use crate::text::{self, NoMemory};

/// Gets a warning of the library, on the thread that causes the warning. `message` is valid only during the call.
/// `data` is the pointer of `shadow_field_on_warning`. Runs under no lock, and must not throw.
pub type shadow_field_warning = Option<unsafe extern "C" fn(message: *const c_char, data: *mut c_void)>;

struct Warning {
    call: shadow_field_warning,
    data: *mut c_void,
}

// SAFETY: the library passes `data` on to `call`, and does not dereference it.
unsafe impl Send for Warning {}

static WARNING: Mutex<Warning> = Mutex::new(Warning { call: Some(to_standard_error), data: ptr::null_mut() });

unsafe extern "C" fn to_standard_error(message: *const c_char, _data: *mut c_void) {
    // SAFETY: `warn_duplicate` passes a string.
    let message = unsafe { CStr::from_ptr(message) };
    let mut to = std::io::stderr().lock();
    // A program without a standard error loses the warning.
    let _ = [b"shadow_fields: ", message.to_bytes(), b"\n"].iter().try_for_each(|part| to.write_all(part));
}

/// Sets the function that gets warnings, with its data, in place of standard error. NULL: no warnings.
///
/// The library warns of a second attach by `shadow_field_alloc`, `shadow_field_alloc_aligned` or `shadow_field_attach`.
/// After the return, another thread may still be in a call of the former function. Takes a lock for a moment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_on_warning(warning: shadow_field_warning, data: *mut c_void) {
    *WARNING.lock().unwrap_or_else(PoisonError::into_inner) = Warning { call: warning, data };
}

/// Warns of an attach to a field that is attached.
#[cold]
pub(crate) fn warn_duplicate(obj: *const c_void, id: u64, name: &str) {
    let (call, data) = {
        let warning = WARNING.lock().unwrap_or_else(PoisonError::into_inner);
        (warning.call, warning.data)
    };
    let Some(call) = call else { return };
    // On the stack: a warning needs no memory. A long name is cut; the last byte of the array ends the string.
    let mut message = [0_u8; 200];
    let _ = write!(&mut message[..199], "duplicate shadow field <{obj:p}, {id:#x}>, {name}");
    // SAFETY: the program has passed the function for calls with these arguments.
    unsafe { call(message.as_ptr().cast(), data) };
}

/// Says what the report and the warnings call a number: a name, the type of its bytes, and the place of its
/// declaration. `SHADOW_FIELD_DESCRIBE(id, type)` passes the words of `id`, and the place of its own line. Each string
/// may be NULL, for an unknown one. Without a description, the report shows a type and a place inside of the library.
///
/// Returns 0, or -1 and errno ENOMEM. Without memory, the number keeps its previous description.
///
/// Keeps one copy of each different string for ever, so the caller may free its strings. The last description of a
/// number wins, before or after the number's first field. Allocates for the strings, also for strings that the library
/// keeps already, and for the description; takes a lock for a moment. The time grows with the number of kept strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_describe(
    id: u64,
    name: *const c_char,
    type_name: *const c_char,
    file: *const c_char,
    line: c_uint,
) -> c_int {
    // SAFETY: the caller guarantees that each pointer is a string or NULL.
    if unsafe { describe(id, [name, type_name, file], line) }.is_ok() {
        return 0;
    }
    set_errno(libc::ENOMEM);
    -1
}

/// # Safety
///
/// Each of `texts` is a string, or null.
unsafe fn describe(id: u64, texts: [*const c_char; 3], line: c_uint) -> Result<(), NoMemory> {
    // SAFETY: by the contract.
    let [name, type_name, file] = texts.map(|text| unsafe { text::keep(text) });
    let mut description = Description::new(name?.unwrap_or("?")).host("void *");
    if let Some(type_name) = type_name? {
        description = description.value_type(type_name);
    }
    if let Some(file) = file? {
        description = description.declared_at(file, line);
    }
    raw::try_describe(id, description).map_err(|_| NoMemory)
}

/// Returns the report of all fields of the process as a string: a table with an entry for each number that ever had a
/// field. The caller does not write to the string, and frees the string by `shadow_field_string_free`.
///
/// Returns NULL and errno ENOMEM without memory. Allocates; takes a lock for a moment.
#[unsafe(no_mangle)]
pub extern "C" fn shadow_field_report() -> *mut c_char {
    let report = shadow_runtime::registry().try_report().map_err(|_| NoMemory);
    let text = report.and_then(|report| text::try_c_string(&report));
    text.map_or_else(|NoMemory| fail(libc::ENOMEM).cast(), CString::into_raw)
}

/// Frees a string of `shadow_field_report`. NULL is allowed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn shadow_field_string_free(string: *mut c_char) {
    if !string.is_null() {
        // SAFETY: the caller guarantees that the string comes from `shadow_field_report`, and is freed once.
        drop(unsafe { CString::from_raw(string) });
    }
}
