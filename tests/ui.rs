//! Misuse gives a compile error that names the right code.
//!
//! A case of `ui/fail/` has a single fault; the `.stderr` file is the message for the user. Compiler messages change
//! between versions, so the cases are pinned to a version, and other versions skip the cases with a notice. After a
//! change of a message: `TRYBUILD=overwrite cargo test --test ui`, and review the difference.
//!
//! A case refused by the borrow checker has a twin of the same name in `ui/pass/`, with a single different line. So the
//! different line alone causes the refusal.
#![cfg(not(miri))]

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs, io};

/// The compiler that the `.stderr` files were written by, without its component `rust-src`.
const PINNED: &str = "rustc 1.95.";

#[test]
fn misuse_is_met_by_a_compile_error_that_says_what_to_write_instead() {
    let version = ask_rustc(&["--version"]);
    if !version.starts_with(PINNED) {
        return say(&format!("skipped: the messages are pinned to `{PINNED}`, and this is `{version}`"));
    }
    let cases = trybuild::TestCases::new();
    // It is built, not only checked, and so are the others then: some errors appear when code is generated.
    cases.pass("tests/ui/pass/*.rs");
    let quotes_std = Path::new(&ask_rustc(&["--print", "sysroot"])).join("lib/rustlib/src/rust/library").exists();
    for entry in fs::read_dir("tests/ui/fail").expect("the cases are beside this file") {
        let case = entry.expect("a directory can be read").path();
        if case.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let message = fs::read_to_string(case.with_extension("stderr")).unwrap_or_default();
        if quotes_std && message.contains("$RUST") {
            say(&format!("skipped: with `rust-src`, the compiler quotes std in the message of {}", case.display()));
            continue;
        }
        cases.compile_fail(case);
    }
}

#[test]
fn each_twin_differs_in_one_line_from_what_is_refused() {
    let mut twins = 0;
    for entry in fs::read_dir("tests/ui/pass").expect("the cases are beside this file") {
        let accepted = entry.expect("a directory can be read").path();
        let refused = Path::new("tests/ui/fail").join(accepted.file_name().expect("a file has a name"));
        let Ok(refused) = fs::read_to_string(refused) else { continue };
        let text = fs::read_to_string(&accepted).expect("a file can be read");
        assert_eq!(text.lines().count(), refused.lines().count(), "{}", accepted.display());
        let different = text.lines().zip(refused.lines()).filter(|(one, other)| one != other).count();
        assert_eq!(different, 1, "{}", accepted.display());
        twins += 1;
    }
    assert!(twins > 20, "{twins}");
}

/// Says it to who runs the tests, also when they pass, which `eprintln!` does not.
fn say(message: &str) {
    writeln!(io::stderr(), "{message}").expect("there is somebody to say it to");
}

fn ask_rustc(arguments: &[&str]) -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).args(arguments).output().expect("cargo found a compiler, so there is one");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
