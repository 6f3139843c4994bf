//! The table of `Arc` hosts: tests that count dead hosts, sweep, or set the sweep mode of the process.
//!
//! A sweep affects every `Arc` host of the process. So every test here begins with `alone()`, and the tests run
//! sequentially.

mod arc;
mod arc_ref;
mod counted;
mod detach_all;
mod edge_ends;
mod edge_hosts;
mod edge_large;
mod edge_values;
mod hosts;
mod r01_borrow;
mod r02_right_value;
mod r05_drop_once;
mod r05_logged;
mod r05_sweep;
mod sweep_background;
mod sweep_by_hand;
mod sweep_panics;
mod sweep_where;
