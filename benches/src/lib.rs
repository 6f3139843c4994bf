//! Shadow fields side by side with what a user would pick instead.
//!
//! In: nothing. Out: figures, each next to that of its rivals, taken in turns in one process.
//!
//! `cargo run --release -p benches --bin compare` runs every row of the table of targets and fails if one is missed;
//! `cargo bench -p benches` runs the criterion suites. Both read the same hosts through the same contestants:
//!
//! - [`hosts`]: the objects that fields are attached to, and [`order`], in which they are visited;
//! - [`contestant`]: what keeps a value beside a host, ours and the others';
//! - [`measure`]: rounds in turns, medians, instructions; [`memory`]: bytes that are alive;
//! - [`check`]: figures against a target; [`rows`]: the table, one file per group of rows;
//! - [`builds`]: small crates that are generated and built, for the rows about compile times;
//! - [`report`] and [`chart`]: what is shown.
//!
//! # What is the same for all contestants
//!
//! The hosts, their addresses and the order of visits, which comes from a fixed seed; the hash ([`hash`]); the value, a
//! `u64` that is read and added up; one allocation per value, since ours has one. Each row runs in a process of its
//! own, so that no row meets the heap, or the process-wide tables, that another has left behind.
//!
//! # What is not: where a loop lies
//!
//! A processor from Skylake to Cascade Lake, with Intel's microcode since November 2019, decodes a jump anew each time
//! if it crosses a multiple of 32 bytes or ends at one ("Mitigations for Jump Conditional Code Erratum"). A read in
//! rows 1, 2 and 12 is seven to a dozen instructions, two or three of them jumps, so where the compiler happens to put
//! a loop decides more than what is in it: with the same instructions row 1 was 1.06 in one build and 1.6 in another,
//! and row 2 was 0.93 in one, 1.3 in others, and 1.9 in those where a jump ends at such a multiple. Beginning all loops
//! at a multiple of 32 or 64 bytes does not help, since the jumps are inside. What does is to keep all jumps of all
//! contestants away from there:
//!
//! ```text
//! RUSTFLAGS=-Cllvm-args=-x86-branches-within-32B-boundaries cargo run --profile compare -p benches --bin compare
//! ```
//!
//! It fills up with instructions that do nothing, for which the shortest loops pay most: that of a plain field in row 2
//! then takes 0.67 ns where it takes 0.52 or 0.66 without. So on such a processor both are worth a look.
//!
//!
//! # What is missed, and why
//!
//! *Row 5 with 100,000 hosts at random addresses*: 0.7 to 0.85 mostly, where 0.7 is wanted; with 60,000 hosts it is
//! 0.59, with 75,000 0.65, with 90,000 0.68. At 100,000 the shards are three quarters full, and 13 of 100 keys are not
//! in their home group. There are as many cache misses as with addresses at a stride, but 0.31 mispredicted branches a
//! read instead of 0.03, as Valgrind simulates them, and each throws away the reads that the processor had begun at
//! once. Tried:
//!
//! - groups of eight slots, which are two lines: half as many keys are elsewhere, but a read takes ten instructions
//!   more, by which all others are a fifth slower, and these no faster;
//! - a look into the next group before the one that counts moves: the branch is what costs, not what comes after it;
//! - tables that grow at 11, 12 or 14 of 16 slots: what is gained by branches is lost by memory;
//! - two instructions less, by a hash in two words: no faster in memory, and slower where all is in the first cache,
//!   since more of them wait for one another.
//!
//! *Row 6 with 64 hosts*: 0.41, in single runs 0.36 to 0.49, where 0.4 is wanted. All is in the first cache, and 36
//! instructions stand against papaya's 90. What would take two of them away is the hash in two words, above: slower
//! here.
//!
//! *At the limit*, so that the minute decides: row 9; row 13 with one thread, and with half writes; row 15.
#![deny(unsafe_code)]

pub mod builds;
pub mod chart;
pub mod check;
pub mod contestant;
pub mod hash;
pub mod hosts;
pub mod measure;
pub mod memory;
pub mod order;
pub mod report;
pub mod rows;
