//! Shadow fields for C and C++: the interface of the Linux kernel's shadow variables
//! (`Documentation/livepatch/shadow-vars.rst`), in user space.
//!
//! The header `include/shadow_fields.h` declares the functions of this crate, with their documentation;
//! `include/klp_shadow.h` has the kernel's names. Rust code uses `shadow_runtime::raw` instead.
//!
//! In: an address, a number, and callbacks of C. Out: the address of a field's bytes, or null and `errno`. A field is a
//! [`PointerId`](shadow_runtime::raw::PointerId) of blocks, or an [`UpdateId`](shadow_runtime::raw::UpdateId) of shared
//! blocks. Modules: `fields.rs`, the fields whose bytes stay at one address; `updates.rs`, the fields whose values are
//! replaced; `report.rs`; and below these, `block.rs`, the bytes; `shared.rs`, bytes with several owners; `sizes.rs`,
//! the least size of a number's fields; `text.rs`, strings; `border.rs`, which keeps panics and errors of Rust from C.
//!
//! A callback runs under no lock of the library, apart from the init lock of the field that a constructor fills. A C++
//! exception from a callback passes through this crate: no code of the crate catches the exception, and unwinding runs
//! every destructor.
#![allow(clippy::missing_safety_doc, reason = "the documentation of a C function says what its caller guarantees")]

mod block;
mod border;
mod fields;
mod report;
mod shared;
mod sizes;
mod text;
mod updates;

pub use fields::{
    shadow_field_alloc, shadow_field_alloc_aligned, shadow_field_attach, shadow_field_ctor, shadow_field_dtor,
    shadow_field_each, shadow_field_free, shadow_field_free_all, shadow_field_free_object, shadow_field_get,
    shadow_field_get_or_alloc, shadow_field_get_or_alloc_aligned, shadow_field_get_or_attach,
};
pub use report::{
    shadow_field_describe, shadow_field_on_warning, shadow_field_report, shadow_field_string_free, shadow_field_warning,
};
pub use updates::{shadow_field_get_or_update, shadow_field_read};
