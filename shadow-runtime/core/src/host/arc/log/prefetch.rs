//! Software prefetch. Only speed depends on it.
//!
//! In: an address. Out: no result; the processor starts to load the address's cache line, on targets with a prefetch
//! instruction in stable Rust. Elsewhere the function does no work. Neighbour: `stack.rs`, the caller.

/// Prefetches the cache line of `address`, which need not be aligned, or a valid pointer. Takes one instruction.
#[inline]
pub(super) fn prefetch(address: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 processor has the instruction, and a prefetch neither accesses memory visibly nor
        // faults.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
