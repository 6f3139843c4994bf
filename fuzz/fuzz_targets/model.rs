//! Fuzz target: executes arbitrary operations on hosts of every kind, and compares the library with plain maps.
//!
//! In: bytes, decoded as operations. Out: a panic on the first difference in results, drops or counts.
//! `tests/model/main.rs` uses the same operations and maps, and replays the files of `fuzz/corpus`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/model/world/mod.rs"]
mod world;

use world::bytes::Operations;

fuzz_target!(|operations: Operations| world::run(&operations.0));
