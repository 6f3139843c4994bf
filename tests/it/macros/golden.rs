//! The golden expansion, compiled and run: `expanded.rs` does what the README says of its struct.
//!
//! A unit test of the macros (`shadow-macros/src/golden.rs`) compares `expanded.rs` with the expansion of today.
#![allow(
    dead_code,
    non_camel_case_types,
    unused_qualifications,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::multiple_unsafe_ops_per_block,
    clippy::undocumented_unsafe_blocks,
    reason = "lints skip what a macro generates, but not a copy of it"
)]

include!("expanded.rs");

#[test]
fn the_golden_expansion_does_what_the_readme_says() {
    let mut task = Task { pid: 7, shadow: ShadowFields::new() };
    assert_eq!(task.attach_newpid(1007).ok(), Some(&1007));
    let refused = task.attach_newpid(1008).unwrap_err();
    assert_eq!(refused.to_string(), "shadow field `newpid` is already attached to this `Task`");

    drop(task.lock().lock());
    assert_eq!(task.stats().started_by, 7);
    let now = Instant::now();
    assert_eq!((task.update_last_seen(now), task.last_seen()), (None, Some(now)));
    assert!(task.trace().is_empty());
    task.trace_mut().push("started".to_owned());
    assert_eq!(task.detach_trace(), Some(vec!["started".to_owned()]));

    assert_eq!((task.detach_newpid(), task.newpid()), (Some(1007), None));
    assert_eq!(task.clone().peek_stats().map(|stats| stats.started_by), None, "a clone starts without fields");
}
