//! Measures the build times of small generated crates.
//!
//! In: the files of a crate or a workspace. Out: the time of `cargo build`, offline, in a temporary directory. The
//! directory has a copy of this workspace's lock file, so the versions are the same.

pub mod derive;
pub mod fields;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, io, process};

/// The root of this workspace.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A temporary directory for one crate or workspace, removed on drop.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
}

impl Scratch {
    /// Makes a directory with `files`, each a path and a text, and with this workspace's lock file.
    ///
    /// # Errors
    ///
    /// If the files cannot be written.
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

    /// Writes a file, which is then newer than every earlier build.
    ///
    /// # Errors
    ///
    /// If the file cannot be written.
    pub fn write(&self, file: &str, text: &str) -> io::Result<()> {
        let path = self.path.join(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.path))?;
        fs::write(path, text)
    }

    /// Builds with `arguments` for the first time, which may download dependencies.
    ///
    /// # Errors
    ///
    /// If cargo cannot be run, or fails.
    pub fn prepare(&self, arguments: &[&str]) -> io::Result<()> {
        self.cargo(arguments)
    }

    /// Builds with `arguments`, and returns the time.
    ///
    /// # Errors
    ///
    /// As [`prepare`](Self::prepare).
    pub fn build(&self, arguments: &[&str]) -> io::Result<Duration> {
        let start = Instant::now();
        self.cargo(&[&["--offline"], arguments].concat())?;
        Ok(start.elapsed())
    }

    /// Removes all build results.
    ///
    /// # Errors
    ///
    /// If the build directory cannot be removed.
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
            // Builds from scratch: no incremental compilation, and no compiler cache.
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
        // A destructor cannot report the error, and the system clears its temporary directory.
        let _ = fs::remove_dir_all(&self.path);
    }
}
