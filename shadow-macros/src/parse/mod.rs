//! From tokens to the model. One file for each thing that is written: the derive, the blocks, a field, a type,
//! `#[shadow]`.
//!
//! In: the macro's input. Out: declarations. Whatever can be understood is, beside what is wrong: a field that does not
//! parse is reported and left out, and the rest goes on.

mod attribute;
mod block;
mod derive;
mod field;
mod types;

pub(crate) use block::blocks;
pub(crate) use derive::derive;
