//! Any operations on hosts of every kind have the results, drops and counts that plain maps predict.
//!
//! In: bytes, which are taken for operations. Out: nothing, or a panic that says what was wrong. The operations and the
//! maps are those of `tests/model.rs`.
#![no_main]

use std::iter;

use arbitrary::{Arbitrary, Unstructured};
use libfuzzer_sys::fuzz_target;

#[path = "../../tests/world/mod.rs"]
mod world;

use world::operation::Operation;

/// So many operations as there are bytes for. Every other one is an access, of which there are most kinds.
#[derive(Debug)]
struct Operations(Vec<Operation>);

fn operation(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Operation> {
    if bytes.arbitrary()? { bytes.arbitrary().map(Operation::Access) } else { bytes.arbitrary() }
}

impl<'bytes> Arbitrary<'bytes> for Operations {
    fn arbitrary(bytes: &mut Unstructured<'bytes>) -> arbitrary::Result<Self> {
        iter::from_fn(|| (!bytes.is_empty()).then(|| operation(bytes))).collect::<Result<_, _>>().map(Self)
    }
}

fuzz_target!(|operations: Operations| world::run(&operations.0));
