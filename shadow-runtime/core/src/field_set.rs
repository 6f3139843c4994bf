//! What a declaration generates: a field set, and the fact that a host has it.
//!
//! In: the structs that the macros write. Out: two traits that the hosts and the accessors are generic over.
//!
//! The host's generics do not reach the set: it is generic over its value types alone, so that it is `'static`, which
//! its identity (`TypeId`) needs, while the host may borrow.
#![forbid(unsafe_code)]

use crate::cell::Cell;
use crate::host::Host;
use crate::registry::Field;

/// The hidden struct of one declaration: one cell per field.
///
/// `Send + Sync` is what lets [`ShadowFields`](crate::ShadowFields) be both; cells are, whatever their value type,
/// because nothing but a `Value` (`value.rs`) ever fills one.
pub trait FieldSet: Send + Sync {
    /// A set with nothing attached. Runs no code of the user.
    fn empty() -> Self
    where
        Self: Sized;

    /// What was declared, one per cell, in the order of [`each`](Self::each).
    fn fields() -> &'static [Field]
    where
        Self: Sized;

    /// Shows every cell.
    fn each(&self, visit: &mut dyn FnMut(&dyn Cell));

    /// Shows every cell, to end it.
    fn each_mut(&mut self, visit: &mut dyn FnMut(&mut dyn Cell));
}

/// `Self` has the fields of the declaration `D`, a hidden type that each declaration makes for itself.
pub trait Declares<D>: Host {
    /// The field set of that declaration, with this host's value types.
    type Set: FieldSet + 'static;
}
