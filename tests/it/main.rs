//! The tests that may share a process: no test depends on what the other tests of the process do meanwhile.
//!
//! One module per topic: `policy` for each policy, `host` for each kind of host, `rule` for the rules of
//! `docs/RULES.md`, and `macros` for declarations. Tests of process-wide state are in `tests/process`.

mod host;
mod macros;
mod policy;
mod rule;

use support::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
