//! Compilers, sanitizers and other tools of the system.
//!
//! In: `CC` and `CXX` of the environment. Out: the command of a compiler, and whether a tool works. Neighbour:
//! `program.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::{env, str};

/// The flags for all files. A warning is an error.
const FLAGS: [&str; 6] = ["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"];

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Language {
    C,
    Cpp,
}

/// A compiler that runs.
pub(crate) struct Compiler {
    program: String,
    arguments: Vec<String>,
}

impl Language {
    pub(crate) fn of(source: &Path) -> Self {
        if source.extension().is_some_and(|ending| ending == "cpp") { Self::Cpp } else { Self::C }
    }

    /// The compiler: `CC` or `CXX`, which must work, or the compiler of the system. Prints a line and returns `None` on
    /// a system without a compiler.
    pub(crate) fn compiler(self) -> Option<Compiler> {
        let (variable, default, name) = match self {
            Self::C => ("CC", "cc", "C"),
            Self::Cpp => ("CXX", "c++", "C++"),
        };
        if cfg!(not(unix)) {
            left_out(&format!("{name} programs, on a system whose compilers have other options"));
            return None;
        }
        let wanted = env::var(variable).ok().filter(|wanted| !wanted.trim().is_empty());
        let words = wanted.as_deref().unwrap_or(default).split_whitespace().map(str::to_owned);
        let mut words: Vec<String> = words.collect();
        let compiler = Compiler { program: words.remove(0), arguments: words };
        if succeeds(compiler.bare().arg("--version")) {
            return Some(compiler);
        }
        assert!(wanted.is_none(), "`{variable}` does not run: {}", compiler.program);
        left_out(&format!("{name} programs, since there is no `{default}`"));
        None
    }

    /// The flags of the address sanitizer, if the sanitizer works with the compiler.
    pub(crate) fn address_sanitizer(self) -> Option<&'static [&'static str]> {
        const FLAGS: &[&str] =
            &["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"];
        static WORKS: [OnceLock<bool>; 2] = [const { OnceLock::new() }; 2];
        let compiler = self.compiler()?;
        let works = *WORKS[self as usize].get_or_init(|| compiler.makes_programs_with(FLAGS));
        if !works {
            left_out("the address sanitizer, which does not work with this compiler");
        }
        works.then_some(FLAGS)
    }
}

impl Compiler {
    fn bare(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }

    /// The compiler with the path of the headers.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.bare();
        command.args(FLAGS).arg("-I").arg(in_crate("include"));
        command
    }

    /// Whether the compiler links an empty program with the flags, and the program runs.
    fn makes_programs_with(&self, flags: &[&str]) -> bool {
        let (source, program) = (scratch("probe.c"), scratch("probe"));
        fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let works = succeeds(self.bare().args(flags).arg(&source).arg("-o").arg(&program))
            && succeeds(&mut Command::new(&program));
        for path in [source, program] {
            let _ = fs::remove_file(path);
        }
        works
    }
}

/// Whether `program` is installed. Prints a line if not.
pub(crate) fn has(program: &str, what: &str) -> bool {
    let found = succeeds(Command::new(program).arg("--version"));
    if !found {
        left_out(&format!("{what}, since there is no `{program}`"));
    }
    found
}

fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Prints a line about an omitted test, once. Bypasses `eprintln!`: the test harness hides its output.
pub(crate) fn left_out(what: &str) {
    static SAID: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned()) {
        let _ = writeln!(io::stderr(), "left out: {what}");
    }
}

/// A new path for a temporary file. The file name ends with `name`.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}-{number}-{name}", process::id()))
}

/// A path inside of the crate.
pub(crate) fn in_crate(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The folder of the built libraries and of the test executable.
pub(crate) fn libraries() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}
