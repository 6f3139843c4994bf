//! Hosts: the objects that values are kept beside.
//!
//! In: how many, and how they lie in memory. Out: the hosts, in the order in which they were made. Host types that
//! embed their fields stand next to what a user would write instead, in the same size.

use std::sync::{Arc, OnceLock};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use crate::order::{Xorshift, shuffle};

/// What is behind the `Arc`s: somebody else's object, which knows nothing of fields.
#[derive(Debug)]
pub struct Object {
    /// Tells it from the others.
    pub id: u64,
    _rest: [u64; 3],
}

impl Object {
    /// An object with an `id`.
    #[inline]
    #[must_use]
    pub const fn new(id: u64) -> Self {
        Self { id, _rest: [0; 3] }
    }
}

shadow! {
    /// One `attach` field.
    pub trait Word for Arc<Object> {
        attach word: u64;
    }
}

shadow! {
    /// One `get_or_attach` field.
    pub trait Count for Arc<Object> {
        get_or_attach count: u64 = self.id;
    }
}

/// How hosts lie in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One after the other, as from a program that allocates nothing else meanwhile.
    Strided,
    /// With gaps of random size between them.
    Random,
}

/// Hosts, in the order in which they were made.
#[derive(Debug)]
pub struct Hosts {
    /// The hosts.
    pub all: Vec<Arc<Object>>,
    /// What lies in the gaps. It stays, so that nothing else moves in.
    _gaps: Vec<Box<[u64]>>,
}

impl Hosts {
    /// Makes `count` hosts, with ids from 0.
    #[must_use]
    pub fn make(count: usize, layout: Layout) -> Self {
        let mut random = Xorshift::new(0x5EED);
        let mut all = Vec::with_capacity(count);
        let mut gaps = Vec::new();
        for id in 0..count as u64 {
            all.push(Arc::new(Object::new(id)));
            if layout == Layout::Random {
                gaps.push(vec![0; 2 * random.below(9)].into_boxed_slice());
            }
        }
        Self { all, _gaps: gaps }
    }

    /// The same hosts in random order.
    #[must_use]
    pub fn shuffled(&self, seed: u64) -> Vec<Arc<Object>> {
        let mut order = self.all.clone();
        shuffle(&mut order, seed);
        order
    }
}

/// A host that embeds its fields, one of them, with the policy `attach`.
#[derive(Debug, Default, Shadow)]
#[shadow_field(pub attach word: u64)]
pub struct Task {
    /// Tells it from the others.
    pub id: u64,
    shadow: ShadowFields,
}

/// A host that embeds its fields, one of them, with the policy `get_or_attach`.
#[derive(Debug, Default, Shadow)]
#[shadow_field(pub get_or_attach count: u64 = self.id)]
pub struct Counter {
    /// Tells it from the others.
    pub id: u64,
    shadow: ShadowFields,
}

/// The same struct without `ShadowFields`.
#[derive(Debug)]
pub struct Bare {
    /// Tells it from the others.
    pub id: u64,
}

/// The same struct with a plain field instead.
#[derive(Debug)]
pub struct Plain {
    /// Tells it from the others.
    pub id: u64,
    /// The field.
    pub word: u64,
}

/// What a user would write instead: room for fields that are made when they are first needed.
#[derive(Debug, Default)]
pub struct ByHand {
    /// Tells it from the others.
    pub id: u64,
    ext: OnceLock<Box<Ext>>,
}

#[derive(Debug)]
struct Ext {
    word: u64,
}

/// What all embedding hosts can do for the loops that make them.
pub trait Make {
    /// A host with an `id`, and nothing attached.
    fn make(id: u64) -> Self;
}

impl Make for Task {
    #[inline]
    fn make(id: u64) -> Self {
        Self { id, shadow: ShadowFields::new() }
    }
}

impl Make for Counter {
    #[inline]
    fn make(id: u64) -> Self {
        Self { id, shadow: ShadowFields::new() }
    }
}

impl Make for Bare {
    #[inline]
    fn make(id: u64) -> Self {
        Self { id }
    }
}

impl Make for Plain {
    #[inline]
    fn make(id: u64) -> Self {
        Self { id, word: id }
    }
}

impl Make for ByHand {
    #[inline]
    fn make(id: u64) -> Self {
        Self { id, ext: OnceLock::new() }
    }
}

impl ByHand {
    /// What `attach` gives: the value, if it is there.
    #[inline]
    #[must_use]
    pub fn word(&self) -> Option<&u64> {
        self.ext.get().map(|ext| &ext.word)
    }

    /// What `attach` gives: once.
    ///
    /// # Errors
    ///
    /// If it is there already.
    #[inline]
    pub fn attach_word(&self, word: u64) -> Result<(), u64> {
        self.ext.set(Box::new(Ext { word })).map_err(|ext| ext.word)
    }

    /// What `get_or_attach` gives: the value, made if it is not there.
    #[inline]
    pub fn count(&self) -> &u64 {
        &self.ext.get_or_init(|| Box::new(Ext { word: self.id })).word
    }
}

/// `count` hosts, each in a box of its own, all made before `attach` is called for each, in the same order; then
/// shuffled.
pub fn boxed<H: Make>(count: usize, attach: impl Fn(&H)) -> Vec<Box<H>> {
    let mut hosts: Vec<Box<H>> = (0..count as u64).map(|id| Box::new(H::make(id))).collect();
    for host in &hosts {
        attach(host);
    }
    shuffle(&mut hosts, 0xB0C5);
    hosts
}
