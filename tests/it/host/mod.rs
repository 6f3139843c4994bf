//! One file per kind of host. `Arc` hosts are in `tests/process/arc_table`, since their table belongs to the process.

mod embedded;
mod raw;
mod raw_drain;
mod raw_init;
mod raw_inspect;
mod raw_pointer;
mod several_declarations;
mod shadowed;
mod static_ref;
