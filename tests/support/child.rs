//! Runs a test again in a child process, with a part to play: for tests that end their process.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::limit;

/// The variable with the part of a child.
const VARIABLE: &str = "SHADOW_FIELDS_PART";

/// The part of this process, if the process is a child.
pub fn part() -> Option<String> {
    env::var(VARIABLE).ok()
}

/// Runs the test `test` of this binary in a child with `part`, and returns the child's output. The output must fit into
/// a pipe.
pub fn play(test: &str, part: &str) -> Output {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, part)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (start, limit) = (Instant::now(), limit());
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > limit {
            child.kill().unwrap();
            panic!("`{part}` hangs: it has not ended within {limit:?}");
        }
        thread::sleep(Duration::from_millis(1));
    }
    let output = child.wait_with_output().unwrap();
    // A name that selects no test would pass.
    assert!(String::from_utf8_lossy(&output.stdout).contains("running 1 test"), "`{test}` did not run: {output:?}");
    output
}
