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
