//! The sizes of unit tests.
#![forbid(unsafe_code)]

/// The size of a test: `count`, or `under_miri`, where a step takes a thousand times as long.
pub(crate) const fn fewer(count: usize, under_miri: usize) -> usize {
    if cfg!(miri) { under_miri } else { count }
}
