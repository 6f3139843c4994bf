//! The parser, from tokens to the model. One file for each syntactic construct: the derive, the blocks, a field, a
//! type, `#[shadow]`.
//!
//! In: the macro's input. Out: declarations of `model.rs`. The parser recovers from errors: the parser reports a field
//! that does not parse, leaves the field out, and continues. Neighbours: `lib.rs`, the caller; `check.rs`, the next
//! stage.

mod attribute;
mod block;
mod derive;
mod field;
mod types;

pub(crate) use block::blocks;
pub(crate) use derive::derive;
