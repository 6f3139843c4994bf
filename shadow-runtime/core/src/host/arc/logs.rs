//! The logs of a process: which one a thread uses, and how hosts get from one to the other.
//!
//! In: new hosts. Out: dead ones, one at a time, each the caller's to end (G1 of `log/mod.rs`). Neighbours: `log/`, the
//! structure of one log; `sweep.rs`, which decides when to look, and ends what is found.
//!
//! # Who uses which log
//!
//! A thread uses the log that it used last, the first one to begin with. If another thread has the lock of that log, it goes
//! on to the next. So threads that attach at the same time come to have logs of their own, threads that follow one another
//! share the first, and nothing has to be done when a thread ends. Old hosts are in a few groups, which logs share; a
//! thread looks at one group after the other, a pass in each, so all old hosts are looked at equally often, whichever
//! thread had attached to them.
//!
//! # Locks
//!
//! A lock of a log and one of a group are never held together, and neither is held while user code or the allocator runs.
//! Attaches only try them: in the child of a `fork` a lock may be held for ever, by a thread that only the parent has.

use std::mem;

use crate::host::arc::log::{CHUNK, Chunk, Dead, Empty, Entry, Old, PER_OLD, PER_PAIR, Stack, Young};
use crate::host::arc::try_lock::{Guard, TryLock};
use crate::sync::{AtomicUsize, Ordering, array_of, const_fn, shared};

/// How many logs there are. One under a model checker.
const LOGS: usize = if cfg!(loom) { 1 } else { 64 };

/// How many groups of old hosts there are.
pub(super) const GROUPS: usize = if cfg!(loom) { 1 } else { 8 };

/// After so many hosts, those that have left the ring become old although their chunk is not full. A power of two.
const LONGEST_WAIT: usize = 4096;

/// How many looks at old hosts are made at a time, and at most in one attach.
const LEAST_LOOKS: usize = 48;
const MOST_LOOKS: usize = 64;

shared! {
    static ALL: All = All { logs: array_of!(LOGS, Log::new()), groups: array_of!(GROUPS, Group::new()) };
}

struct All {
    logs: [Log; LOGS],
    groups: [Group; GROUPS],
}

/// A log, in cache lines of its own.
#[repr(align(128))]
struct Log(TryLock<Hosts>);

/// The hosts of a log that are not old yet.
struct Hosts {
    young: Young,
    /// Those that have left the ring, until the chunk is full.
    leaving: Option<Box<Chunk>>,
    /// How many looks at old hosts are paid for, and not made yet.
    looks: usize,
}

/// Old hosts of some logs, in cache lines of their own.
#[repr(align(128))]
pub(super) struct Group {
    /// About how many there are. Relaxed: it decides no more than how many looks are made.
    len: AtomicUsize,
    hosts: TryLock<Old>,
}

/// What an attach finds in a log.
pub(super) struct Found {
    pub(super) dead: Option<Dead>,
    /// How many looks at old hosts are due.
    pub(super) looks: usize,
}

impl Log {
    const_fn! {
        const fn new() -> Self {
            Self(TryLock::new(Hosts { young: Young::new(), leaving: None, looks: 0 }))
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

    /// Runs `work` with the old hosts, and frees the chunks that it has emptied once the lock is released.
    fn with<R>(&self, mut hosts: Guard<'_, Old>, work: impl FnOnce(&mut Old) -> R) -> R {
        let result = work(&mut hosts);
        self.len.store(hosts.len(), Ordering::Relaxed);
        let surplus = hosts.take_surplus();
        drop(hosts);
        drop(surplus);
        result
    }

    /// As [`with`](Self::with), once the lock is free.
    pub(super) fn wait_and<R>(&self, work: impl FnOnce(&mut Old) -> R) -> R {
        self.with(self.hosts.lock(), work)
    }

    /// As [`with`](Self::with), if the lock is free and there are hosts.
    #[inline]
    pub(super) fn try_with<R>(&self, work: impl FnOnce(&mut Old) -> R) -> Option<R> {
        let hosts = if self.len() > 0 { self.hosts.try_lock()? } else { return None };
        Some(self.with(hosts, work))
    }
}

impl Hosts {
    /// Whether the next host pushes one out of the ring for which there is no room.
    #[inline]
    fn needs_chunk(&self) -> bool {
        self.young.is_full() && self.leaving.as_ref().is_none_or(|leaving| leaving.is_full())
    }

    /// Puts a new host into the ring. Returns a chunk of hosts that are old now.
    #[inline]
    fn push(&mut self, entry: Entry, chunk: &mut Option<Box<Chunk>>) -> Option<Box<Chunk>> {
        let oldest = self.young.push(entry);
        if self.young.has_come_round(2) {
            self.looks = self.looks.saturating_add(PER_PAIR);
        }
        match oldest {
            Some(oldest) => self.leave(oldest, chunk),
            None if self.young.has_come_round(LONGEST_WAIT) => self.leaving.take(),
            None => None,
        }
    }

    #[cold]
    fn leave(&mut self, oldest: Entry, chunk: &mut Option<Box<Chunk>>) -> Option<Box<Chunk>> {
        self.looks = self.looks.saturating_add(PER_OLD);
        let is_full = self.leaving.as_ref().is_none_or(|leaving| leaving.is_full());
        let full = if is_full { mem::replace(&mut self.leaving, chunk.take()) } else { None };
        if let Some(leaving) = &mut self.leaving {
            leaving.push(oldest.into());
        }
        full
    }

    /// A dead host that is due, and the looks that are paid for, if they are worth the way to the old hosts.
    #[inline]
    fn find(&mut self) -> Found {
        let dead = self.young.next_dead();
        let looks = if self.looks < LEAST_LOOKS { 0 } else { self.looks.min(MOST_LOOKS) };
        self.looks -= looks;
        Found { dead, looks }
    }
}

/// A log that no other thread uses just now. `own` is the number of the one that was used last.
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
            return hosts;
        }
    }
    ALL.logs[*own].0.lock()
}

/// Puts a host into a log, if there is a new one, and then looks for a dead one, if the caller may end it.
#[inline]
pub(super) fn note_and_find(own: &mut usize, new: Option<Entry>, may_end: bool) -> Found {
    let mut hosts = own_log(own);
    let mut chunk = None;
    while new.is_some() && chunk.is_none() && hosts.needs_chunk() {
        drop(hosts);
        chunk = Some(Chunk::empty());
        hosts = own_log(own);
    }
    let full = new.and_then(|entry| hosts.push(entry, &mut chunk));
    let found = if may_end { hosts.find() } else { Found { dead: None, looks: 0 } };
    drop(hosts);
    if let Some(full) = full {
        become_old(full, *own);
    }
    found
}

/// Hands a full chunk over to the old hosts.
#[cold]
fn become_old(full: Box<Chunk>, log: usize) {
    let mut chunk = None;
    loop {
        let groups = (0..GROUPS).map(|offset| &ALL.groups[(log + offset) % GROUPS]);
        let free = groups.clone().find_map(|group| Some((group, group.hosts.try_lock()?)));
        let (group, hosts) = free.unwrap_or_else(|| {
            let group = &ALL.groups[log % GROUPS];
            (group, group.hosts.lock())
        });
        if chunk.is_none() && hosts.needs_chunk() {
            drop(hosts);
            chunk = Some(Chunk::empty());
            continue;
        }
        return group.with(hosts, |hosts| {
            chunk.take().into_iter().for_each(|chunk| hosts.put_empty(chunk));
            hosts.put(full);
        });
    }
}

/// A group of old hosts.
#[inline]
pub(super) fn group(number: usize) -> &'static Group {
    &ALL.groups[number % GROUPS]
}

/// Looks that were not made are made by later attaches. More than two passes need are of no use.
#[cold]
pub(super) fn give_back(own: &mut usize, looks: usize) {
    let most = 2 * ALL.groups.iter().map(Group::len).sum::<usize>();
    let mut hosts = own_log(own);
    hosts.looks = hosts.looks.saturating_add(looks).min(most);
}

/// Moves all hosts of all logs and groups into the first group, as if they became old now.
pub(super) fn gather() {
    let mut all = Stack::new();
    for Log(log) in &ALL.logs {
        all.put_on(take_young(log));
    }
    for group in ALL.groups[1..].iter().filter(|group| group.len() > 0) {
        all.put_on(group.wait_and(mem::take).into_stack());
    }
    let mut chunk = Some(Chunk::empty());
    ALL.groups[0].wait_and(|hosts| {
        hosts.put_all(all);
        if hosts.needs_chunk() {
            chunk.take().into_iter().for_each(|chunk| hosts.put_empty(chunk));
        }
    });
}

/// Takes all hosts out of a log, the newest on top.
fn take_young(log: &TryLock<Hosts>) -> Stack {
    let mut empty = Empty::none();
    loop {
        let mut hosts = log.lock();
        let needed = hosts.young.len().div_ceil(CHUNK);
        if empty.len() >= needed {
            let mut taken = Stack::new();
            hosts.leaving.take().into_iter().for_each(|leaving| taken.push_chunk(leaving));
            hosts.young.drain().for_each(|entry| taken.push(entry.into(), &mut empty));
            return taken;
        }
        drop(hosts);
        (0..needed).for_each(|_| empty.put(Chunk::empty()));
    }
}
