//! Any operations on hosts of every kind have the results, drops and counts that plain maps predict.
//!
//! In: bytes, which are taken for operations. Out: nothing, or a panic that says what was wrong. The operations and the
//! maps are those of `tests/model.rs`, which also tries again what is kept in `fuzz/corpus`.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/world/mod.rs"]
mod world;

use world::bytes::Operations;

fuzz_target!(|operations: Operations| world::run(&operations.0));
