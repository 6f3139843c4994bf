//! What is read soon, on its way.
//!
//! In: an address. Out: nothing; its cache line is fetched, if the processor has an instruction for that which Rust
//! has, too. What does not have to be so for anything but speed.

/// Has the cache line of `address` fetched. It need not be that of anything.
#[inline]
pub(crate) fn prefetch(address: usize) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: every x86-64 has the instruction, and it neither reads nor faults, whatever the address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::without_provenance(address)) };
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = address;
}
