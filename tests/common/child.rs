//! One test of a binary again, in a process of its own, where it has a part to play: for what ends a process.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use super::limit;

/// Names the part to a child.
const VARIABLE: &str = "SHADOW_FIELDS_PART";

/// The part that this process has to play, if it is a child.
pub(crate) fn part() -> Option<String> {
    env::var(VARIABLE).ok()
}

/// Runs the test `test` of this binary in a child, with `part` to play, and returns how that ended. What it says must
/// fit into a pipe.
pub(crate) fn play(test: &str, part: &str) -> Output {
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
    child.wait_with_output().unwrap()
}
