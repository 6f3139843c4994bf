//! The functions that generated accessors call: one function per accessor, generic over the host.
//!
//! In: a host, and the declaration `D` and index `I` of a field. Out: the behaviour of the field's policy. One file per
//! policy. Each file has the trait by which a declaration binds field `I` of `D` to the policy and a value type. The
//! bounds of a value are on the associated type `Value` of this trait alone, so the compiler reports a missing bound
//! once. The traits do not have [`Declares`] as a supertrait, so the compiler also reports a type that is no host once.
//! Neighbours: `host/mod.rs`, the hosts; `cell/mod.rs`, the cells; `shadow-macros/src/accessor/mod.rs`, which generates
//! the calls.
//!
//! Every accessor goes the same way: host → field set → cell → value. Field 0 has a shorter way. If an attach of field
//! 0 has published the first field set of the host, the node has the first-ready flag (N4 of `fields/mod.rs`), and
//! [`Found`](crate::fields::Found) has the flag `first_ready`. Then a read does not load the cell's state. The check
//! for the flag is behind `const { I == 0 }`, so no monomorphisation for another field has code for the check: this
//! code would be most of the build cost of a field.

pub mod attach;
pub mod get_or_attach;
pub mod get_or_update;
pub mod get_or_update_copy;

use crate::field_set::FieldSet;
use crate::host::Declares;
use crate::registry::Field;

/// The declared field `I` of `D`.
fn field<H: Declares<D> + ?Sized, D, const I: usize>() -> &'static Field {
    &H::Set::fields()[I]
}

/// The body of an exclusive accessor for a `&'static T`, whose fields have no `&mut`.
///
/// # Panics
///
/// Never: a `&'static T` does not implement the bound of the accessor, so no code can call the accessor.
#[cold]
#[must_use]
pub fn never_called<T>() -> T {
    unreachable!("a shared host has no exclusive accessors")
}

/// Does nothing. Generated code names the function, so that the compiler quotes the name if the runtime has another
/// path than `::shadow_runtime`, and the declaration has no `#[shadow(crate = path)]`.
pub fn write_attribute_shadow_crate_path() {}
