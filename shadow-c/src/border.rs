//! The border to C: no Rust panic crosses it, and errors cross it as `errno`.
//!
//! In: a panic, or an error. Out: an abort with a message, or a value of `errno`. Neighbours: all functions of the
//! crate.

use std::ffi::{c_int, c_void};
use std::{process, ptr, thread};

/// Aborts the process on drop, if the thread has begun to panic since [`Border::enter`]. A foreign exception is not a
/// panic, and passes.
///
/// The library panics only if an invariant is broken. A panic must not reach the program: for a C caller the panic
/// would be undefined behaviour, and a C++ caller may not catch the panic.
pub(crate) struct Border {
    was_panicking: bool,
}

impl Border {
    pub(crate) fn enter() -> Self {
        Self { was_panicking: thread::panicking() }
    }
}

impl Drop for Border {
    fn drop(&mut self) {
        if thread::panicking() && !self.was_panicking {
            // The panic hook has printed the message.
            process::abort();
        }
    }
}

/// Sets `errno`, and returns null.
#[cold]
pub(crate) fn fail(error: c_int) -> *mut c_void {
    set_errno(error);
    ptr::null_mut()
}

pub(crate) fn set_errno(error: c_int) {
    // SAFETY: the function has no precondition.
    let errno = unsafe { errno_location() };
    // SAFETY: the address of the thread's `errno` is valid for writes.
    unsafe { errno.write(error) };
}

pub(crate) fn errno() -> c_int {
    // SAFETY: the function has no precondition.
    let errno = unsafe { errno_location() };
    // SAFETY: the address of the thread's `errno` is valid for reads.
    unsafe { errno.read() }
}

#[cfg(any(target_os = "android", target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_location;
#[cfg(any(target_os = "linux", target_os = "emscripten", target_os = "fuchsia", target_os = "hurd"))]
use libc::__errno_location as errno_location;
#[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
use libc::__error as errno_location;
/// cbindgen:ignore
#[cfg(windows)]
unsafe extern "C" {
    #[link_name = "_errno"]
    fn errno_location() -> *mut c_int;
}
