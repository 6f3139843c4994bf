//! Builds: how long the compiler takes for small crates that are generated for it.
//!
//! In: the files of a crate or a workspace. Out: how long `cargo build` takes, without the network, in a directory that
//! is removed in the end. The versions are those of this workspace, since its lock file is copied.

pub mod derive;
pub mod fields;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

/// The root of this workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A directory of its own, for one crate or workspace.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// A directory with `files`, each a path and a text, and this workspace's lock file.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn new(name: &str, files: &[(&str, &str)]) -> io::Result<Self> {
        let path = env::temp_dir().join(format!("shadow-compare-{}-{name}", process::id()));
        let scratch = Self { path };
        fs::create_dir_all(&scratch.path)?;
        fs::copy(Path::new(ROOT).join("Cargo.lock"), scratch.path.join("Cargo.lock"))?;
        for (file, text) in files {
            scratch.write(file, text)?;
        }
        Ok(scratch)
    }

    /// Writes a file, which is newer than every build from then on.
    ///
    /// # Errors
    ///
    /// If it cannot be written.
    pub fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        fs::write(path, text)
    }

    /// Builds `arguments` for the first time, which may fetch what they depend on.
    ///
    /// # Errors
    ///
    /// If cargo cannot be run, or says that it has failed.
    pub fn prepare(&self, arguments: &[&str]) -> io::Result<()> {
        self.cargo(arguments)
    }

    /// How long it takes to build `arguments`.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn build(&self, arguments: &[&str]) -> io::Result<Duration> {
        let start = Instant::now();
        self.cargo(&[&["--offline"], arguments].concat())?;
        Ok(start.elapsed())
    }

    /// Forgets all that was built.
    ///
    /// # Errors
    ///
    /// If it cannot be removed.
    pub fn forget(&self) -> io::Result<()> {
        fs::remove_dir_all(self.path.join("target"))
    }

    fn cargo(&self, arguments: &[&str]) -> io::Result<()> {
        let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .current_dir(&self.path)
            .args(["build", "--quiet"])
            .args(arguments)
            .env("CARGO_TARGET_DIR", self.path.join("target"))
            // From nothing each time: neither the compiler's own memory nor anybody's cache may help.
            .env("CARGO_INCREMENTAL", "0")
            .env_remove("RUSTC_WRAPPER")
            .stdout(Stdio::null())
            .output()?;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nobody can be told, and it is the system's directory for what may be left behind.
        let _ = fs::remove_dir_all(&self.path);
    }
}
