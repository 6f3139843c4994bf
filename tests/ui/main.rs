//! Misuse gives a compile error that names the right code.
//!
//! A folder of `ui/` has the cases of one topic. A case in a folder `fail` has a single fault; the `.stderr` file is
//! the message for the user. Compiler messages change between versions, so the cases are pinned to a version, and other
//! versions skip the cases with a notice. After a change of a message: `TRYBUILD=overwrite cargo test --test ui`, and
//! review the difference.
//!
//! A case refused by the borrow checker has a twin of the same name in the neighbouring folder `pass`, with a single
//! different line. So the different line alone causes the refusal.
#![cfg(not(miri))]

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

use support::say;

/// The compiler that the `.stderr` files were written by, without its component `rust-src`.
const PINNED: &str = "rustc 1.95.";

#[test]
fn misuse_is_met_by_a_compile_error_that_says_what_to_write_instead() {
    let version = ask_rustc(&["--version"]);
    if !version.starts_with(PINNED) {
        return say(&format!("skipped: the messages are pinned to `{PINNED}`, and this is `{version}`"));
    }
    // Without a terminal, trybuild prints escape codes nevertheless, unless `NO_COLOR` is set.
    if !io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none() {
        return without_colours("misuse_is_met_by_a_compile_error_that_says_what_to_write_instead");
    }
    let (accepted, refused) = (cases_of("pass"), cases_of("fail"));
    assert!(refused.len() > 100, "{}", refused.len());
    say(&format!("ui: compiles {} small programs; takes up to a minute", accepted.len() + refused.len()));
    let quotes_std = Path::new(&ask_rustc(&["--print", "sysroot"])).join("lib/rustlib/src/rust/library").exists();
    // trybuild checks all cases at once. If some cases pass, trybuild builds instead, one case after the other. A case
    // whose error appears when code is generated needs a build.
    let (checked, built) = (trybuild::TestCases::new(), trybuild::TestCases::new());
    for case in refused {
        let message = fs::read_to_string(case.with_extension("stderr")).unwrap_or_default();
        if quotes_std && message.contains("$RUST") {
            say(&format!("skipped: with `rust-src`, the compiler quotes std in the message of {}", case.display()));
            continue;
        }
        let of_generated_code = message.contains("error[E0080]");
        if of_generated_code { &built } else { &checked }.compile_fail(case);
    }
    for case in accepted {
        built.pass(case);
    }
}

/// Runs a test of this file again in a child process, with `NO_COLOR` set.
fn without_colours(test: &str) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env("NO_COLOR", "1").stdout(Stdio::null());
    assert!(child.status().unwrap().success(), "see the messages above");
}

#[test]
fn each_twin_differs_in_one_line_from_what_is_refused() {
    let mut twins = 0;
    for accepted in cases_of("pass") {
        let refused = accepted.parent().unwrap().with_file_name("fail").join(accepted.file_name().unwrap());
        let Ok(refused) = fs::read_to_string(refused) else { continue };
        let text = fs::read_to_string(&accepted).expect("a file can be read");
        assert_eq!(text.lines().count(), refused.lines().count(), "{}", accepted.display());
        let different = text.lines().zip(refused.lines()).filter(|(one, other)| one != other).count();
        assert_eq!(different, 1, "{}", accepted.display());
        twins += 1;
    }
    assert!(twins > 20, "{twins}");
}

/// A crate without `::shadow_runtime`, which no case of `ui/` can be: each case depends on the runtime.
#[test]
fn a_runtime_of_another_name_is_met_by_the_attribute_for_its_path() {
    let deps = env::current_exe().expect("the test is a file").with_file_name("");
    let newest = |name: &str| {
        let files = fs::read_dir(&deps).expect("a directory can be read").map(|entry| entry.unwrap().path());
        let named = files.filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)));
        named
            .filter(|path| path.extension().is_none_or(|extension| extension != "rmeta" && extension != "d"))
            .max_by_key(|path| {
                path.metadata().and_then(|metadata| metadata.modified()).expect("a file has a time of change")
            })
    };
    let (Some(runtime), Some(_)) = (newest("libshadow_runtime-"), newest("libshadow_macros-")) else {
        return say("skipped: the libraries for this target and for the compiler are not in one directory");
    };
    let compile = |name: &str, attribute: &str| {
        let source = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let text = format!(
            "#[derive(renamed::Shadow)] {attribute} #[shadow_field(attach newpid: u32)]
            pub struct Task {{ shadow: renamed::ShadowFields }}"
        );
        fs::write(&source, text).expect("a file can be written");
        let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
        let output = Command::new(rustc)
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir", env!("CARGO_TARGET_TMPDIR")])
            .arg(format!("--extern=renamed={}", runtime.display()))
            .arg(format!("-Ldependency={}", deps.display()))
            .arg(source)
            .output()
            .expect("cargo found a compiler, so there is one");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (is_accepted, message) = compile("path_of_the_runtime.rs", "#[shadow(crate = renamed)]");
    assert!(is_accepted, "{message}");
    let (is_accepted, message) = compile("no_path_of_the_runtime.rs", "");
    assert!(!is_accepted && message.contains("unresolved import `shadow_runtime`"), "{message}");
    assert!(message.contains("`write_attribute_shadow_crate_path`"), "{message}");
}

/// The cases of all folders `ui/*/<kind>`, relative to the package.
fn cases_of(kind: &str) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten();
        entries.map(|entry| entry.expect("a directory can be read").path()).collect::<Vec<_>>()
    };
    let files = entries(Path::new("ui")).into_iter().flat_map(|topic| entries(&topic.join(kind)));
    let mut cases: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect();
    cases.sort();
    cases
}

fn ask_rustc(arguments: &[&str]) -> String {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| OsString::from("rustc"));
    let output = Command::new(rustc).args(arguments).output().expect("cargo found a compiler, so there is one");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
