//! A container of a small `Copy` value: a writer replaces the value while readers copy it.
//!
//! In: values that are `Copy`. Out: copies of the newest value, never torn. Neighbour: `cell/get_or_update_copy.rs`,
//! the cell that contains a seqlock.
//!
//! The target decides which file defines `Seqlock`:
//!
//! - `sequence.rs` on targets with the inline assembly that makes a value's bytes readable as words
//!   (`sequence/words.rs`): readers take no lock, touch no reference count, and never wait for a writer. Miri runs this
//!   file too, with another kind of word.
//! - `fallback.rs` on other targets: a mutex, with the same methods and the same results.

#[cfg_attr(
    not(any(
        target_arch = "x86",
        target_arch = "x86_64",
        target_arch = "arm",
        target_arch = "aarch64",
        target_arch = "riscv32",
        target_arch = "riscv64",
        target_arch = "loongarch64",
        target_arch = "s390x"
    )),
    path = "fallback.rs"
)]
mod sequence;

pub use sequence::IS_WAIT_FREE;
pub(crate) use sequence::Seqlock;
