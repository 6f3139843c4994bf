//! Counts of `Arc` hosts that are dead and still have their fields: for rule R7.
//!
//! In: hosts, by [`Held`], and values, by [`Body`]. Out: how many hosts were dead at a time, and how many bytes that
//! took.
//!
//! A host is dead from [`Tally::let_go`] until its `Body` is dropped. Of a list whose hosts hold one another through
//! fields, all are let go at once, with the first. One counter is both added to and subtracted from, so it is exact
//! beside any number of threads, and it rises in `let_go` only, so no maximum is missed.

use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use shadow_runtime::registry;

use super::memory::bytes_of_all_threads;

/// Keeps other tests of the binary out, since the table of `Arc` hosts is one for the process; and begins with no dead
/// host.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    registry().sweep();
    guard
}

/// How many bytes a host with a `Body` may take beside what the body has, all in all. More than any does.
pub(crate) const OVERHEAD: isize = 256;

/// What the library may keep for ever: arrays of the table and of the sweep, of which some have grown in advance.
const KEPT: isize = 4 << 20;

/// The counts of one test.
#[derive(Clone)]
pub(crate) struct Tally {
    counts: Arc<Counts>,
}

struct Counts {
    dead: AtomicIsize,
    most_dead: AtomicIsize,
    live: AtomicIsize,
    most_live: AtomicIsize,
    bytes_before: isize,
    most_bytes: AtomicIsize,
}

/// A value of some bytes. One belongs to each host that is counted.
pub(crate) struct Body {
    tally: Tally,
    _bytes: Vec<u8>,
}

/// One `Arc` of a host, the last one, which counts the host as dead when it goes.
pub(crate) struct Held<T: ?Sized> {
    pub(crate) host: Arc<T>,
    tally: Tally,
}

impl Tally {
    pub(crate) fn new() -> Self {
        let zero = || AtomicIsize::new(0);
        let bytes_before = bytes_of_all_threads();
        let (dead, most_dead, live, most_live) = (zero(), zero(), zero(), zero());
        Self { counts: Arc::new(Counts { dead, most_dead, live, most_live, bytes_before, most_bytes: zero() }) }
    }

    /// A value of so many bytes, which are not written: untouched pages are only counted.
    pub(crate) fn body(&self, bytes: usize) -> Body {
        Body { tally: self.clone(), _bytes: Vec::with_capacity(bytes) }
    }

    /// Counts so many hosts as alive.
    pub(crate) fn take_on(&self, hosts: isize) {
        let live = self.counts.live.fetch_add(hosts, Ordering::SeqCst) + hosts;
        self.counts.most_live.fetch_max(live, Ordering::SeqCst);
    }

    /// Counts so many hosts that were alive as dead.
    pub(crate) fn let_go(&self, hosts: isize) {
        let bytes = bytes_of_all_threads() - self.counts.bytes_before;
        self.counts.most_bytes.fetch_max(bytes, Ordering::SeqCst);
        self.counts.live.fetch_sub(hosts, Ordering::SeqCst);
        let dead = self.counts.dead.fetch_add(hosts, Ordering::SeqCst) + hosts;
        self.counts.most_dead.fetch_max(dead, Ordering::SeqCst);
    }

    /// A host that is alive as long as this is held.
    pub(crate) fn hold<T: ?Sized>(&self, host: Arc<T>) -> Held<T> {
        self.take_on(1);
        self.held(host)
    }

    /// The same for one that is counted already.
    pub(crate) fn held<T: ?Sized>(&self, host: Arc<T>) -> Held<T> {
        Held { host, tally: self.clone() }
    }

    pub(crate) fn dead(&self) -> isize {
        self.counts.dead.load(Ordering::SeqCst)
    }

    pub(crate) fn live(&self) -> isize {
        self.counts.live.load(Ordering::SeqCst)
    }

    pub(crate) fn most_dead(&self) -> isize {
        self.counts.most_dead.load(Ordering::SeqCst)
    }

    pub(crate) fn most_live(&self) -> isize {
        self.counts.most_live.load(Ordering::SeqCst)
    }

    /// The most bytes that were allocated at a time, more than at the beginning.
    pub(crate) fn most_bytes(&self) -> isize {
        self.counts.most_bytes.load(Ordering::SeqCst)
    }

    /// Forgets what was most so far: a crowd has been set up.
    pub(crate) fn begin(&self) {
        self.counts.most_dead.store(self.dead(), Ordering::SeqCst);
        self.counts.most_live.store(self.live(), Ordering::SeqCst);
        self.counts.most_bytes.store(0, Ordering::SeqCst);
    }

    /// Fails unless the dead were at most as many as the live ones and 1,000 for each of so many threads, and the bytes
    /// no more than so many hosts take, with bodies of so many bytes.
    pub(crate) fn assert_bounded(&self, what: &str, threads: isize, body: isize) {
        let (dead, live) = (self.most_dead(), self.most_live());
        let bytes = self.most_bytes();
        println!("{what}: {dead} dead beside {live}, {} kB", bytes / 1000);
        assert!(dead <= live + 1000 * threads, "{what}: {dead} hosts were dead, beside {live}");
        let bound = (2 * live + 1000 * threads) * (body + OVERHEAD) + KEPT;
        assert!(bytes <= bound, "{what}: {bytes} bytes, of at most {bound}");
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.tally.counts.dead.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<T: ?Sized> Drop for Held<T> {
    fn drop(&mut self) {
        self.tally.let_go(1);
    }
}

/// Numbers that look random, and are the same in each run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}
