#![doc = include_str!("guide/index.md")]

#[doc = include_str!("guide/policies.md")]
pub mod policies {}

#[doc = include_str!("guide/hosts.md")]
pub mod hosts {}

#[doc = include_str!("guide/clean_up.md")]
pub mod clean_up {}

#[doc = include_str!("guide/async_programs.md")]
pub mod async_programs {}

#[doc = include_str!("guide/report.md")]
pub mod report {}

#[doc = include_str!("guide/testing.md")]
pub mod testing {}

#[doc = include_str!("guide/debugging.md")]
pub mod debugging {}

#[doc = include_str!("guide/performance.md")]
pub mod performance {}

#[doc = include_str!("guide/promises.md")]
pub mod promises {}

#[doc = include_str!("guide/edge_cases.md")]
pub mod edge_cases {}

#[doc = include_str!("guide/internals.md")]
pub mod internals {}
