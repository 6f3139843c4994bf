//! Row 15: a crate with one derive, against the same crate with an empty derive.
//!
//! In: nothing. Out: the two crates. The empty derive depends on the same macro crates as ours, in the same versions
//! and with the same features, so the difference is the cost of this project.

use std::path::Path;
use std::{fs, io};

use crate::builds::{ROOT, Scratch};

const OURS: &str = "\
use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(pub attach newpid: u32)]
pub struct Task {
    pub pid: u32,
    shadow: ShadowFields,
}
";

const EMPTY: &str = "\
use empty_derive::Empty;

#[derive(Empty)]
pub struct Task {
    pub pid: u32,
}
";

const EMPTY_DERIVE: &str = "\
#[proc_macro_derive(Empty)]
pub fn empty(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let _input = syn::parse_macro_input!(input as syn::DeriveInput);
    proc_macro2::TokenStream::from(quote::quote!()).into()
}
";

/// A crate with one `#[derive(Shadow)]`.
///
/// # Errors
///
/// If the files cannot be written.
pub fn ours() -> io::Result<Scratch> {
    let manifest = format!(
        "[package]\nname = \"ours\"\nedition = \"2024\"\n\n[workspace]\n\n\
         [dependencies]\nshadow-runtime = {{ path = '{ROOT}/shadow-runtime' }}\n"
    );
    Scratch::new("ours", &[("Cargo.toml", &manifest), ("src/lib.rs", OURS)])
}

/// The same crate with an empty derive.
///
/// # Errors
///
/// If the files cannot be written, or the workspace's manifest cannot be read.
pub fn empty() -> io::Result<Scratch> {
    let root = fs::read_to_string(Path::new(ROOT).join("Cargo.toml"))?;
    let dependencies: Vec<&str> = root.lines().filter(|line| is_macro_dependency(line)).collect();
    let derive_manifest = format!(
        "[package]\nname = \"empty-derive\"\nedition = \"2024\"\n\n[lib]\nproc-macro = true\n\n[dependencies]\n{}\n",
        dependencies.join("\n")
    );
    let manifest = "[package]\nname = \"empty\"\nedition = \"2024\"\n\n[workspace]\n\n\
                    [dependencies]\nempty-derive = { path = 'empty-derive' }\n";
    Scratch::new(
        "empty",
        &[
            ("Cargo.toml", manifest),
            ("src/lib.rs", EMPTY),
            ("empty-derive/Cargo.toml", &derive_manifest),
            ("empty-derive/src/lib.rs", EMPTY_DERIVE),
        ],
    )
}

/// Whether a line of the workspace's manifest sets the version and features of a macro crate.
fn is_macro_dependency(line: &str) -> bool {
    ["proc-macro2 = ", "quote = ", "syn = "].iter().any(|start| line.starts_with(start))
}
