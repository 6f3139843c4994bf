//! One declared field: what it is called, and how often what was done with it.
//!
//! In: the declaration's words, and events. Out: the names for messages, the counts for the report.

use std::fmt;
use std::panic::Location;

use crate::policy::Policy;
use crate::sync::{AtomicU64, Ordering};

/// A declared field. The macros make one static of these per declaration.
#[derive(Debug)]
pub struct Field {
    host: &'static str,
    name: &'static str,
    value_type: &'static str,
    policy: Policy,
    declared_at: &'static Location<'static>,
    counts: Counts,
}

/// How often what was done with a field, on all hosts together.
///
/// All operations are `Relaxed`: each count is read alone and for show; nothing is concluded from one about memory.
#[derive(Debug)]
pub(crate) struct Counts {
    attached: AtomicU64,
    detached: AtomicU64,
    updates: AtomicU64,
    duplicates: AtomicU64,
}

impl Field {
    /// Declares a field where this is called, in the words of its declaration.
    #[must_use]
    #[track_caller]
    pub const fn new(host: &'static str, name: &'static str, value_type: &'static str, policy: Policy) -> Self {
        Self::declared_at(Location::caller(), host, name, value_type, policy)
    }

    pub(crate) const fn declared_at(
        declared_at: &'static Location<'static>,
        host: &'static str,
        name: &'static str,
        value_type: &'static str,
        policy: Policy,
    ) -> Self {
        Self { host, name, value_type, policy, declared_at, counts: Counts::new() }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn host(&self) -> &'static str {
        self.host
    }

    pub(crate) const fn value_type(&self) -> &'static str {
        self.value_type
    }

    pub(crate) const fn policy(&self) -> Policy {
        self.policy
    }

    pub(crate) const fn place(&self) -> &'static Location<'static> {
        self.declared_at
    }

    pub(crate) const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Counts an attach; the first one enters the field into the registry.
    #[inline]
    pub(crate) fn attached(&'static self) {
        if self.counts.attached.fetch_add(1, Ordering::Relaxed) == 0 {
            super::enter(self);
        }
    }
}

/// What messages call it.
impl fmt::Display for Field {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "shadow field `{}` of `{}`", self.name, self.host)
    }
}

impl Counts {
    const fn new() -> Self {
        Self {
            attached: AtomicU64::new(0),
            detached: AtomicU64::new(0),
            updates: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
        }
    }

    #[inline]
    pub(crate) fn detached(&self) {
        self.detached.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    pub(crate) fn updated(&self) {
        self.updates.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn duplicate(&self) {
        self.duplicates.fetch_add(1, Ordering::Relaxed);
    }

    /// Attached, detached, updates, duplicates. Detached is read first, so that it is never the greater.
    pub(super) fn read(&self) -> [u64; 4] {
        let detached = self.detached.load(Ordering::Relaxed);
        let attached = self.attached.load(Ordering::Relaxed).max(detached);
        [attached, detached, self.updates.load(Ordering::Relaxed), self.duplicates.load(Ordering::Relaxed)]
    }
}
