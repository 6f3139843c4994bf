//! The width of the terminal on standard output, for the report.
//!
//! In: no input. Out: [`width`]. Neighbour: `registry/table.rs`, which prints the report in this width. std has no
//! function for the width, so this file calls `ioctl(2)` of the C library, with the request `TIOCGWINSZ`. The width is
//! `None` if standard output is not a terminal, or if the terminal does not tell its width; on a system whose number of
//! the request is not listed here; and under Miri, which does not implement the request.

#[cfg(not(all(unix, not(miri))))]
pub(crate) use absent::width;
#[cfg(all(unix, not(miri)))]
pub(crate) use ioctl::width;

#[cfg(all(unix, not(miri)))]
mod ioctl {
    #[cfg(any(target_os = "android", target_env = "musl"))]
    use std::ffi::c_int as Request;
    #[cfg(not(any(target_os = "android", target_env = "musl")))]
    use std::ffi::c_ulong as Request;
    use std::ffi::{c_int, c_ushort};

    // A dependency on the crate `libc` would be one more crate to build, for one function.
    unsafe extern "C" {
        /// Of the C library, which std links in any case.
        fn ioctl(file: c_int, request: Request, ...) -> c_int;

        /// As `ioctl`. Allowed for every number, also for the number of no open file.
        safe fn isatty(file: c_int) -> c_int;
    }

    /// The number of standard output. `std::io::stdout()` would allocate a buffer.
    const STDOUT: c_int = 1;

    /// The number of the request, which depends on the system and on the architecture. `None` for other systems.
    const TIOCGWINSZ: Option<Request> = if cfg!(any(target_os = "linux", target_os = "android")) {
        let is_old =
            cfg!(any(target_arch = "powerpc", target_arch = "powerpc64", target_arch = "mips", target_arch = "mips64"));
        Some(if is_old { 0x4008_7468 } else { 0x5413 })
    } else if cfg!(any(
        target_vendor = "apple",
        target_os = "freebsd",
        target_os = "dragonfly",
        target_os = "netbsd",
        target_os = "openbsd"
    )) {
        Some(0x4008_7468)
    } else {
        None
    };

    /// The number of columns.
    pub(crate) fn width() -> Option<usize> {
        if isatty(STDOUT) == 0 {
            return None;
        }
        // The struct `winsize`: rows, columns, and the size in pixels.
        let mut size: [c_ushort; 4] = [0; 4];
        // SAFETY: standard output is a terminal, and a terminal answers the request by a `winsize`: four `c_ushort`,
        // for which `size` has the memory.
        let result = unsafe { ioctl(STDOUT, TIOCGWINSZ?, &raw mut size) };
        let columns = usize::from(size[1]);
        (result == 0 && columns > 0).then_some(columns)
    }
}

#[cfg(not(all(unix, not(miri))))]
mod absent {
    pub(crate) fn width() -> Option<usize> {
        None
    }
}
