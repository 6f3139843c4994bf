//! Operations from bytes, whatever they are.
//!
//! In: bytes, of a fuzzer or of a file that a fuzzer has kept. Out: operations. What is kept in `fuzz/corpus` is worth
//! no more than this is stable.

use std::iter;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::operation::Operation;

/// So many operations as there are bytes for. Every other one is an access, of which there are most kinds.
#[derive(Debug)]
pub(crate) struct Operations(pub(crate) Vec<Operation>);

fn operation(bytes: &mut Unstructured<'_>) -> Result<Operation> {
    if bytes.arbitrary()? { bytes.arbitrary().map(Operation::Access) } else { bytes.arbitrary() }
}

impl<'bytes> Arbitrary<'bytes> for Operations {
    fn arbitrary(bytes: &mut Unstructured<'bytes>) -> Result<Self> {
        iter::from_fn(|| (!bytes.is_empty()).then(|| operation(bytes))).collect::<Result<_>>().map(Self)
    }
}
