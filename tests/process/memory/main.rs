//! The memory of the library (R6, R7): the number of allocations, the bytes, and the number of dead `Arc` hosts that
//! keep their memory.
//!
//! The global allocator counts. A sweep affects every `Arc` host of the process, so every test here begins with
//! `alone()`, and the tests run sequentially.

mod r06_cost_of_nothing;
mod r07_bounded_memory;
mod sweep_bound;
mod sweep_call;
mod sweep_peak;
mod sweep_young;

use support::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;
