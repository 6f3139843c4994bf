//! What the generated accessors call: one function for each, generic over the host.
//!
//! In: a host, and the declaration `D` and index `I` of one of its fields. Out: what the field's policy promises. One
//! file per policy, each with the trait by which a declaration says "field `I` of `D` has this policy and this value
//! type": `type Value = ...` there is the one place where a value's bounds are asked for, so that a value that lacks
//! one is reported once. (They do not follow from [`Declares`], so that a type that is no host is reported once, too.)
//!
//! All of them go the same way: host → field set → cell → value. Field 0 has a shorter one. If it was attached before
//! any other field of its host, its value was put into the field set before that was published, and the node has the
//! mark (N4 of `fields/head.rs`), of which [`Found`](crate::fields::Found) tells: then the cell's state is not read.
//! Where this is asked for, it is by `const { I == 0 }`, so that the compiler makes no code of it for other fields:
//! most of what a field costs to build would be that.

pub mod attach;
pub mod get_or_attach;
pub mod get_or_update;
pub mod get_or_update_copy;

use crate::field_set::{Declares, FieldSet};
use crate::registry::Field;

/// What was declared as field `I` of `D`.
fn field<H: Declares<D> + ?Sized, D, const I: usize>() -> &'static Field {
    &H::Set::fields()[I]
}

/// The body of an accessor that asks for exclusive access to a kind of host that never grants it.
///
/// # Panics
///
/// Never: no such host implements the bound of the accessor, so it cannot be called.
#[cold]
#[must_use]
pub fn never_called<T>() -> T {
    unreachable!("a shared host has no exclusive accessors")
}
