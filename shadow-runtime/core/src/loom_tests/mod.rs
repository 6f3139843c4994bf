//! Loom models of the lock-free code below the accessors, one file per algorithm. `shadow-runtime/tests` has the models
//! that run through accessors. A model of private parts is a child module of the module under test, with its file here.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p shadow-runtime-core --lib
//! ```

mod arc;
mod memory;
pub(crate) mod modelled_arc;
mod side_table;
