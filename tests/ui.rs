//! Misuse is met by a compile error that says what to write instead.
//!
//! Each case of `ui/fail/` has one fault; its `.stderr` is what a user reads. Messages of the compiler change from
//! version to version, so the cases are pinned to one, and skipped, saying so, on any other. After a change of a
//! message: `TRYBUILD=overwrite cargo test --test ui`, and read what changed.

use std::process::Command;

/// The compiler that the `.stderr` files were written by.
const PINNED: &str = "rustc 1.95.";

#[test]
fn misuse_is_met_by_a_compile_error_that_says_what_to_write_instead() {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().expect("cargo found a compiler, so there is one");
    let version = String::from_utf8_lossy(&output.stdout);
    if !version.starts_with(PINNED) {
        eprintln!("skipped: the messages are pinned to `{PINNED}`, and this is `{}`", version.trim());
        return;
    }
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/pass/*.rs");
    cases.compile_fail("tests/ui/fail/*.rs");
}
