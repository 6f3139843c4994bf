//! A small value that is replaced while others copy it.
//!
//! In: values that are `Copy`. Out: copies of the newest, each whole. Neighbour: `cell/get_or_update_copy.rs`.
//!
//! Where this crate knows how to make a value's bytes readable as words (`sequence/words.rs`), the latch is the one of
//! `sequence.rs`, whose readers take no lock, touch no count, and never wait for a writer; under Miri it is the same
//! one, with words of another kind. On all other targets it is the one of `locked.rs`: the same methods, and the same
//! results, behind a lock.

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
    path = "locked.rs"
)]
mod sequence;

pub(crate) use sequence::Latch;
