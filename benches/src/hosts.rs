//! The hosts of the benchmarks.
//!
//! In: the number of hosts and their memory layout. Out: the hosts, in the order of construction. Next to each host
//! type that embeds fields stands its handwritten alternative of the same size.

use std::sync::{Arc, OnceLock};

use shadow_runtime::{Shadow, ShadowFields, shadow};

use crate::order::{Xorshift, shuffle};

/// The object of an `Arc` host: a foreign type without knowledge of fields.
#[derive(Debug)]
pub struct Object {
    /// A unique number.
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

/// The memory layout of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Consecutive, as in a program without other allocations.
    Strided,
    /// With gaps of random size between hosts.
    Random,
}

/// Hosts, in the order of construction.
#[derive(Debug)]
pub struct Hosts {
    /// The hosts.
    pub all: Vec<Arc<Object>>,
    /// The blocks in the gaps, kept allocated so that no other allocation fills the gaps.
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

/// A host that embeds one `attach` field.
#[derive(Debug, Default, Shadow)]
#[shadow_field(pub attach word: u64)]
pub struct Task {
    /// A unique number.
    pub id: u64,
    shadow: ShadowFields,
}

/// A host that embeds one `get_or_attach` field.
#[derive(Debug, Default, Shadow)]
#[shadow_field(pub get_or_attach count: u64 = self.id)]
pub struct Counter {
    /// A unique number.
    pub id: u64,
    shadow: ShadowFields,
}

/// The same struct without `ShadowFields`.
#[derive(Debug)]
pub struct Bare {
    /// A unique number.
    pub id: u64,
}

/// The same struct with a plain field.
#[derive(Debug)]
pub struct Plain {
    /// A unique number.
    pub id: u64,
    /// The field.
    pub word: u64,
}

/// The handwritten alternative: a box of fields, allocated on first use.
#[derive(Debug, Default)]
pub struct ByHand {
    /// A unique number.
    pub id: u64,
    ext: OnceLock<Box<Ext>>,
}

#[derive(Debug)]
struct Ext {
    word: u64,
}

/// The constructor of all embedding hosts.
pub trait Make {
    /// A host with an `id` and without attached fields.
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
    /// The counterpart of an `attach` field's read: the value, if attached.
    #[inline]
    #[must_use]
    pub fn word(&self) -> Option<&u64> {
        self.ext.get().map(|ext| &ext.word)
    }

    /// The counterpart of an `attach` field's attach.
    ///
    /// # Errors
    ///
    /// If a value is attached already.
    #[inline]
    pub fn attach_word(&self, word: u64) -> Result<(), u64> {
        self.ext.set(Box::new(Ext { word })).map_err(|ext| ext.word)
    }

    /// The counterpart of a `get_or_attach` field's read: the value, made on a miss.
    #[inline]
    pub fn count(&self) -> &u64 {
        &self.ext.get_or_init(|| Box::new(Ext { word: self.id })).word
    }
}

/// Makes `count` boxed hosts, then calls `attach` for each in the same order, and then shuffles the hosts.
pub fn boxed<H: Make>(count: usize, attach: impl Fn(&H)) -> Vec<Box<H>> {
    let mut hosts: Vec<Box<H>> = (0..count as u64).map(|id| Box::new(H::make(id))).collect();
    for host in &hosts {
        attach(host);
    }
    shuffle(&mut hosts, 0xB0C5);
    hosts
}
