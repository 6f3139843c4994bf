//! The identity of a host, by which locks of initialisers and closures recognise one host.
//!
//! In: an address, and the type of the host where one address can be several hosts. Out: a value for comparison.
//! Neighbours: `host/`, whose hosts have identities; `init_lock/mod.rs` and `closures.rs`, which compare identities.
#![forbid(unsafe_code)]

use std::any::TypeId;

/// The identity of a host: the address, and the type where hosts of several types may have the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub(crate) address: usize,
    pub(crate) type_id: Option<TypeId>,
}
