//! The parser, from tokens to the model. One file for each syntactic construct: the derive, the blocks, a field, a
//! type, `#[shadow]`.
//!
//! In: the macro's input. Out: declarations. The parser recovers from errors: a field that does not parse is reported
//! and left out, and the parser continues.

mod attribute;
mod block;
mod derive;
mod field;
mod types;

pub(crate) use block::blocks;
pub(crate) use derive::derive;
