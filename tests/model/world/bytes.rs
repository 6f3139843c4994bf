//! Decodes arbitrary bytes as operations.
//!
//! In: the bytes of a fuzzer, or of a file of `fuzz/corpus`. Out: operations. A change of the decoding makes the stored
//! corpus worthless.

use std::iter;

use arbitrary::{Arbitrary, Result, Unstructured};

use super::operation::Operation;

/// Operations, up to the end of the bytes. An access has half of the probability, since accesses have the most
/// variants.
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
