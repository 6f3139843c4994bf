//! Declarations: what the macros accept, and what they generate. Misuse is in `tests/ui`, hygiene in `tests/hygiene`.

mod attributes;
mod golden;
mod grammar;
mod in_macros;
mod types;
