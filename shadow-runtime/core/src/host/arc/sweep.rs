//! When the fields of dead `Arc` hosts are dropped, and on which thread.
//!
//! In: an attach that is done, or a call of `sweep()`. Out: the end of dead hosts, whose destructors run under no lock.
//! Neighbours: `logs.rs`, which finds dead hosts; `../arc.rs`, whose invariants A1 and A2 are kept here; `background.rs`,
//! which keeps attaches from sweeping.
//!
//! # An attach
//!
//! At its end an attach notes its host in a log, if that is new, and takes a dead host out, if one is due. Looks at old
//! hosts are collected, and made some at a time. One attach ends at most [`MOST_ENDED`] young hosts and as many old ones. Each
//! dead host is ended before the next one is looked for, so hosts that hold one another fall in one pass.
//!
//! # Where destructors run
//!
//! Destructors of a dead host's fields are a stranger's code for the thread that attaches. They run at the end of an
//! attach: not inside an initialiser, nor a closure of an update, nor a clone, since they may ask for the very field that is
//! being initialised or updated. Such attaches are counted, and the thread makes up for them when the outermost initialiser,
//! closure or clone is done.
//!
//! Inside a destructor that a sweep runs, attaches sweep too, so that a destructor which works off a queue keeps nothing.
//! Inside a destructor that such an attach runs they do not, since dead hosts would pile up on the stack.
//!
//! # A sweep on demand
//!
//! [`sweep`] moves all hosts of all logs into one group, marks them, and drives its cursor, until a pass over the marked
//! hosts finds none dead. Each further pass ends at least one of the marked hosts, and hosts that come later are not marked:
//! so it returns, whatever other threads attach. If its own destructors have attached to new hosts, it begins again, a few
//! times at most. The cursor is shared: another thread may attach, or sweep, while a destructor runs, and finds what is
//! left.

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

/// How many dead hosts one attach ends at most, of the young and of the old.
const MOST_ENDED: usize = 4;

/// How many looks a sweep on demand makes under one lock.
const SWEEP_LOOKS: usize = 256;

/// How often a sweep on demand begins again since its destructors have attached to new hosts.
const MOST_AGAIN: usize = 4;

/// How deep destructors of dead hosts run inside one another.
const MOST_NESTED: usize = 2;

/// What a thread keeps. It has no destructor.
struct Thread {
    /// The numbers of the log that was used last, and of the group.
    log: Cell<usize>,
    group: Cell<usize>,
    /// The host that this thread has put into the table, and notes at the end of the attach. It is borrowed until then.
    new: Cell<Option<Entry>>,
    /// How many destructors of dead hosts this thread is in, and whether a host was put into the table there.
    nested: Cell<usize>,
    has_attached: Cell<bool>,
    /// How many attaches have deferred their part.
    deferred: Cell<usize>,
}

local! {
    static THREAD: Thread = Thread::new(0);
}

/// Runs `work` with what this thread keeps. Where thread-locals are emulated, that may be gone at the end of the thread.
#[inline]
fn with_thread<A, R>(argument: A, work: impl Fn(&Thread, A) -> R) -> R {
    let mut argument = Some(argument);
    let mut take = || argument.take().expect("it is used once");
    match THREAD.try_with(|thread| work(thread, take())) {
        Ok(result) => result,
        Err(_) => Thread::gone(work, take()),
    }
}

/// Notes a host that has just got its entry in the table, at the end of the attach: [`after_attach`] follows, and the host
/// is borrowed until then.
#[inline]
pub(super) fn note(entry: Entry) {
    with_thread(entry, Thread::note);
}

/// Notes a host that has just got its entry in the table, for an attach that may yet be refused.
pub(super) fn note_now(entry: Entry) {
    with_thread(entry, Thread::note_now);
}

/// Ends some dead hosts after an attach, or defers that.
#[inline]
pub(super) fn after_attach() {
    with_thread((), |thread, ()| thread.after_attach());
}

/// Makes up for what attaches have deferred when it is dropped, also if user code panics: unless this thread is in an
/// initialiser, a closure or a clone then.
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

/// Whether this thread is in user code that must not meet destructors of strangers.
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

    /// Runs `work` with what no thread keeps. Notes what is left then.
    #[cold]
    fn gone<A, R>(work: impl Fn(&Self, A) -> R, argument: A) -> R {
        let thread = Self::new(1);
        let result = work(&thread, argument);
        thread.new.take().into_iter().for_each(|new| thread.note_now(new));
        result
    }

    #[inline]
    fn note(&self, entry: Entry) {
        // A destructor that runs between the two attaches, too.
        if let Some(before) = self.new.replace(Some(entry)) {
            self.note_now(before);
        }
    }

    #[cold]
    fn note_now(&self, entry: Entry) {
        let _ = self.note_and_find(Some(entry), false);
    }

    #[inline]
    fn note_and_find(&self, new: Option<Entry>, may_end: bool) -> logs::Found {
        let mut own = self.log.get();
        let found = logs::note_and_find(&mut own, new, may_end);
        self.log.set(own);
        found
    }

    #[inline]
    fn after_attach(&self) {
        let new = self.new.take();
        if self.nested.get() > 0 {
            self.has_attached.set(true);
        }
        let may_end = self.may_sweep() && !is_deferred();
        if may_end || new.is_some() {
            let found = self.note_and_find(new, may_end);
            self.end_found(found);
        }
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
            for _ in 0..self.deferred.take() {
                let found = self.note_and_find(None, true);
                self.end_found(found);
            }
        }
    }

    /// How many dead hosts an attach ends at most, of the young and of the old.
    fn most_ended(&self) -> usize {
        if self.nested.get() == 0 { MOST_ENDED } else { MOST_ENDED / 2 }
    }

    #[inline]
    fn end_found(&self, found: logs::Found) {
        let mut looks = found.looks;
        if let Some(dead) = found.dead {
            self.end_for_attach(dead.entry);
            if dead.may_be_more {
                looks += self.end_list();
            }
        }
        if looks > 0 {
            self.look_at_old(looks);
        }
    }

    /// Goes on where a dead host was found beside another. Returns how many looks at old hosts are due.
    #[cold]
    fn end_list(&self) -> usize {
        let mut looks = 0;
        for _ in 1..self.most_ended() {
            let found = self.note_and_find(None, true);
            looks += found.looks;
            let Some(dead) = found.dead else { break };
            self.end_for_attach(dead.entry);
        }
        looks
    }

    #[cold]
    fn look_at_old(&self, mut looks: usize) {
        let (mut ended, mut passed) = (0, 0);
        while looks > 0 && passed <= GROUPS && ended < self.most_ended() {
            let group = logs::group(self.group.get());
            match group.try_with(|hosts| hosts.next_dead(&mut looks)).flatten() {
                Some(entry) => {
                    looks += PER_FOUND;
                    ended += 1;
                    self.end_for_attach(entry);
                }
                // The pass is over, or another thread is there.
                None if looks > 0 => {
                    self.group.set(self.group.get().wrapping_add(1));
                    passed += 1;
                }
                None => {}
            }
        }
        if looks > 0 {
            let mut own = self.log.get();
            logs::give_back(&mut own, looks);
            self.log.set(own);
        }
    }

    /// Ends a dead host in an attach, for which a panic of its destructors is a stranger's (R5).
    fn end_for_attach(&self, entry: Entry) {
        self.end(entry).discard();
    }

    /// Takes a dead host out of the table, and drops its fields, under no lock.
    fn end(&self, entry: Entry) -> Panics {
        let mut panics = Panics::of_dead(entry.kind().name);
        let key = entry.into_key();
        let hash = hash(key);
        let first = TABLE.shard(hash).lock().remove(key, hash);
        if let Some(first) = first {
            order_last_uses();
            self.nested.set(self.nested.get() + 1);
            // SAFETY: by A2 it is a host's; it was in the table by this key, and by A1 no thread has it any more.
            unsafe { First::from_raw(first).end(key, &mut panics) };
            self.nested.set(self.nested.get() - 1);
        }
        panics
    }

    /// Drops dead hosts, and has `each_panic` take what their destructors panic with. Returns how many there were.
    fn sweep(&self, each_panic: &dyn Fn(Panics)) -> usize {
        if self.nested.get() >= MOST_NESTED {
            return 0;
        }
        let mut count = 0;
        for _ in 0..=MOST_AGAIN {
            self.has_attached.set(false);
            count += self.sweep_once(each_panic);
            if !self.has_attached.get() {
                break;
            }
        }
        count
    }

    fn sweep_once(&self, each_panic: &dyn Fn(Panics)) -> usize {
        if let Some(new) = self.new.take() {
            self.note_now(new);
        }
        logs::gather();
        let group = logs::group(0);
        let sweep = group.wait_and(Old::begin_sweep);
        let mut count = 0;
        // None when the sweep is done.
        let step = |hosts: &mut Old| (!hosts.is_done(&sweep)).then(|| hosts.next_dead(&mut { SWEEP_LOOKS }));
        while let Some(found) = group.wait_and(step) {
            let Some(entry) = found else { continue };
            count += 1;
            each_panic(self.end(entry));
        }
        group.wait_and(|hosts| hosts.end_sweep(sweep));
        count
    }
}

/// Drops every host that is dead, also those that die when the values of others are dropped, and returns how many.
///
/// # Panics
///
/// If a destructor does, after all of them have run.
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

/// The same on a thread of its own, for which every panic is a stranger's.
pub(super) fn sweep_contained() {
    with_thread((), |thread, ()| thread.sweep(&Panics::discard));
}
