//! When the fields of dead `Arc` hosts are dropped, and on which thread.
//!
//! In: a completed attach, or a call of `sweep()`. Out: dropped fields of dead hosts; destructors run under no lock.
//! Neighbours: `logs.rs`, which finds dead hosts; `../arc.rs`, with the invariants A1 and A2; `background.rs`, which
//! keeps attaches from sweeping.
//!
//! # An attach
//!
//! At the end of an attach, the thread appends a new host to a log and looks at the young hosts that are due. A look
//! checks one strong count. Looks at old hosts accumulate until a batch is due (`LEAST_LOOKS` in `logs.rs`). One attach
//! ends at most [`MOST_ENDED`] hosts, and inside of a destructor of a dead host half as many.
//! The thread ends each dead host before the search for the next. So a pass drops a whole chain of hosts that own one
//! another through their fields, if the pass has the chain's direction.
//!
//! # Where destructors run
//!
//! Destructors of a dead host's fields are foreign code to the attaching thread. Foreign destructors run at the end of
//! an attach, and never inside of an initialiser, a closure of an update, or a clone: a foreign destructor may ask for
//! the very field that is being initialised or updated. The thread counts the attaches inside of such code, and makes
//! up for them at the end of the outermost initialiser, closure or clone. The limit of an attach then holds for each
//! counted attach.
//!
//! Inside of a destructor that a sweep runs, attaches sweep too: a destructor that works off a queue leaves few dead
//! hosts behind. Inside of a destructor that such an attach runs, attaches do not sweep. Without the limit, destructors
//! could nest until the call stack overflows.
//!
//! # A sweep on demand
//!
//! [`sweep`] moves the hosts of all logs and groups into the first group, records the number of hosts in the group, and
//! drives the group's cursor until a pass finds no recorded host dead. Each further pass ends at least one recorded
//! host, and later hosts are not recorded. So the sweep terminates, whatever other threads attach. If destructors of
//! the sweep have attached, the sweep begins again, at most [`MOST_AGAIN`] times.
//!
//! The cursor is shared. While one thread runs a destructor, another thread may attach or sweep, and continues from the
//! cursor.

use std::cell::Cell;

use crate::fields::First;
use crate::host::arc::TABLE;
use crate::host::arc::background;
use crate::host::arc::kept::order_last_uses;
use crate::host::arc::log::{Entry, Old, PER_FOUND};
use crate::host::arc::logs::{self, GROUPS};
use crate::panics::Panics;
use crate::side_table::hash;
use crate::sync::local;
use crate::{claim, closures, readers};

/// The most hosts that one attach ends, of which at most half are young.
const MOST_ENDED: usize = 8;

/// The looks of a sweep on demand under one acquisition of a lock.
const SWEEP_LOOKS: usize = 256;

/// The most restarts of a sweep on demand, after destructors of the sweep have attached.
const MOST_AGAIN: usize = 4;

/// The most destructors of dead hosts that run inside one another.
const MOST_NESTED: usize = 2;

/// The most deferred sweeps that one attach, or the end of one initialiser, makes up for.
const MOST_MADE_UP: usize = 16;

/// A sweep on demand ends after so many looks for each host, and so many more, whatever dies meanwhile: the latter take
/// half a second, and suffice for a chain of 20,000 hosts in random order.
const MOST_SWEEP_LOOKS: [usize; 2] = [16, 1 << 27];

/// The state of a thread. A destructor would make the thread-local unusable at the end of the thread, so there is none.
struct Thread {
    /// The indices of the log in use, and of the group in use.
    log: Cell<usize>,
    group: Cell<usize>,
    /// A host that this thread has inserted into the table. The end of the attach appends the host to a log; until then
    /// the attach borrows the host.
    new: Cell<Option<Entry>>,
    /// The depth of destructors of dead hosts on this thread, and whether an attach has ended inside of a destructor.
    nested: Cell<usize>,
    has_attached: Cell<bool>,
    /// The number of attaches with a deferred sweep.
    deferred: Cell<usize>,
}

local! {
    static THREAD: Thread = Thread::new(0);
}

/// Runs `work` with the state of this thread. An emulated thread-local may be destroyed before the end of the thread.
#[inline]
fn with_thread<A, R>(argument: A, work: impl Fn(&Thread, A) -> R) -> R {
    let mut argument = Some(argument);
    let mut take = || argument.take().expect("it is used once");
    match THREAD.try_with(|thread| work(thread, take())) {
        Ok(result) => result,
        Err(_) => Thread::gone(work, take()),
    }
}

/// Keeps a host with a new table entry for the log. The caller borrows the host until [`after_attach`], which must
/// follow.
#[inline]
pub(super) fn note(entry: Entry) {
    with_thread(entry, Thread::note);
}

/// Appends a host with a new table entry to a log at once: the attach may still be refused, without [`after_attach`].
pub(super) fn note_now(entry: Entry) {
    with_thread(entry, Thread::note_now);
}

/// Ends some dead hosts after an attach, or defers the sweep.
#[inline]
pub(super) fn after_attach() {
    with_thread((), |thread, ()| thread.after_attach());
}

/// On drop, makes up for deferred sweeps, also during unwinding. Does nothing while the thread is still inside of an
/// initialiser, a closure or a clone.
#[must_use]
pub(crate) struct SweepDeferred;

impl Drop for SweepDeferred {
    #[inline]
    fn drop(&mut self) {
        with_thread((), |thread, ()| {
            if thread.deferred.get() > 0 {
                thread.make_up();
            }
        });
    }
}

/// Whether this thread is in user code in which no foreign destructor may run.
#[inline]
fn is_deferred() -> bool {
    claim::is_initialising() || closures::is_in_closure() || readers::is_in_clone()
}

impl Thread {
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

    /// Runs `work` with a temporary state, for a destroyed thread-local. Appends a new host that is left to a log.
    #[cold]
    fn gone<A, R>(work: impl Fn(&Self, A) -> R, argument: A) -> R {
        let thread = Self::new(1);
        let result = work(&thread, argument);
        thread.new.take().into_iter().for_each(|new| thread.note_now(new));
        result
    }

    #[inline]
    fn note(&self, entry: Entry) {
        // A destructor that runs between `note` and `after_attach` may attach as well.
        if let Some(before) = self.new.replace(Some(entry)) {
            self.note_now(before);
        }
    }

    #[cold]
    fn note_now(&self, entry: Entry) {
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
        self.end_found(found);
        if !may_end {
            self.defer();
        } else if self.deferred.get() > 0 {
            self.make_up();
        }
    }

    /// Whether attaches of this thread sweep.
    #[inline]
    fn may_sweep(&self) -> bool {
        self.nested.get() < MOST_NESTED && background::attaches_sweep()
    }

    #[cold]
    fn defer(&self) {
        if self.may_sweep() {
            self.deferred.set(self.deferred.get().saturating_add(1));
        }
    }

    #[cold]
    fn make_up(&self) {
        if self.may_sweep() && !is_deferred() {
            let deferred = self.deferred.get();
            let now = deferred.min(MOST_MADE_UP);
            self.deferred.set(deferred - now);
            for _ in 0..now {
                if !self.may_sweep() {
                    break;
                }
                let found = self.with_log(logs::find);
                self.end_found(found);
            }
        }
    }

    /// [`MOST_ENDED`], or half as many inside of a destructor of a dead host.
    fn most_ended(&self) -> usize {
        if self.nested.get() == 0 { MOST_ENDED } else { MOST_ENDED / 2 }
    }

    #[inline]
    fn end_found(&self, found: logs::Found) {
        let (mut looks, mut ended) = (found.looks, 0);
        if let Some(dead) = found.dead {
            ended = 1;
            self.end_for_attach(dead.entry);
            if dead.may_be_more {
                self.end_list(&mut looks, &mut ended);
            }
        }
        if looks > 0 {
            self.look_at_old(looks, ended);
        }
    }

    /// Continues the search after a dead young host. Adds the looks at old hosts that are due, and the ended hosts.
    #[cold]
    fn end_list(&self, looks: &mut usize, ended: &mut usize) {
        while *ended < self.most_ended() / 2 {
            let found = self.with_log(logs::find);
            *looks += found.looks;
            let Some(dead) = found.dead else { break };
            *ended += 1;
            self.end_for_attach(dead.entry);
        }
    }

    /// Makes looks at old hosts, for an attach that has ended some young hosts.
    #[cold]
    fn look_at_old(&self, mut looks: usize, mut ended: usize) {
        let mut passed = 0;
        while looks > 0 && passed <= GROUPS && ended < self.most_ended() {
            let group = logs::group(self.group.get());
            match group.try_with(|hosts| hosts.next_dead(&mut looks)).flatten() {
                Some(entry) => {
                    looks += PER_FOUND;
                    ended += 1;
                    self.end_for_attach(entry);
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
            self.with_log(|own| logs::give_back(own, looks));
        }
    }

    /// Ends a dead host after an attach to an unrelated host, and so discards panics of the destructors (R5).
    fn end_for_attach(&self, entry: Entry) {
        self.end(entry, &Panics::discard);
    }

    /// Removes a dead host from the table, and drops the host's fields under no lock.
    ///
    /// `each_panic` may run user code, a logger or the destructor of a payload, so it counts as a destructor.
    fn end(&self, entry: Entry, each_panic: &dyn Fn(Panics)) {
        let mut panics = Panics::of_dead(entry.kind().name);
        let key = entry.into_key();
        let hash = hash(key);
        let first = TABLE.shard(hash).lock().remove(key, hash);
        if let Some(first) = first {
            order_last_uses();
            self.nested.set(self.nested.get() + 1);
            // SAFETY: by A2 `first` belongs to the host of `key`. By A1 no thread borrows the host, and the entry is
            // removed.
            unsafe { First::from_raw(first).end(key, &mut panics) };
            if panics.any() {
                each_panic(panics);
            }
            self.nested.set(self.nested.get() - 1);
        }
    }

    /// Ends dead hosts, and passes the panics of each host to `each_panic`. Returns the number of ended hosts.
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
            self.note_now(new);
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
                self.end(entry, each_panic);
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
pub(crate) fn sweep() -> usize {
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
