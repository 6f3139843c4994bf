//! Benchmarks of shadow fields against the alternatives of a user.
//!
//! In: nothing. Out: figures of all contestants, measured in turns in one process.
//!
//! `cargo run --release -p benches --bin compare` runs all rows of the table of targets, and fails if a row misses its
//! target. `cargo bench -p benches` runs the criterion suites. Both use the same hosts and contestants:
//!
//! - [`hosts`]: the objects with fields; [`order`]: the order of the visits;
//! - [`contestant`]: tables from hosts to values, ours and the rivals';
//! - [`measure`]: rounds in turns, medians, instructions; [`memory`]: live bytes;
//! - [`check`]: figures against a target; [`rows`]: the table of targets, one file per group of rows;
//! - [`builds`]: small generated crates, for the rows about compile times;
//! - [`growth`]: more threads and more hosts than a machine here has, measured in part and simulated in part;
//! - [`report`] and [`chart`]: the output.
//!
//! # What is the same for all contestants
//!
//! The hosts, their addresses and the order of visits, from a fixed seed; the hash ([`hash`]); the value, a `u64` that
//! is read and summed; one allocation per value, as a shadow field has. Each row runs in a process of its own, so no
//! row inherits the heap or the process-wide tables of an earlier row.
//!
//! # What is not the same: the position of a loop
//!
//! Processors from Skylake to Cascade Lake, with Intel's microcode since November 2019, do not cache a decoded jump
//! that crosses or ends at a multiple of 32 bytes ("Mitigations for Jump Conditional Code Erratum"). A read in rows 1,
//! 2 and 12 has seven to a dozen instructions, two or three of them jumps. So the position of a loop outweighs the
//! content of the loop: with the same instructions, row 1 was 1.06 in one build and 1.6 in another. Row 2 was 0.93 in
//! one build, 1.3 in others, and 1.9 in builds with a jump that ends at a multiple of 32. Aligning all loops to 32 or
//! 64 bytes does not help, since the jumps are inside of the loops. A compiler option helps, which keeps the jumps of
//! all contestants away from multiples of 32 bytes:
//!
//! ```text
//! RUSTFLAGS=-Cllvm-args=-x86-branches-within-32B-boundaries cargo run --profile compare -p benches --bin compare
//! ```
//!
//! The option inserts padding instructions, which cost the shortest loops most: a plain field's loop in row 2 takes
//! 0.67 ns with padding, and 0.52 or 0.66 ns without. So on such a processor both builds are worth measuring.
//!
//!
//! # Missed targets, with causes
//!
//! *Row 5 with 100,000 hosts at random addresses*: usually 0.7 to 0.85, for a target of 0.7; with 60,000 hosts 0.59,
//! with 75,000 0.65, with 90,000 0.68. At 100,000 hosts the load factor of the shards is three quarters, and 13 of 100
//! keys are outside of their home group. The number of cache misses is the same as with strided addresses. But a read
//! has 0.31 mispredicted branches, against 0.03, in Valgrind's simulation, and each misprediction discards the reads
//! that the processor had started ahead. Attempts:
//!
//! - Groups of eight slots, in two cache lines: half as many keys are outside of their home group, but a read takes ten
//!   more instructions. All other cases are a fifth slower, and this case is no faster.
//! - A look at the next group before the check of the move counter: the branch costs time, not the code after the
//!   branch.
//! - Growth at 11, 12 or 14 of 16 slots: the memory costs as much as the branches save.
//! - Two fewer instructions, by a hash in two words: no faster in memory, and slower with all data in the L1 cache,
//!   since more instructions depend on each other.
//!
//! *Row 6 with 64 hosts*: 0.41, in single runs 0.36 to 0.49, for a target of 0.4. All data is in the L1 cache, and a
//! read takes 36 instructions, against papaya's 90. The hash in two words would save two instructions, and is slower
//! here.
//!
//! *At the limit*, so that noise decides: row 9; row 13 with one thread, and with half writes; row 15; row 26 with a
//! million objects, 0.64 to 0.74. There the cache misses of the lookup outweigh the instructions, and the lock. With
//! the load of the value, which misses the cache in both tables, the ratio is 0.68 to 0.92.
#![deny(unsafe_code)]

pub mod builds;
pub mod chart;
pub mod check;
pub mod contestant;
pub mod growth;
pub mod hash;
pub mod hosts;
pub mod measure;
pub mod memory;
pub mod order;
pub mod report;
pub mod rows;
