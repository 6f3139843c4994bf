//! `#[shadow(...)]`, and the split of attributes into docs and others.
//!
//! In: the attributes of an item. Out: the path of the runtime, docs, and other attributes. Neighbours: `derive.rs`,
//! `block.rs` and `field.rs`, the callers.

use syn::{Attribute, Path, parse_quote};

use crate::errors::Errors;
use crate::model::Runtime;

/// The path in the `#[shadow(crate = path)]` of `attributes`, or the default path of the runtime.
pub(super) fn runtime(attributes: &[Attribute], errors: &mut Errors) -> Runtime {
    let mut found: Option<Path> = None;
    for attribute in attributes.iter().filter(|attribute| is_shadow(attribute)) {
        let parsed = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("fields") {
                return Err(meta.error("`fields` marks a member of the struct, not the struct: write it there"));
            }
            if !meta.path.is_ident("crate") {
                return Err(meta.error("unknown option: only `crate = path` can be written here"));
            }
            let path = Path::parse_mod_style(meta.value()?)?;
            if found.replace(path).is_some() {
                return Err(meta.error("`crate` is written twice: write it once"));
            }
            Ok(())
        });
        errors.ok(parsed);
    }
    match found {
        Some(path) => Runtime { path, is_default: false },
        None => Runtime { path: parse_quote!(::shadow_runtime), is_default: true },
    }
}

pub(super) fn is_shadow(attribute: &Attribute) -> bool {
    attribute.path().is_ident("shadow")
}

/// Splits `attributes` into docs and others.
pub(super) fn split_docs(attributes: Vec<Attribute>) -> (Vec<Attribute>, Vec<Attribute>) {
    attributes.into_iter().partition(|attribute| attribute.path().is_ident("doc"))
}
