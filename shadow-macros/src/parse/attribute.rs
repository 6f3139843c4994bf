//! `#[shadow(...)]`, and the split of attributes into docs and others.
//!
//! In: the attributes of an item or of a field. Out: the path of the runtime, or the options of the field; docs, and
//! other attributes. Neighbours: `derive.rs`, `block.rs` and `field.rs`, the callers.

use std::mem;

use syn::meta::ParseNestedMeta;
use syn::{Attribute, Path, parse_quote};

use crate::errors::Errors;
use crate::model::{Field, Runtime};

/// The path in the `#[shadow(crate = path)]` of `attributes`, or the default path of the runtime.
pub(super) fn runtime(attributes: &[Attribute], errors: &mut Errors) -> Runtime {
    let mut found: Option<Path> = None;
    for attribute in attributes.iter().filter(|attribute| is_shadow(attribute)) {
        each_option(attribute, "#[shadow(crate = path)]", errors, |meta| {
            if meta.path.is_ident("fields") {
                return Err(meta.error("`fields` marks a member of the struct, not the struct: write it there"));
            }
            if meta.path.is_ident("clone") {
                return Err(meta.error(
                    "`clone` marks a shadow field: write `#[shadow(clone)]` before the policy of the field, as in \
                     `#[shadow(clone)] attach name: Type`",
                ));
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
    }
    match found {
        Some(path) => Runtime { path, is_default: false },
        None => Runtime { path: parse_quote!(::shadow_runtime), is_default: true },
    }
}

/// The field with the option of its `#[shadow(clone)]`, and without the attribute.
pub(super) fn with_options(mut field: Field, errors: &mut Errors) -> Field {
    let (options, attributes) = mem::take(&mut field.attributes).into_iter().partition(is_shadow);
    let options: Vec<Attribute> = options;
    field.attributes = attributes;
    for attribute in options {
        let mut is_clone = false;
        each_option(&attribute, "#[shadow(clone)]", errors, |meta| {
            if meta.path.is_ident("crate") {
                return Err(meta.error(
                    "`crate` is the path of a whole declaration: write it before the struct, `impl` or `trait`",
                ));
            }
            if !meta.path.is_ident("clone") {
                return Err(meta.error("unknown option: only `clone` can be written at a field"));
            }
            if is_clone || field.clone.is_some() {
                return Err(meta.error("`clone` is written twice: write it once"));
            }
            is_clone = true;
            Ok(())
        });
        if is_clone {
            field.clone = Some(attribute);
        }
    }
    field
}

/// Calls `option` with each option of a `#[shadow(...)]`. Without an option, the error says to write `example`.
pub(super) fn each_option(
    attribute: &Attribute,
    example: &str,
    errors: &mut Errors,
    mut option: impl FnMut(ParseNestedMeta<'_>) -> syn::Result<()>,
) {
    let mut is_empty = true;
    let parsed = attribute.parse_nested_meta(|meta| {
        is_empty = false;
        option(meta)
    });
    if errors.ok(parsed).is_some() && is_empty {
        errors.push_at(attribute, format!("an option is missing: write `{example}`, or leave the attribute out"));
    }
}

pub(super) fn is_shadow(attribute: &Attribute) -> bool {
    attribute.path().is_ident("shadow")
}

/// Splits `attributes` into docs and others.
pub(super) fn split_docs(attributes: Vec<Attribute>) -> (Vec<Attribute>, Vec<Attribute>) {
    attributes.into_iter().partition(|attribute| attribute.path().is_ident("doc"))
}
