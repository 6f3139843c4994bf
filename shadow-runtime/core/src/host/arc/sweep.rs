//! When the fields of dead `Arc` hosts are dropped, and on which thread.
//!
//! In: a completed attach, or a call of `sweep()`. Out: dropped fields of dead hosts; destructors run under no lock.
//! Neighbours: `logs.rs`, which finds dead hosts; `mod.rs`, with the invariants A1 and A2; `background.rs`, which
//! keeps attaches from sweeping.
//!
//! # An attach
//!
//! At the end of an attach, the thread appends a new host to a log and looks at the young hosts that are due. A look
//! checks one strong count. Credit for looks at old hosts accumulates until a batch is due (`LEAST_LOOKS` in
//! `logs.rs`). One attach destroys at most [`MOST_DESTROYED`] hosts, and inside of a destructor of a dead host half as
//! many. The thread destroys each dead host before the search for the next. So a pass drops a whole chain of hosts that
//! own one another through their fields, if the pass has the chain's direction.
//!
//! # Where destructors run
//!
//! Destructors of a dead host's fields are foreign code to the attaching thread. Foreign destructors run at the end of
//! an attach, and never inside of an initialiser, a closure of an update, or a clone: a foreign destructor may ask for
//! the very field that is being initialised or updated. The thread counts the attaches inside of such code, and runs
//! the deferred sweeps at the end of the outermost initialiser, closure or clone. The limit of an attach then holds for
//! each counted attach.
//!
//! Inside of a destructor that a sweep runs, attaches sweep too: a destructor that works off a queue leaves few dead
//! hosts behind. Inside of a destructor that such an attach runs, attaches do not sweep. Without the limit, destructors
//! could nest until the call stack overflows.
//!
//! # A sweep on demand
//!
//! [`sweep`] moves the hosts of all logs and groups into the first group, records the number of hosts in the group, and
//! drives the group's cursor until a pass finds no recorded host dead. Each further pass destroys at least one recorded
//! host, and later hosts are not recorded. So the sweep terminates, whatever other threads attach. If destructors of
//! the sweep have attached, the sweep begins again, at most [`MOST_AGAIN`] times.
//!
//! The cursor is shared. While one thread runs a destructor, another thread may attach or sweep, and continues from the
//! cursor.

use std::cell::Cell;

use crate::fields::RootPtr;
use crate::host::arc::TABLE;
use crate::host::arc::background;
use crate::host::arc::log::{LogEntry, Old, PER_DEAD};
use crate::host::arc::logs::{self, GROUPS};
use crate::host::arc::weak::order_last_uses;
use crate::panics::Panics;
use crate::side_table::hash;
use crate::sync::local;
use crate::{closures, hazard, init_lock};

/// The most hosts that one attach destroys, of which at most half are young.
const MOST_DESTROYED: usize = 8;

/// The looks of a sweep on demand under one acquisition of a lock.
const SWEEP_LOOKS: usize = 256;

/// The most restarts of a sweep on demand, after destructors of the sweep have attached.
const MOST_AGAIN: usize = 4;

/// The most destructors of dead hosts that run inside one another.
const MOST_NESTED: usize = 2;

/// The most deferred sweeps that one attach, or the end of one initialiser, runs.
const MOST_DEFERRED: usize = 16;

/// The most looks of a sweep on demand, whatever dies meanwhile: the first number for each host, and the second number
/// in addition. The additional looks take half a second, and suffice for a chain of 20,000 hosts in random order.
const MOST_SWEEP_LOOKS: [usize; 2] = [16, 1 << 27];

/// The state of a thread. A destructor would make the thread-local unusable at the end of the thread, so there is none.
struct ThreadState {
    /// The indices of the log in use, and of the group in use.
    log: Cell<usize>,
    group: Cell<usize>,
    /// A host that this thread has inserted into the table. The end of the attach appends the host to a log; until then
    /// the attach borrows the host.
    new: Cell<Option<LogEntry>>,
    /// The depth of destructors of dead hosts on this thread, and whether an attach has destroyed inside of a
    /// destructor.
    nested: Cell<usize>,
    has_attached: Cell<bool>,
    /// The number of attaches with a deferred sweep.
    deferred: Cell<usize>,
}

local! {
    static THREAD: ThreadState = ThreadState::new(0);
}

/// Runs `work` with the state of this thread. An emulated thread-local may be destroyed before the end of the thread.
#[inline]
fn with_thread<A, R>(argument: A, work: impl Fn(&ThreadState, A) -> R) -> R {
    let mut argument = Some(argument);
    let mut take = || argument.take().expect("it is used once");
    match THREAD.try_with(|thread| work(thread, take())) {
        Ok(result) => result,
        Err(_) => ThreadState::with_temporary(work, take()),
    }
}

/// Keeps a host with a new table entry for the log. The caller borrows the host until [`after_attach`], which must
/// follow.
#[inline]
pub(super) fn log_later(entry: LogEntry) {
    with_thread(entry, ThreadState::log_later);
}

/// Appends a host with a new table entry to a log at once: the attach may still be refused, without [`after_attach`].
pub(super) fn log_now(entry: LogEntry) {
    with_thread(entry, ThreadState::log_now);
}

/// Destroys some dead hosts after an attach, or defers the sweep.
#[inline]
pub(super) fn after_attach() {
    with_thread((), |thread, ()| thread.after_attach());
}

/// On drop, runs deferred sweeps, also during unwinding. Does nothing while the thread is still inside of an
/// initialiser, a closure or a clone.
#[must_use]
pub(crate) struct SweepDeferred;

impl Drop for SweepDeferred {
    #[inline]
    fn drop(&mut self) {
        with_thread((), |thread, ()| {
            if thread.deferred.get() > 0 {
                thread.run_deferred();
            }
        });
    }
}

/// Whether this thread is in user code in which no foreign destructor may run.
#[inline]
fn is_deferred() -> bool {
    init_lock::is_initialising() || closures::is_in_closure() || hazard::is_in_clone()
}

impl ThreadState {
    const fn new(nested: usize) -> Self {
        Self {
            log: Cell::new(0),
            group: Cell::new(0),
            new: Cell::new(None),
            nested: Cell::new(nested),
            has_attached: Cell::new(false),
            deferred: Cell::new(0),
        }
    }

    /// Runs `work` with a temporary state, for a destroyed thread-local. If `work` leaves a new host in the state,
    /// appends the host to a log.
    #[cold]
    fn with_temporary<A, R>(work: impl Fn(&Self, A) -> R, argument: A) -> R {
        let thread = Self::new(1);
        let result = work(&thread, argument);
        thread.new.take().into_iter().for_each(|new| thread.log_now(new));
        result
    }

    #[inline]
    fn log_later(&self, entry: LogEntry) {
        // A destructor that runs between `log_later` and `after_attach` may attach as well.
        if let Some(before) = self.new.replace(Some(entry)) {
            self.log_now(before);
        }
    }

    #[cold]
    fn log_now(&self, entry: LogEntry) {
        self.has_attached.set(true);
        // The attach may yet be refused, or panic.
        self.defer();
        let _ = self.with_log(|own| logs::attach(own, Some(entry), false));
    }

    /// Runs `work` with the number of the log that was used last.
    #[inline]
    fn with_log<R>(&self, work: impl FnOnce(&mut usize) -> R) -> R {
        let mut own = self.log.get();
        let result = work(&mut own);
        self.log.set(own);
        result
    }

    #[inline]
    fn after_attach(&self) {
        let new = self.new.take();
        if new.is_some() {
            self.has_attached.set(true);
        }
        let may_end = self.may_sweep() && !is_deferred();
        let found = self.with_log(|own| logs::attach(own, new, may_end));
        self.destroy_found(found);
        if !may_end {
            self.defer();
        } else if self.deferred.get() > 0 {
            self.run_deferred();
        }
    }

    /// Whether attaches of this thread sweep.
    #[inline]
    fn may_sweep(&self) -> bool {
        self.nested.get() < MOST_NESTED && background::attaches_may_sweep()
    }

    #[cold]
    fn defer(&self) {
        if self.may_sweep() {
            self.deferred.set(self.deferred.get().saturating_add(1));
        }
    }

    #[cold]
    fn run_deferred(&self) {
        if self.may_sweep() && !is_deferred() {
            let deferred = self.deferred.get();
            let now = deferred.min(MOST_DEFERRED);
            self.deferred.set(deferred - now);
            for _ in 0..now {
                if !self.may_sweep() {
                    break;
                }
                let found = self.with_log(logs::find);
                self.destroy_found(found);
            }
        }
    }

    /// [`MOST_DESTROYED`], or half as many inside of a destructor of a dead host.
    fn most_destroyed(&self) -> usize {
        if self.nested.get() == 0 { MOST_DESTROYED } else { MOST_DESTROYED / 2 }
    }

    #[inline]
    fn destroy_found(&self, found: logs::Search) {
        let (mut looks, mut destroyed) = (found.looks, 0);
        if let Some(dead) = found.dead {
            destroyed = 1;
            // SAFETY: `find` has found the host dead.
            unsafe { self.destroy_for_attach(dead.entry) };
            if dead.may_be_more {
                self.destroy_more_young(&mut looks, &mut destroyed);
            }
        }
        if looks > 0 {
            self.check_old(looks, destroyed);
        }
    }

    /// Continues the search after a dead young host. Adds the looks at old hosts that are due, and the destroyed hosts.
    #[cold]
    fn destroy_more_young(&self, looks: &mut usize, destroyed: &mut usize) {
        while *destroyed < self.most_destroyed() / 2 {
            let found = self.with_log(logs::find);
            *looks += found.looks;
            let Some(dead) = found.dead else { break };
            *destroyed += 1;
            // SAFETY: `find` has found the host dead.
            unsafe { self.destroy_for_attach(dead.entry) };
        }
    }

    /// Makes looks at old hosts, for an attach that has destroyed some young hosts.
    #[cold]
    fn check_old(&self, mut looks: usize, mut destroyed: usize) {
        let mut passed = 0;
        while looks > 0 && passed <= GROUPS && destroyed < self.most_destroyed() {
            let group = logs::group(self.group.get());
            match group.try_with(|hosts| hosts.next_dead(&mut looks)).flatten() {
                Some(entry) => {
                    looks += PER_DEAD;
                    destroyed += 1;
                    // SAFETY: `next_dead` has found the host dead.
                    unsafe { self.destroy_for_attach(entry) };
                }
                // The pass is over, the group is empty, or another thread holds the lock.
                None if looks > 0 => {
                    self.group.set(self.group.get().wrapping_add(1));
                    passed += 1;
                }
                None => {}
            }
        }
        if looks > 0 {
            self.with_log(|own| logs::save_credit(own, looks));
        }
    }

    /// Destroys a dead host after an attach to an unrelated host, and so discards panics of the destructors (R5).
    ///
    /// # Safety
    ///
    /// The host is dead.
    unsafe fn destroy_for_attach(&self, entry: LogEntry) {
        // SAFETY: by the contract.
        unsafe { self.destroy(entry, &Panics::discard) };
    }

    /// Removes a dead host from the table, and drops the host's fields under no lock.
    ///
    /// `each_panic` may run user code, a logger or the destructor of a payload. So the call of `each_panic` counts as a
    /// destructor.
    ///
    /// # Safety
    ///
    /// The host is dead.
    unsafe fn destroy(&self, entry: LogEntry, each_panic: &dyn Fn(Panics)) {
        let mut panics = Panics::of_dead_host(entry.host_type().name);
        let key = entry.into_key();
        let hash = hash(key);
        let root = TABLE.shard(hash).lock().remove(key, hash);
        if let Some(root) = root {
            order_last_uses();
            self.nested.set(self.nested.get() + 1);
            // SAFETY: by A2 `root` belongs to the host of `key`. By the contract the host is dead, so by A1 no thread
            // borrows the host, and the entry is removed.
            unsafe { RootPtr::from_raw(root).destroy(key, &mut panics) };
            if panics.any() {
                each_panic(panics);
            }
            self.nested.set(self.nested.get() - 1);
        }
    }

    /// Destroys dead hosts, and passes the panics of each host to `each_panic`. Returns the number of destroyed hosts.
    fn sweep(&self, each_panic: &dyn Fn(Panics)) -> usize {
        if self.nested.get() >= MOST_NESTED {
            return 0;
        }
        let (mut count, before) = (0, self.has_attached.get());
        for _ in 0..=MOST_AGAIN {
            self.has_attached.set(false);
            count += self.sweep_once(each_panic);
            if !self.has_attached.get() {
                break;
            }
        }
        // For the sweep whose destructor has called this one.
        self.has_attached.set(before || self.has_attached.get());
        count
    }

    fn sweep_once(&self, each_panic: &dyn Fn(Panics)) -> usize {
        if let Some(new) = self.new.take() {
            self.log_now(new);
        }
        logs::gather();
        let group = logs::group(0);
        let sweep = group.wait_and(Old::begin_sweep);
        let [per_host, more] = MOST_SWEEP_LOOKS;
        let (mut count, mut left) = (0, per_host * group.len() + more);
        // Returns `None` when the sweep is done; otherwise a dead host, if there was one, and the number of looks.
        let step = |hosts: &mut Old| {
            let mut looks = SWEEP_LOOKS;
            (!hosts.is_done(&sweep)).then(|| (hosts.next_dead(&mut looks), SWEEP_LOOKS - looks))
        };
        while let Some((found, looks)) = group.wait_and(step) {
            if let Some(entry) = found {
                count += 1;
                // SAFETY: `next_dead` has found the host dead.
                unsafe { self.destroy(entry, each_panic) };
                // Another thread may have finished the passes while the destructors ran.
                group.wait_and(|hosts| hosts.go_on(&sweep));
            } else if looks < left {
                left -= looks;
            } else {
                break;
            }
        }
        group.wait_and(|hosts| hosts.end_sweep(sweep));
        count
    }
}

/// Drops the fields of every dead host, also of hosts that die by the drop of other hosts' fields. Returns the number
/// of hosts.
///
/// # Panics
///
/// If a destructor panics, after all destructors have run.
pub(super) fn sweep() -> usize {
    let first = Cell::new(None);
    let count = with_thread((), |thread, ()| {
        thread.sweep(&|panics| match first.take() {
            None if panics.any() => first.set(Some(panics)),
            before => {
                first.set(before);
                panics.discard();
            }
        })
    });
    first.take().into_iter().for_each(Panics::raise);
    count
}

/// A sweep on a background thread, which discards all panics.
pub(super) fn sweep_contained() {
    with_thread((), |thread, ()| thread.sweep(&Panics::discard));
}
