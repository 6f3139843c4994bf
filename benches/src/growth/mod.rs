//! What more threads and more hosts than a machine here has would cost: `docs/GROWTH.md` has the conclusions.
//!
//! In: nothing. Out: costs of one thread, measured on this machine ([`measured`]); and from such costs, the rate of
//! many threads that attach, simulated lock by lock ([`simulation`]). `src/bin/growth.rs` prints both.

pub mod measured;
pub mod simulation;
