//! What is right, as plain maps: which object has which fields, with which values, and what was counted.
//!
//! In: what was done. Out: what the library must have returned, which values are alive, and what the report says.
//!
//! One thing is the library's to choose: when the fields of an `Arc` that is gone are dropped. It may be in any
//! operation that attaches to an `Arc`, all fields of one host together, and in a sweep at the latest.

use std::collections::BTreeMap;

use super::hosts::Row;
use super::operation::{Kind, Policy};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// A value by its tag; where it stands, if it must stay there; and whether it panics when it is dropped.
    Value { tag: u32, address: Option<usize>, is_armed: bool },
    /// A copied value by its number.
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
    /// How many places have it.
    pub(crate) places: usize,
    /// The tag of the value that the object itself holds.
    pub(crate) own: Option<u32>,
    pub(crate) fields: Fields,
    /// Whether the library may know it even if it has no fields: the closure of an update has panicked.
    pub(crate) may_be_known: bool,
}

impl Object {
    pub(crate) fn is_shared(&self) -> bool {
        matches!(self.kind, Kind::Node | Kind::Named | Kind::Text)
    }
}

/// An `Arc` that is gone.
struct Dead {
    fields: Fields,
    /// Nothing shows whether it has been swept.
    may_be_swept: bool,
}

/// Attached, detached, updates, duplicates.
pub(crate) type Counts = [u64; 4];

pub(crate) struct Oracle {
    next: u32,
    pub(crate) objects: BTreeMap<ObjectId, Object>,
    dead: Vec<Dead>,
    /// By row.
    counts: [Counts; Row::COUNT],
    /// What initialisers run for now.
    pub(crate) claims: Vec<(ObjectId, Row)>,
    /// What closures of updates look at now.
    pub(crate) looks: Vec<(ObjectId, Row)>,
    /// Whether the operation at hand has attached to an `Arc`, and so may have swept.
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

    /// A field gets a value, the first or another.
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

    /// A field is exchanged by exclusive access, which is not counted.
    pub(crate) fn exchange(&mut self, id: ObjectId, row: Row, held: Held) {
        let previous = self.object(id).fields.insert(row, held);
        assert!(previous.is_some(), "there is something to exchange");
    }

    pub(crate) fn detach(&mut self, id: ObjectId, row: Row) -> Option<Held> {
        let held = self.object(id).fields.remove(&row)?;
        self.count(row)[1] += 1;
        Some(held)
    }

    /// Ends fields with their host.
    pub(crate) fn end(&mut self, fields: &Fields) {
        for row in fields.keys() {
            self.count(*row)[1] += 1;
        }
    }

    /// An `Arc` is gone; its fields stay until they are swept.
    pub(crate) fn bury(&mut self, object: Object) {
        if object.may_be_known || !object.fields.is_empty() {
            self.dead.push(Dead { may_be_swept: object.fields.is_empty(), fields: object.fields });
        }
    }

    /// The tags of the dead that panic when they are dropped.
    pub(crate) fn armed_dead(&self) -> Vec<u32> {
        let held = self.dead.iter().flat_map(|dead| dead.fields.values());
        held.filter(|held| held.is_armed()).map(|held| held.mark()).collect()
    }

    /// Ends all the dead, and returns the least and the most that a sweep can have found.
    pub(crate) fn sweep(&mut self) -> [usize; 2] {
        let dead = std::mem::take(&mut self.dead);
        for dead in &dead {
            self.end(&dead.fields);
        }
        [dead.iter().filter(|dead| !dead.may_be_swept).count(), dead.len()]
    }

    /// Takes notice of what a library that may have swept has swept, and checks that what is alive is what must be.
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

    /// The least and the most that the report may say was counted, by row.
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

/// Whether values of this policy stay where they are.
pub(crate) fn stays(policy: Policy) -> bool {
    matches!(policy, Policy::Once | Policy::Made)
}
