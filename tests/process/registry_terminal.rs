//! The width of a printed report: of the terminal on standard output, or 120 columns, unless the format has a width.
//!
//! The test has a process of its own, because it replaces the file of standard output.
#![cfg(all(any(target_os = "linux", target_os = "macos"), not(miri)))]

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use shadow_runtime::{Shadow, ShadowFields, registry};

#[derive(Shadow, Default)]
#[shadow_field(attach serial: u64)]
#[shadow_field(get_or_update route: Option<Vec<Option<String>>>)]
struct Order {
    shadow: ShadowFields,
}

/// A pseudo terminal.
struct Terminal {
    controller: OwnedFd,
    terminal: File,
}

fn check(result: c_int) -> c_int {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result
}

impl Terminal {
    fn open() -> Self {
        // SAFETY: no argument is a pointer.
        let controller = check(unsafe { libc::posix_openpt(libc::O_RDWR | libc::O_NOCTTY) });
        // SAFETY: the descriptor is open, and nothing else owns the descriptor.
        let controller = unsafe { OwnedFd::from_raw_fd(controller) };
        // SAFETY: the descriptor is open.
        check(unsafe { libc::grantpt(controller.as_raw_fd()) });
        // SAFETY: the descriptor is open.
        check(unsafe { libc::unlockpt(controller.as_raw_fd()) });
        // SAFETY: the descriptor is open, and no other thread calls `ptsname`.
        let name = unsafe { libc::ptsname(controller.as_raw_fd()) };
        assert!(!name.is_null(), "{}", io::Error::last_os_error());
        // SAFETY: `name` is a C string.
        let terminal = check(unsafe { libc::open(name, libc::O_RDWR | libc::O_NOCTTY) });
        // SAFETY: the descriptor is open, and nothing else owns the descriptor.
        Self { controller, terminal: unsafe { File::from_raw_fd(terminal) } }
    }

    fn set_columns(&self, columns: u16) {
        let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the request reads a `winsize`.
        check(unsafe { libc::ioctl(self.controller.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) });
    }
}

/// Runs `work` with `file` as standard output.
fn with_output<R>(file: &File, work: impl FnOnce() -> R) -> R {
    // SAFETY: no argument is a pointer.
    let before = check(unsafe { libc::dup(libc::STDOUT_FILENO) });
    // SAFETY: the descriptor is open, and nothing else owns the descriptor.
    let before = unsafe { OwnedFd::from_raw_fd(before) };
    // SAFETY: both descriptors are open; std does not own descriptor 1.
    check(unsafe { libc::dup2(file.as_raw_fd(), libc::STDOUT_FILENO) });
    let result = work();
    // SAFETY: both descriptors are open; std does not own descriptor 1.
    check(unsafe { libc::dup2(before.as_raw_fd(), libc::STDOUT_FILENO) });
    result
}

#[test]
fn a_report_is_as_wide_as_the_terminal_or_120_columns_or_as_the_format_says() {
    let order = Order::default();
    order.attach_serial(1).unwrap();
    order.update_route(None);
    let report = registry().report();
    let [narrow, middle, wide, widest] = [60, 100, 120, 200].map(|width| format!("{report:width$}"));
    assert!(narrow != middle && middle != wide && wide != widest, "{narrow}\n{middle}\n{wide}\n{widest}");

    let file = File::options().write(true).open("/dev/null").unwrap();
    assert_eq!(with_output(&file, || report.to_string()), wide, "standard output is no terminal");

    let terminal = Terminal::open();
    for (columns, expected) in [(60, &narrow), (100, &middle), (120, &wide), (200, &widest), (0, &wide)] {
        terminal.set_columns(columns);
        assert_eq!(with_output(&terminal.terminal, || report.to_string()), *expected, "{columns} columns");
        assert_eq!(with_output(&terminal.terminal, || format!("{report:100}")), middle);
    }
}
