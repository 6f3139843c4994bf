//! Hygiene of generated code, and the traits of the public types.

mod names;
mod types;
