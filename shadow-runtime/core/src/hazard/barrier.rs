//! Asymmetric fence: free on the frequent side, [`light`], and a system call on the rare side, [`heavy`].
//!
//! In: no input. Out: [`light`], a compiler fence, which keeps the compiler from reordering memory accesses; and
//! [`heavy`], a process-wide barrier, by which every thread of the process passes a full fence, wherever the thread is.
//! So the pair replaces two `SeqCst` fences in a store-load (Dekker) race: if one thread stores A, calls `light` and
//! loads B, and a second thread stores B, calls `heavy` and loads A, then at least one of the two loads sees the store.
//! Neighbours: `slot.rs`, which calls `light`; `cell/bias.rs`, `retired.rs` and `host/arc/weak.rs`, which call `heavy`.
//!
//! The kernel executes the barrier: `membarrier(2)` with `MEMBARRIER_CMD_PRIVATE_EXPEDITED`, in Linux since 4.14.
//! Liburcu and Folly's hazard pointers use the same call. [`is_available`] is false, and callers must not rely on
//! `light`, on other systems, without the feature `membarrier`, on a kernel without the commands, and in a sandbox that
//! refuses the call.
//!
//! A sandbox may also skip the call and return 0, as a successful command does. So `MEMBARRIER_CMD_QUERY` first asks
//! the kernel for the mask of commands, and a mask without the two commands is rejected. A sandbox that kills the
//! process on an unknown call does so at the query: programs in such a sandbox disable the feature.

#[cfg(all(
    not(loom),
    any(miri, not(feature = "membarrier"), not(any(target_os = "linux", target_os = "android")))
))]
use absent as imp;
pub(super) use imp::light;
pub(crate) use imp::{heavy, is_available};
#[cfg(loom)]
use modelled as imp;
#[cfg(all(test, loom))]
pub(crate) use modelled::forbid;

#[cfg(all(feature = "membarrier", any(target_os = "linux", target_os = "android"), not(any(loom, miri))))]
mod imp {
    use std::ffi::{c_int, c_long};
    use std::sync::atomic::compiler_fence;

    use crate::hazard::HazardSlot;
    use crate::sync::{AtomicU8, Ordering};

    // A dependency on the crate `libc` would be one more crate to build, for one function.
    unsafe extern "C" {
        /// Of the C library, which std links in any case.
        fn syscall(number: c_long, ...) -> c_long;
    }

    /// The number of the system call, which depends on the architecture. `None` for other architectures.
    const MEMBARRIER: Option<c_long> = if cfg!(all(target_arch = "x86_64", target_pointer_width = "64")) {
        Some(324)
    } else if cfg!(target_arch = "x86") {
        Some(375)
    } else if cfg!(target_arch = "arm") {
        Some(389)
    } else if cfg!(target_arch = "s390x") {
        Some(356)
    } else if cfg!(target_arch = "powerpc64") {
        Some(365)
    } else if cfg!(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "loongarch64")) {
        Some(283)
    } else {
        None
    };

    const QUERY: c_int = 0;
    const PRIVATE_EXPEDITED: c_int = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: c_int = 1 << 4;

    const UNKNOWN: u8 = 0;
    const AVAILABLE: u8 = 1;
    const UNAVAILABLE: u8 = 2;

    /// Whether the process is registered with the kernel. Relaxed in all accesses: the value publishes no other memory.
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// The kernel's answer: at least 0, or -1 if the call fails.
    fn membarrier(command: c_int) -> c_long {
        let Some(number) = MEMBARRIER else { return -1 };
        // SAFETY: `syscall` is declared as in the C library. This call passes the three arguments of `membarrier`, and
        // touches no memory of the process. A kernel without this number returns an error.
        unsafe { syscall(number, command, 0 as c_int, 0 as c_int) }
    }

    /// Whether the answer to [`QUERY`] is a mask with both commands.
    fn offers(answer: c_long) -> bool {
        let both = c_long::from(PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
        answer > 0 && answer & both == both
    }

    /// Whether `light` and `heavy` work as a pair. The first call asks the kernel.
    #[inline]
    pub(crate) fn is_available() -> bool {
        match STATE.load(Ordering::Relaxed) {
            UNKNOWN => register(),
            state => state == AVAILABLE,
        }
    }

    #[cold]
    fn register() -> bool {
        let registered = offers(membarrier(QUERY)) && membarrier(REGISTER_PRIVATE_EXPEDITED) == 0;
        let state = if registered { AVAILABLE } else { UNAVAILABLE };
        // On failure, another thread has registered the process, or has learned that the barrier itself fails.
        match STATE.compare_exchange(UNKNOWN, state, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => registered,
            Err(state) => state == AVAILABLE,
        }
    }

    #[inline]
    pub(crate) fn light(_: &HazardSlot) {
        // Pairs with the full fence that `heavy` makes every thread pass.
        compiler_fence(Ordering::SeqCst);
    }

    /// Executes the barrier. Returns false if the kernel has refused the call: a sandbox may have been closed since the
    /// registration.
    #[cold]
    pub(crate) fn heavy() -> bool {
        let done = membarrier(PRIVATE_EXPEDITED) == 0;
        if !done {
            STATE.store(UNAVAILABLE, Ordering::Relaxed);
        }
        done
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::hazard::scan_list::tests::is_alone;

        const NAME: &str = "hazard::barrier::imp::tests::the_barrier_is_available_from_the_first_question_on";

        #[test]
        fn a_mask_without_both_commands_is_not_believed() {
            let (one, other) = (c_long::from(PRIVATE_EXPEDITED), c_long::from(REGISTER_PRIVATE_EXPEDITED));
            for answer in [-1, c_long::MIN, 0, 1, one, other, !(one | other) & c_long::MAX] {
                assert!(!offers(answer), "{answer:#b}");
            }
            for answer in [one | other, one | other | 1, c_long::MAX] {
                assert!(offers(answer), "{answer:#b}");
            }
        }

        #[test]
        fn the_barrier_is_available_from_the_first_question_on() {
            // In a process of its own, no other test has asked the kernel.
            if !is_alone(NAME) {
                return;
            }
            let offered = offers(membarrier(QUERY));
            assert!(!heavy(), "the kernel refuses it to who is not registered");
            assert!(!is_available(), "it was refused");
            STATE.store(UNKNOWN, Ordering::Relaxed);
            assert_eq!(is_available(), offered);
            assert_eq!(heavy(), offered);
            assert_eq!(is_available(), offered, "it has not ceased");
        }
    }
}

/// The model of the pair, since loom has no process-wide barrier. A slot has a counter. `light` increments the counter
/// of its own slot, and `heavy` increments the counters of all slots, with `AcqRel`. So of a `light` and a `heavy`, one
/// happens before the other. The counters order no further pairs: not two calls of `light`, nor a `light` and a fence.
#[cfg(loom)]
mod modelled {
    use std::cell::Cell;

    use crate::hazard::HazardSlot;
    use crate::hazard::scan_list::all_slots;
    use crate::sync::{Ordering, fence};

    thread_local! {
        /// Of the thread that runs a model, which also runs all threads of the model.
        static IS_AVAILABLE: Cell<bool> = const { Cell::new(cfg!(feature = "membarrier")) };
    }

    /// Models of this thread have no barrier from now on.
    #[cfg(test)]
    pub(crate) fn forbid() {
        IS_AVAILABLE.set(false);
    }

    pub(crate) fn is_available() -> bool {
        IS_AVAILABLE.get()
    }

    /// Does nothing without the barrier: no caller relies on `light` then.
    pub(crate) fn light(slot: &HazardSlot) {
        if is_available() {
            slot.passed.fetch_add(1, Ordering::AcqRel);
        }
    }

    pub(crate) fn heavy() -> bool {
        if is_available() {
            fence(Ordering::SeqCst);
            all_slots().for_each(light);
            fence(Ordering::SeqCst);
        }
        is_available()
    }
}

#[cfg(all(not(loom), any(miri, not(feature = "membarrier"), not(any(target_os = "linux", target_os = "android")))))]
mod absent {
    use crate::hazard::HazardSlot;

    pub(crate) fn is_available() -> bool {
        false
    }

    /// Does nothing: no caller relies on `light` without the barrier.
    pub(crate) fn light(_: &HazardSlot) {}

    pub(crate) fn heavy() -> bool {
        false
    }
}
