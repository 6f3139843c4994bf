//! A fence that costs those nothing who pass it often, and those much who need it seldom.
//!
//! In: nothing. Out: [`light`], for the many, which only keeps the compiler from moving memory accesses past it, and
//! [`heavy`], for the few, which has every thread of the process pass a fence, wherever it is just then. So if one
//! thread stores A, passes `light` and loads B, and another stores B, passes `heavy` and loads A, one of them sees what
//! the other has stored: as with two `SeqCst` fences.
//!
//! The kernel does it: `membarrier(2)`, with `MEMBARRIER_CMD_PRIVATE_EXPEDITED`, in Linux since 4.14. Liburcu and
//! Folly's hazard pointers have it from the same call. [`is_available`] is false, and nobody may rely on `light`, on
//! other systems, without the feature `membarrier`, where the kernel does not offer the commands, and where a sandbox
//! refuses the call.
//!
//! A sandbox may also answer a call that it does not make, with 0, which is what the commands return. So the kernel is
//! asked first for the mask of its commands, by `MEMBARRIER_CMD_QUERY`, and a mask without both commands is not
//! believed. A sandbox that kills the process on an unknown call does so at that query: such a program leaves out the
//! feature.

#[cfg(all(
    not(loom),
    any(miri, not(feature = "membarrier"), not(any(target_os = "linux", target_os = "android")))
))]
use absent as imp;
pub(super) use imp::light;
pub(crate) use imp::{heavy, is_available};
#[cfg(loom)]
use modelled as imp;
#[cfg(loom)]
pub(super) use modelled::forbid;

#[cfg(all(feature = "membarrier", any(target_os = "linux", target_os = "android"), not(any(loom, miri))))]
mod imp {
    use std::ffi::{c_int, c_long};
    use std::sync::atomic::compiler_fence;

    use crate::readers::Slot;
    use crate::sync::{AtomicU8, Ordering};

    // The crate that declares these for everybody would be one more to build, for one call.
    unsafe extern "C" {
        /// The C library's, which std links anyhow.
        fn syscall(number: c_long, ...) -> c_long;
    }

    /// The call's number, which each kind of processor has its own list of; none where it is not known here.
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

    /// Whether the process is registered with the kernel. Relaxed: nothing else is concluded from it.
    static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);

    /// The kernel's answer: at least 0, or -1 where the call fails.
    fn membarrier(command: c_int) -> c_long {
        let Some(number) = MEMBARRIER else { return -1 };
        // SAFETY: `syscall` is declared as the C library declares it, and this call has these three arguments and
        // touches no memory of the process. A kernel that does not know the number returns an error.
        unsafe { syscall(number, command, 0 as c_int, 0 as c_int) }
    }

    /// Whether the answer to [`QUERY`] is a mask that has both commands.
    fn offers(answer: c_long) -> bool {
        let both = c_long::from(PRIVATE_EXPEDITED | REGISTER_PRIVATE_EXPEDITED);
        answer > 0 && answer & both == both
    }

    /// Whether `light` and `heavy` are a pair. Asks the kernel once.
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
        // Another thread may have found out more meanwhile: that the fence itself fails.
        match STATE.compare_exchange(UNKNOWN, state, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => registered,
            Err(state) => state == AVAILABLE,
        }
    }

    #[inline]
    pub(crate) fn light(_: &Slot) {
        compiler_fence(Ordering::SeqCst);
    }

    /// Returns whether it was one: a sandbox may have been closed since the process was registered.
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
        use crate::readers::tests::is_alone;

        const NAME: &str = "readers::barrier::imp::tests::there_is_a_fence_for_all_from_when_it_is_asked_for";

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
        fn there_is_a_fence_for_all_from_when_it_is_asked_for() {
            // No other test has asked in a process of its own.
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

/// For models, which have no such call. A slot has a word for it, which its thread exchanges where it passes `light`,
/// and `heavy` exchanges those of all slots: of one that passes `light` and one that passes `heavy`, one has happened
/// before the other. Nothing else is ordered by it: not two that pass `light`, nor one that passes `light` and one that
/// has a fence of its own.
#[cfg(loom)]
mod modelled {
    use std::cell::Cell;

    use crate::readers::{Slot, all_slots};
    use crate::sync::{Ordering, fence};

    thread_local! {
        /// Of the thread that runs a model with all of its threads.
        static IS_AVAILABLE: Cell<bool> = const { Cell::new(true) };
    }

    /// From now on there is no such fence in the models of this thread.
    pub(in crate::readers) fn forbid() {
        IS_AVAILABLE.set(false);
    }

    pub(crate) fn is_available() -> bool {
        IS_AVAILABLE.get()
    }

    /// Nobody relies on it if there is no `heavy`.
    pub(crate) fn light(slot: &Slot) {
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
    use crate::readers::Slot;

    pub(crate) fn is_available() -> bool {
        false
    }

    /// Nobody relies on it.
    pub(crate) fn light(_: &Slot) {}

    pub(crate) fn heavy() -> bool {
        false
    }
}
