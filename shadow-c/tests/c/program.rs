//! A program: builds, runs, and the expected output.
//!
//! In: a source, flags, and the expected output. Out: a failed test if a build or a run does not end as expected.
//! Neighbour: `toolchain.rs`.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::toolchain::{Language, has, in_crate, left_out, libraries, scratch};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Library {
    Static,
    Shared,
}

/// A program, and the expected output.
pub(crate) struct Program {
    /// The name of the first file is the name of the program.
    sources: Vec<PathBuf>,
    flags: Vec<&'static str>,
    stdout: Option<String>,
    /// The start of the only line on standard error. `None`: standard error stays empty.
    stderr: Option<&'static str>,
    /// The argument of a run under Valgrind: a percentage of the work. Valgrind is slow, and executes one
    /// thread at a time.
    part: &'static str,
}

/// A built program. The drop removes the file, unless the test has failed.
struct Executable(PathBuf);

pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    /// A program of one file in `programs`.
    pub(crate) fn new(source: &str) -> Self {
        Self::of(vec![in_crate("tests/c/programs").join(source)])
    }

    /// A program of several files.
    pub(crate) fn of(sources: Vec<PathBuf>) -> Self {
        Self { sources, flags: Vec::new(), stdout: None, stderr: None, part: "4" }
    }

    pub(crate) fn flags(mut self, flags: &[&'static str]) -> Self {
        self.flags.extend(flags);
        self
    }

    /// The program prints exactly `text`.
    pub(crate) fn prints(mut self, text: &str) -> Self {
        self.stdout = Some(text.to_owned());
        self
    }

    /// The program prints one line to standard error, beginning with `start`.
    pub(crate) fn warns(mut self, start: &'static str) -> Self {
        self.stderr = Some(start);
        self
    }

    /// Builds and runs the program with each library, and with each tool.
    pub(crate) fn everywhere(&self) {
        if let Some(shared) = self.build(Library::Shared, &[]) {
            // Cargo sets the variable to a folder that may have an older library, and the variable wins over an rpath.
            self.check("shared", &run(Command::new(&shared.0).env("LD_LIBRARY_PATH", libraries())));
        }
        if let Some(with_static) = self.build(Library::Static, &[]) {
            self.check("static", &run(&mut Command::new(&with_static.0)));
            if has("valgrind", "the C programs under valgrind") {
                let mut valgrind = Command::new("valgrind");
                valgrind.args(["--quiet", "--error-exitcode=99", "--fair-sched=try", "--leak-check=full"]);
                valgrind.args(["--show-leak-kinds=definite,indirect", "--errors-for-leak-kinds=definite,indirect"]);
                self.check("valgrind", &run(valgrind.arg(&with_static.0).arg(self.part)));
            }
        }
        let Some(flags) = Language::of(&self.sources[0]).address_sanitizer() else { return };
        if let Some(checked) = self.build(Library::Static, flags) {
            // An allocation of too much memory returns null, with a warning.
            let leaks = u8::from(cfg!(target_os = "linux"));
            let options = format!("detect_leaks={leaks}:allocator_may_return_null=1");
            let mut outcome = run(Command::new(&checked.0).env("ASAN_OPTIONS", options));
            if outcome.status.success() {
                let is_warning = |line: &&str| line.contains("WARNING: AddressSanitizer failed to allocate");
                outcome.stderr = outcome.stderr.lines().filter(|line| !is_warning(line)).collect::<Vec<_>>().join("\n");
            }
            self.check("address sanitizer", &outcome);
        }
    }

    fn check(&self, how: &str, outcome: &Outcome) {
        let what = format!("{}, {how}: {}", self.sources[0].display(), outcome.status);
        assert!(outcome.status.success(), "{what}\n{}\n{}", outcome.stdout, outcome.stderr);
        if let Some(stdout) = &self.stdout {
            assert_eq!(outcome.stdout, *stdout, "{what}");
        }
        assert_eq!(outcome.stderr.lines().count(), usize::from(self.stderr.is_some()), "{what}: {:?}", outcome.stderr);
        assert!(outcome.stderr.starts_with(self.stderr.unwrap_or("")), "{what}: {:?}", outcome.stderr);
    }

    /// Prints a line and returns `None` without a compiler, or without the library for the target.
    fn build(&self, library: Library, flags: &[&str]) -> Option<Executable> {
        let compiler = Language::of(&self.sources[0]).compiler()?;
        let folder = libraries();
        let mut command = compiler.command();
        let name = self.sources[0].file_stem().unwrap().to_str().unwrap();
        let program = Executable(scratch(name));
        // A callback may have unused parameters.
        command
            .arg("-Wno-unused-parameter")
            .args(flags)
            .args(&self.flags)
            .args(&self.sources)
            .arg("-o")
            .arg(&program.0);
        match library {
            Library::Static => command.arg(folder.join("libshadow_fields.a")),
            Library::Shared => {
                shared_library()?;
                command.arg("-L").arg(&folder).arg("-lshadow_fields").arg(format!("-Wl,-rpath,{}", folder.display()))
            }
        };
        let outcome = run(command.args(["-lpthread", "-ldl", "-lm"]));
        assert!(
            outcome.status.success(),
            "{} with the {library:?} library:\n{}",
            self.sources[0].display(),
            outcome.stderr
        );
        Some(program)
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        if !thread::panicking() {
            let _ = fs::remove_file(&self.0);
        }
    }
}

/// The shared library. Prints a line and returns `None` if the target has no shared libraries.
pub(crate) fn shared_library() -> Option<PathBuf> {
    let found = ["so", "dylib"].map(|ending| libraries().join(format!("libshadow_fields.{ending}")));
    let found = found.into_iter().find(|path| path.exists());
    if found.is_none() {
        left_out("the shared library, which this target does not have");
    }
    found
}

/// Runs a command, and fails if the command hangs. The output goes to files: a full pipe would block the command.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let (stdout, stderr) = (scratch("stdout"), scratch("stderr"));
    command.stdin(Stdio::null()).stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (start, limit) = (Instant::now(), limit());
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > limit {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("{command:?} hangs: no end within {limit:?}");
        }
        thread::sleep(Duration::from_millis(2));
    };
    let [stdout, stderr] = [stdout, stderr].map(|path| {
        let text = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    });
    Outcome { status, stdout, stderr }
}

/// The time after which a run counts as hanging.
fn limit() -> Duration {
    let seconds = env::var("SHADOW_TEST_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(120);
    Duration::from_secs(seconds)
}
