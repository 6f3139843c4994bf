//! The sizes of unit tests.
//!
//! In: a size, and a size for Miri. Out: one of the two. Neighbours: the unit tests of the other files.
#![forbid(unsafe_code)]

/// The size of a test: `count`, or `under_miri`, where a step takes a thousand times as long.
pub(crate) const fn fewer(count: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { count }
}
