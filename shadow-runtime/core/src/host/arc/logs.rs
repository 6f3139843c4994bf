//! The logs of a process: which log a thread uses, and how hosts move from young to old.
//!
//! In: new hosts. Out: dead hosts, one at a time; the caller destroys each (G1 of `log/mod.rs`). Neighbours: `log/`,
//! the structure of one log; `sweep.rs`, which decides when to look, and destroys dead hosts.
//!
//! # Choice of a log
//!
//! A thread begins with the first log, and keeps a log until another thread holds the log's lock; then the thread goes
//! on to the next free log. So concurrent attaches spread over separate logs, consecutive threads share the first log,
//! and the end of a thread needs no cleanup. Logs share a few groups of old hosts. A thread makes a pass over one
//! group, and then goes on to the next. So all old hosts get looks equally often, whichever thread has attached to a
//! host.
//!
//! # Locks
//!
//! No thread holds the lock of a log and the lock of a group at the same time, and no thread holds either while user
//! code or the allocator runs. A look at old hosts only tries the lock of a group. A new host needs one log, and a full
//! chunk needs one group: an attach waits for a lock only if all logs, or all groups, are locked. The reason is `fork`:
//! in the child a lock may be held for ever, by a thread of the parent.

use std::mem;

use crate::host::arc::log::{CHUNK, Chunk, Dead, Empty, LogEntry, Old, PER_PROMOTION, PER_TWO_ATTACHES, Stack, Young};
use crate::host::arc::try_lock::{Guard, TryLock};
use crate::sync::{AtomicUsize, Ordering, array_of, const_fn, shared};

/// The number of logs. One log under a model checker. Few under Miri, since a sweep on demand visits all logs.
const LOGS: usize = if cfg!(loom) {
    1
} else if cfg!(miri) {
    4
} else {
    64
};

/// The number of groups of old hosts.
pub(super) const GROUPS: usize = if cfg!(loom) {
    1
} else if cfg!(miri) {
    2
} else {
    8
};

/// At every multiple of this number of hosts, a log promotes its chunk, though the chunk is not full, unless the ring
/// is full. A power of two.
const LONGEST_WAIT: usize = 4096;

/// After so many attaches to a log, the thread visits another log. A power of two.
const VISIT: usize = 32;

/// The most credit of a log.
const MOST_CREDIT: usize = 1 << 22;

/// The least and the most looks at old hosts that one search of a log grants.
const LEAST_LOOKS: usize = 16;
const MOST_LOOKS: usize = 64;

shared! {
    static ALL: All = All { logs: array_of!(LOGS, Log::new()), groups: array_of!(GROUPS, Group::new()), used: AtomicUsize::new(1), next_visit: AtomicUsize::new(0) };
}

struct All {
    logs: [Log; LOGS],
    groups: [Group; GROUPS],
    /// The number of logs that were ever used: the first logs, since a thread goes on to the next log.
    used: AtomicUsize,
    /// The number of visits.
    next_visit: AtomicUsize,
}

/// A log. The alignment avoids false sharing.
#[repr(align(128))]
struct Log(TryLock<Hosts>);

/// The hosts of a log that are not old yet.
struct Hosts {
    young: Young,
    /// Hosts that have left the ring, until the chunk is full.
    promoting: Option<Box<Chunk>>,
    /// Looks at old hosts that attaches and promotions have paid for, and no thread has made.
    credit: usize,
    attaches: usize,
    /// The number of attaches at the last visit by a thread that uses another log.
    visited: usize,
}

/// Old hosts of some logs. The alignment avoids false sharing.
#[repr(align(128))]
pub(super) struct Group {
    /// The number of hosts, as of the last unlock. Relaxed: a thread that does not hold the lock only decides whether
    /// and how often to look.
    len: AtomicUsize,
    hosts: TryLock<Old>,
}

/// The result of a search of a log.
pub(super) struct Search {
    pub(super) dead: Option<Dead>,
    /// The number of looks at old hosts that are due.
    pub(super) looks: usize,
}

impl Log {
    const_fn! {
        const fn new() -> Self {
            Self(TryLock::new(Hosts { young: Young::new(), promoting: None, credit: 0, attaches: 0, visited: 0 }))
        }
    }
}

impl Group {
    const_fn! {
        const fn new() -> Self {
            Self { len: AtomicUsize::new(0), hosts: TryLock::new(Old::new()) }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Runs `work` on the old hosts. Frees emptied chunks after the unlock.
    fn with<R>(&self, mut hosts: Guard<'_, Old>, work: impl FnOnce(&mut Old) -> R) -> R {
        let result = work(&mut hosts);
        self.len.store(hosts.len(), Ordering::Relaxed);
        let surplus = hosts.take_surplus();
        drop(hosts);
        drop(surplus);
        result
    }

    /// Calls [`with`](Self::with) after a wait for the lock.
    pub(super) fn wait_and<R>(&self, work: impl FnOnce(&mut Old) -> R) -> R {
        self.with(self.hosts.lock(), work)
    }

    /// Adds promoted hosts, the newest on top. A group without an empty chunk takes `empty`.
    fn put_all(&self, hosts: Stack, mut empty: Option<Box<Chunk>>) {
        self.wait_and(|old| {
            if old.needs_chunk() {
                empty.take().into_iter().for_each(|chunk| old.put_empty(chunk));
            }
            old.put_all(hosts);
        });
    }

    /// Calls [`with`](Self::with) if the lock is free and the group has hosts.
    #[inline]
    pub(super) fn try_with<R>(&self, work: impl FnOnce(&mut Old) -> R) -> Option<R> {
        let hosts = if self.len() > 0 { self.hosts.try_lock()? } else { return None };
        Some(self.with(hosts, work))
    }
}

impl Hosts {
    /// Whether the next [`push`](Self::push) may need an empty chunk: the ring is full, and the chunk has no room for
    /// the oldest host of the ring; or the push promotes the chunk, though the chunk is not full.
    #[inline]
    fn needs_chunk(&self) -> bool {
        match &self.promoting {
            None => self.young.is_full(),
            Some(promoting) => {
                (self.young.is_full() && promoting.is_full()) || self.young.has_count_divisible_by(LONGEST_WAIT)
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.promoting.is_none() && self.young.len() == 0
    }

    /// Adds the credit of one attach.
    #[inline]
    fn add_credit(&mut self) {
        self.attaches = self.attaches.wrapping_add(1);
        if self.attaches % 2 == 0 {
            self.credit = (self.credit + PER_TWO_ATTACHES).min(MOST_CREDIT);
        }
    }

    /// Whether an attach has to visit another log.
    #[inline]
    fn is_due_for_visit(&self) -> bool {
        self.attaches % VISIT == 0
    }

    /// Whether there are hosts, and no attach since the last visit.
    fn is_idle(&mut self) -> bool {
        mem::replace(&mut self.visited, self.attaches) == self.attaches && self.young.len() > 0
    }

    /// Puts a new host into the ring. Returns a chunk to promote.
    #[inline]
    fn push(&mut self, entry: LogEntry, chunk: &mut Option<Box<Chunk>>) -> Option<Box<Chunk>> {
        // The same test as in `needs_chunk`.
        let is_partial = self.young.has_count_divisible_by(LONGEST_WAIT);
        match self.young.push(entry) {
            Some(oldest) => self.promote_oldest(oldest, chunk),
            None if is_partial => self.promoting.take(),
            None => None,
        }
    }

    #[cold]
    fn promote_oldest(&mut self, oldest: LogEntry, chunk: &mut Option<Box<Chunk>>) -> Option<Box<Chunk>> {
        self.credit = (self.credit + PER_PROMOTION).min(MOST_CREDIT);
        let is_full = self.promoting.as_ref().is_none_or(|promoting| promoting.is_full());
        let full = if is_full { mem::replace(&mut self.promoting, chunk.take()) } else { None };
        if let Some(promoting) = &mut self.promoting {
            promoting.push(oldest.into());
        }
        full
    }

    /// A dead host that is due, and the looks at old hosts. Fewer than [`LEAST_LOOKS`] are not worth the lock of a
    /// group.
    #[inline]
    fn find(&mut self) -> Search {
        let dead = self.young.next_dead();
        let looks = if self.credit < LEAST_LOOKS { 0 } else { self.credit.min(MOST_LOOKS) };
        self.credit -= looks;
        Search { dead, looks }
    }
}

/// Locks a log that no other thread holds. `own` is the index of the log in use.
#[inline]
fn own_log(own: &mut usize) -> Guard<'static, Hosts> {
    match ALL.logs[*own].0.try_lock() {
        Some(hosts) => hosts,
        None => other_log(own),
    }
}

#[cold]
fn other_log(own: &mut usize) -> Guard<'static, Hosts> {
    let others = (*own + 1..LOGS).chain(0..*own);
    for other in others {
        if let Some(hosts) = ALL.logs[other].0.try_lock() {
            *own = other;
            // Relaxed: the number publishes no memory; a visit that misses a log visits the log later.
            ALL.used.fetch_max(other + 1, Ordering::Relaxed);
            return hosts;
        }
    }
    ALL.logs[*own].0.lock()
}

/// One attach: puts the host into a log if it is new, adds credit, and searches for a dead host, if the caller may
/// destroy a host.
#[inline]
pub(super) fn attach(own: &mut usize, new: Option<LogEntry>, may_end: bool) -> Search {
    let mut hosts = own_log(own);
    // One for the log, and one for the group, so that no host is outside of both while the allocator runs.
    let (mut chunk, mut other) = (None, None);
    while new.is_some() && chunk.is_none() && hosts.needs_chunk() {
        drop(hosts);
        (chunk, other) = (Some(Chunk::empty()), Some(Chunk::empty()));
        hosts = own_log(own);
    }
    let full = new.and_then(|entry| hosts.push(entry, &mut chunk));
    hosts.add_credit();
    let is_due_for_visit = hosts.is_due_for_visit();
    let found = if may_end { hosts.find() } else { Search { dead: None, looks: 0 } };
    drop(hosts);
    if let Some(full) = full {
        promote(full, other, *own);
    }
    if is_due_for_visit {
        visit();
    }
    found
}

/// Visits one log after the other. The hosts of a log that had no attach between two visits are promoted: the threads
/// that used it may have ended, or use other logs.
#[cold]
fn visit() {
    // Relaxed: any log will do.
    let number = ALL.next_visit.fetch_add(1, Ordering::Relaxed) % ALL.used.load(Ordering::Relaxed).max(1);
    let log = &ALL.logs[number].0;
    let is_idle = log.try_lock().is_some_and(|mut hosts| hosts.is_idle());
    if is_idle {
        promote_all(log, group(number));
    }
}

/// Searches a log for a dead host.
pub(super) fn find(own: &mut usize) -> Search {
    own_log(own).find()
}

/// Moves a chunk of hosts to the old hosts.
#[cold]
fn promote(full: Box<Chunk>, mut empty: Option<Box<Chunk>>, log: usize) {
    let mut groups = (0..GROUPS).map(|offset| group(log + offset));
    let free = groups.find_map(|group| Some((group, group.hosts.try_lock()?)));
    let (group, hosts) = free.unwrap_or_else(|| {
        let group = group(log);
        (group, group.hosts.lock())
    });
    group.with(hosts, |hosts| {
        if hosts.needs_chunk() {
            empty.take().into_iter().for_each(|chunk| hosts.put_empty(chunk));
        }
        hosts.put(full);
    });
}

/// A group of old hosts.
#[inline]
pub(super) fn group(number: usize) -> &'static Group {
    &ALL.groups[number % ALL.groups.len()]
}

/// Saves the credit of unmade looks for later attaches, up to the number for two passes.
#[cold]
pub(super) fn save_credit(own: &mut usize, looks: usize) {
    let most = 2 * ALL.groups.iter().map(Group::len).sum::<usize>();
    let mut hosts = own_log(own);
    hosts.credit = hosts.credit.saturating_add(looks).min(most);
}

/// Moves all hosts of all logs and groups into the first group, as if the hosts were promoted now.
pub(super) fn gather() {
    for Log(log) in &ALL.logs {
        promote_all(log, &ALL.groups[0]);
    }
    for group in ALL.groups[1..].iter().filter(|group| group.len() > 0) {
        let empty = Chunk::empty();
        ALL.groups[0].put_all(group.wait_and(mem::take).into_stack(), Some(empty));
    }
}

/// Moves all hosts of a log into a group, as if they were promoted now. The allocator runs while the hosts are in the
/// log.
fn promote_all(log: &TryLock<Hosts>, group: &Group) {
    let mut empty = Empty::none();
    loop {
        let mut hosts = log.lock();
        if hosts.is_empty() {
            return;
        }
        // One more than the hosts need is for the group.
        let needed = hosts.young.len().div_ceil(CHUNK) + 1;
        if empty.len() >= needed {
            let mut taken = Stack::new();
            hosts.promoting.take().into_iter().for_each(|promoting| taken.push_chunk(promoting));
            hosts.young.drain().for_each(|entry| taken.push(entry.into(), &mut empty));
            drop(hosts);
            return group.put_all(taken, empty.take());
        }
        drop(hosts);
        (0..needed).for_each(|_| empty.put(Chunk::empty()));
    }
}
