//! The sweeps that a program asks for: methods of the registry.
//!
//! In: a call of a [`Registry`]. Out: dropped fields of dead hosts, or a guard. The methods are here, so that the
//! registry does not depend on hosts. Neighbours: `sweep.rs`, the sweep; `background.rs`, the guards.

use std::io;
use std::time::Duration;

use crate::host::arc::background::{BackgroundSweep, ManualSweep};
use crate::host::arc::sweep;
use crate::registry::Registry;

impl Registry {
    /// Drops the fields of all dead `Arc` hosts. Returns the number of hosts that this call has dropped.
    ///
    /// A host is dead after the drop of its last `Arc`. The call drops each host that was dead at the start of the
    /// call, and each host that dies by such a drop. If destructors of this call attach to new hosts, the call starts
    /// again, four times at most. If another thread is moving or dropping a host during the call, the call may leave
    /// the host to a later sweep. A program need not call: an attach drops a few dead hosts, unless
    /// [`sweep_in_background`](Self::sweep_in_background) or [`sweep_by_hand`](Self::sweep_by_hand) is in effect.
    ///
    /// One to three passes reach every `Arc` host; further passes follow until a pass finds no dead host. So the time
    /// is linear in the number of hosts, except for hosts that own one another in random order: a chain of such hosts
    /// takes a pass for about two hosts. From such a chain of more than about 20,000 hosts, the call drops a part
    /// within half a second, and leaves the rest to a later call. The call does not wait for hosts with concurrent
    /// attaches, so other threads cannot keep the call from returning. Destructors run under no lock. A call in a
    /// destructor of a dead host works; a call in a destructor inside of such a destructor returns 0.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{registry, shadow};
    ///
    /// shadow! { trait Named for Arc<u8> { attach name: String; } }
    ///
    /// let host = Arc::new(1);
    /// host.attach_name("one".into()).unwrap();
    /// assert_eq!(registry().sweep(), 0);
    /// drop(host);
    /// assert_eq!(registry().sweep(), 1);
    /// ```
    ///
    /// # Panics
    ///
    /// If a destructor panics: the first panic is raised again after the last destructor.
    #[expect(clippy::must_use_candidate, reason = "mostly called for what it does")]
    pub fn sweep(self) -> usize {
        sweep::sweep()
    }

    /// Starts a thread that drops the fields of dead `Arc` hosts, until the guard is dropped.
    ///
    /// Bind the guard to a name: `let _ =` drops the guard at once. While the guard lives, no attach runs a destructor
    /// of a dead host. So destructors run on the guard's thread, which holds no lock of the program and runs no
    /// initialiser. The guard suits a server, and a program with an async runtime. A library crate leaves the choice to
    /// the program.
    ///
    /// The thread starts a sweep every `interval / 2`, or a millisecond after the previous sweep if a sweep takes
    /// longer. A panic of a destructor goes to the log (feature `log`). Guards may overlap; each guard has a thread. In
    /// the child of a `fork` the guard has no thread, and attaches do not sweep during the guard's life: call
    /// [`sweep`](Self::sweep), or drop the guard.
    ///
    /// ```
    /// use std::time::Duration;
    /// use shadow_runtime::registry;
    ///
    /// let _sweep = registry().sweep_in_background(Duration::from_millis(100)).expect("a thread");
    /// ```
    ///
    /// # Errors
    ///
    /// If the system cannot start a thread.
    pub fn sweep_in_background(self, interval: Duration) -> io::Result<BackgroundSweep> {
        BackgroundSweep::spawn(interval)
    }

    /// Until the drop of the guard, only [`sweep`](Self::sweep) and background threads run destructors of dead `Arc`
    /// hosts.
    ///
    /// Bind the guard to a name: `let _ =` drops the guard at once. The number of dead hosts has no bound between two
    /// sweeps. Guards act on the whole process.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use shadow_runtime::{registry, shadow};
    ///
    /// shadow! { trait Named for Arc<u8> { attach name: String; } }
    ///
    /// let by_hand = registry().sweep_by_hand();
    /// for number in 0..100 {
    ///     Arc::new(number).attach_name(number.to_string()).unwrap();
    /// }
    /// assert_eq!(registry().sweep(), 100);
    /// drop(by_hand);
    /// ```
    pub fn sweep_by_hand(self) -> ManualSweep {
        ManualSweep::new()
    }
}
