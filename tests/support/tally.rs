//! Counts dead `Arc` hosts that still have their fields, for rule R7.
//!
//! In: hosts, as [`Held`], and values, as [`Body`]. Out: the greatest number of dead hosts at one time, and the
//! greatest number of allocated bytes.
//!
//! A host is dead from [`Tally::let_go`] until the drop of its `Body`. If the hosts of a list own one another through
//! fields, the drop of the first host counts all of them as dead. One atomic counter holds the number of dead hosts, so
//! the number is exact with any number of threads. The counter rises in `let_go` only, so `let_go` sees every maximum.

use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};

use crate::memory::bytes_of_all_threads;

/// The most bytes that a host with a `Body` may take in addition to the body: a generous bound.
pub const OVERHEAD: isize = 256;

/// The most bytes that the library may keep for ever: arrays of the table and of the sweep, some of which have grown in
/// advance.
const KEPT: isize = 4 << 20;

/// The counts of one test.
#[derive(Clone)]
pub struct Tally {
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

/// A value of a given size. Each counted host has one.
pub struct Body {
    tally: Tally,
    _bytes: Vec<u8>,
}

/// The last `Arc` of a host. The drop counts the host as dead.
pub struct Held<T: ?Sized> {
    pub host: Arc<T>,
    tally: Tally,
}

impl Tally {
    pub fn new() -> Self {
        let zero = || AtomicIsize::new(0);
        let bytes_before = bytes_of_all_threads();
        let (dead, most_dead, live, most_live) = (zero(), zero(), zero(), zero());
        Self { counts: Arc::new(Counts { dead, most_dead, live, most_live, bytes_before, most_bytes: zero() }) }
    }

    /// Makes a value of `bytes` bytes, and does not write to the memory: an untouched page costs no physical memory.
    pub fn body(&self, bytes: usize) -> Body {
        Body { tally: self.clone(), _bytes: Vec::with_capacity(bytes) }
    }

    /// Counts `hosts` further hosts as alive.
    pub fn take_on(&self, hosts: isize) {
        let live = self.counts.live.fetch_add(hosts, Ordering::SeqCst) + hosts;
        self.counts.most_live.fetch_max(live, Ordering::SeqCst);
    }

    /// Counts `hosts` live hosts as dead.
    pub fn let_go(&self, hosts: isize) {
        let bytes = bytes_of_all_threads() - self.counts.bytes_before;
        self.counts.most_bytes.fetch_max(bytes, Ordering::SeqCst);
        self.counts.live.fetch_sub(hosts, Ordering::SeqCst);
        let dead = self.counts.dead.fetch_add(hosts, Ordering::SeqCst) + hosts;
        self.counts.most_dead.fetch_max(dead, Ordering::SeqCst);
    }

    /// Counts a host as alive until the drop of the result.
    pub fn hold<T: ?Sized>(&self, host: Arc<T>) -> Held<T> {
        self.take_on(1);
        self.held(host)
    }

    /// As [`hold`](Self::hold), for a host that is counted already.
    pub fn held<T: ?Sized>(&self, host: Arc<T>) -> Held<T> {
        Held { host, tally: self.clone() }
    }

    pub fn dead(&self) -> isize {
        self.counts.dead.load(Ordering::SeqCst)
    }

    pub fn live(&self) -> isize {
        self.counts.live.load(Ordering::SeqCst)
    }

    pub fn most_dead(&self) -> isize {
        self.counts.most_dead.load(Ordering::SeqCst)
    }

    pub fn most_live(&self) -> isize {
        self.counts.most_live.load(Ordering::SeqCst)
    }

    /// The greatest number of bytes allocated at one time, above the number at the start.
    pub fn most_bytes(&self) -> isize {
        self.counts.most_bytes.load(Ordering::SeqCst)
    }

    /// Resets the maxima, after a test has made its initial hosts.
    pub fn begin(&self) {
        self.counts.most_dead.store(self.dead(), Ordering::SeqCst);
        self.counts.most_live.store(self.live(), Ordering::SeqCst);
        self.counts.most_bytes.store(0, Ordering::SeqCst);
    }

    /// Panics if more hosts were dead than were alive plus 1,000 for each thread, or if the bytes exceed the bound for
    /// so many hosts with bodies of `body` bytes.
    pub fn assert_bounded(&self, what: &str, threads: isize, body: isize) {
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
