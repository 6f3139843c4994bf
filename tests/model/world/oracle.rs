//! The oracle: plain maps from objects to fields, values and counts.
//!
//! In: executed operations. Out: the library's expected results, the expected live values and the expected report.
//!
//! The library may choose when to drop the fields of a dead `Arc` host. Any operation that attaches to an `Arc` may
//! drop the whole set of a dead host's fields; a sweep drops the rest.

use std::collections::BTreeMap;

use super::hosts::Row;
use super::operation::{Kind, Policy};

/// The content of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A value: its tag, its address if the value must not move, and whether its drop panics.
    Value { tag: u32, address: Option<usize>, is_armed: bool },
    /// A copied value, by number.
    Small(u32),
}

impl Held {
    fn tag(self) -> Option<u32> {
        match self {
            Self::Value { tag, .. } => Some(tag),
            Self::Small(_) => None,
        }
    }

    pub(crate) fn is_armed(self) -> bool {
        matches!(self, Self::Value { is_armed: true, .. })
    }

    /// The tag or the number.
    pub(crate) fn mark(self) -> u32 {
        match self {
            Self::Value { tag, .. } => tag,
            Self::Small(number) => number,
        }
    }
}

pub(crate) type Fields = BTreeMap<Row, Held>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectId(u32);

pub(crate) struct Object {
    pub(crate) kind: Kind,
    /// The number of places that refer to this object.
    pub(crate) places: usize,
    /// The tag of the value that the object itself holds.
    pub(crate) own: Option<u32>,
    pub(crate) fields: Fields,
    /// Whether the side table may have an entry for an object without fields: the closure of an update has panicked or
    /// refused, or the fields were taken or detached.
    pub(crate) may_be_known: bool,
}

impl Object {
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Node | Kind::Named | Kind::Text)
    }
}

/// A dead `Arc` host.
struct Dead {
    fields: Fields,
    /// Whether a sweep may have ended this host unobserved: the host has no values that could show the sweep.
    may_be_swept: bool,
}

/// Attached, detached, updates, refused attaches.
pub(crate) type Counts = [u64; 4];

pub(crate) struct Oracle {
    next: u32,
    pub(crate) objects: BTreeMap<ObjectId, Object>,
    dead: Vec<Dead>,
    /// By row.
    counts: [Counts; Row::COUNT],
    /// The fields whose initialisers are running.
    pub(crate) claims: Vec<(ObjectId, Row)>,
    /// The fields that closures of updates are reading.
    pub(crate) looks: Vec<(ObjectId, Row)>,
    /// Whether the current operation has attached to an `Arc`, and so may have swept.
    pub(crate) may_have_swept: bool,
}

impl Oracle {
    pub(crate) fn new() -> Self {
        Self {
            next: 0,
            objects: BTreeMap::new(),
            dead: Vec::new(),
            counts: [[0; 4]; Row::COUNT],
            claims: Vec::new(),
            looks: Vec::new(),
            may_have_swept: false,
        }
    }

    pub(crate) fn add(&mut self, kind: Kind, own: Option<u32>) -> ObjectId {
        let id = ObjectId(self.next);
        self.next += 1;
        let object = Object { kind, places: 1, own, fields: Fields::new(), may_be_known: false };
        self.objects.insert(id, object);
        id
    }

    pub(crate) fn object(&mut self, id: ObjectId) -> &mut Object {
        self.objects.get_mut(&id).expect("it is in a place")
    }

    pub(crate) fn held(&self, id: ObjectId, row: Row) -> Option<Held> {
        self.objects[&id].fields.get(&row).copied()
    }

    pub(crate) fn count(&mut self, row: Row) -> &mut Counts {
        &mut self.counts[row.index()]
    }

    /// Records a first or a later value of a field.
    pub(crate) fn put(&mut self, id: ObjectId, row: Row, held: Held) {
        let object = self.object(id);
        let is_shared = object.is_shared();
        let previous = object.fields.insert(row, held);
        if previous.is_some() {
            self.count(row)[2] += 1;
        } else {
            self.count(row)[0] += 1;
            self.may_have_swept |= is_shared;
        }
    }

    /// Records an exchange through a mutable borrow, which the registry does not count.
    pub(crate) fn exchange(&mut self, id: ObjectId, row: Row, held: Held) {
        let previous = self.object(id).fields.insert(row, held);
        assert!(previous.is_some(), "there is something to exchange");
    }

    pub(crate) fn detach(&mut self, id: ObjectId, row: Row) -> Option<Held> {
        let held = self.object(id).fields.remove(&row)?;
        self.count(row)[1] += 1;
        Some(held)
    }

    /// Counts the detach of each field of a host that ends.
    pub(crate) fn end(&mut self, fields: &Fields) {
        for row in fields.keys() {
            self.count(*row)[1] += 1;
        }
    }

    /// Records the death of an `Arc` host, whose fields stay until a sweep.
    pub(crate) fn bury(&mut self, object: Object) {
        if object.may_be_known || !object.fields.is_empty() {
            self.dead.push(Dead { may_be_swept: object.fields.is_empty(), fields: object.fields });
        }
    }

    /// The tags of the dead hosts' values that panic when dropped.
    pub(crate) fn armed_dead(&self) -> Vec<u32> {
        let held = self.dead.iter().flat_map(|dead| dead.fields.values());
        held.filter(|held| held.is_armed()).map(|held| held.mark()).collect()
    }

    /// Ends all dead hosts. Returns the least and the greatest number of hosts that a sweep may count.
    pub(crate) fn sweep(&mut self) -> [usize; 2] {
        let dead = std::mem::take(&mut self.dead);
        for dead in &dead {
            self.end(&dead.fields);
        }
        [dead.iter().filter(|dead| !dead.may_be_swept).count(), dead.len()]
    }

    /// Records the dead hosts that the library has swept, and compares the live values with the expected live values.
    pub(crate) fn settle(&mut self, alive: &[u32]) {
        if std::mem::take(&mut self.may_have_swept) {
            for mut dead in std::mem::take(&mut self.dead) {
                let mut tags = dead.fields.values().filter_map(|held| held.tag()).peekable();
                if tags.peek().is_none() {
                    dead.may_be_swept = true;
                    self.dead.push(dead);
                } else if tags.any(|tag| alive.binary_search(&tag).is_ok()) {
                    self.dead.push(dead);
                } else {
                    self.end(&dead.fields);
                }
            }
        }
        let objects = self.objects.values().flat_map(|object| object.own.into_iter().chain(tags(&object.fields)));
        let dead = self.dead.iter().flat_map(|dead| tags(&dead.fields));
        let mut right: Vec<u32> = objects.chain(dead).collect();
        right.sort_unstable();
        assert!(right == alive, "{alive:?} are alive, but should be {right:?}");
    }

    /// The least and the greatest counts in a correct report, by row.
    pub(crate) fn bounds(&self) -> [[Counts; Row::COUNT]; 2] {
        let mut most = self.counts;
        for dead in self.dead.iter().filter(|dead| dead.may_be_swept) {
            for row in dead.fields.keys() {
                most[row.index()][1] += 1;
            }
        }
        [self.counts, most]
    }
}

fn tags(fields: &Fields) -> impl Iterator<Item = u32> {
    fields.values().filter_map(|held| held.tag())
}

/// Whether values of this policy keep their address.
pub(crate) fn stays(policy: Policy) -> bool {
    matches!(policy, Policy::Once | Policy::Made)
}
