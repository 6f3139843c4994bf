//! `#[derive(Shadow)]` with `#[shadow_field(...)]`.
//!
//! In: the struct. Out: a declaration, even after an error, so that the correct parts expand. Neighbours: `field.rs`,
//! the grammar of a field; `attribute.rs`, `#[shadow]`; `types.rs`, which shortens the struct for syn.

use proc_macro2::TokenStream;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Index, Member, Result, Type, parse_quote};

use crate::errors::Errors;
use crate::model::{Declaration, Field, Form, ungroup, with_call_site};
use crate::parse::attribute;
use crate::parse::types::stub_members;

pub(crate) fn derive(input: TokenStream, errors: &mut Errors) -> Option<Declaration> {
    let input: DeriveInput = errors.ok(syn::parse2(stub_members(input)))?;
    let name = &input.ident;
    let member = match &input.data {
        Data::Struct(data) => member(&input, &data.fields, errors),
        Data::Enum(data) => {
            errors.push_at(data.enum_token, no_struct("an enum", name));
            None
        }
        Data::Union(data) => {
            errors.push_at(data.union_token, no_struct("a union", name));
            None
        }
    };
    let (_, type_generics, _) = input.generics.split_for_impl();
    let fields = input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("shadow_field"))
        .filter_map(|attribute| {
            let field = errors.ok(attribute.parse_args_with(only_field))?;
            Some(attribute::with_options(field, errors))
        })
        .collect();
    Some(Declaration {
        runtime: attribute::runtime(&input.attrs, errors),
        form: Form::Derive { member },
        host: parse_quote!(#name #type_generics),
        generics: with_call_site(input.generics.clone()),
        conditions: Vec::new(),
        attributes: Vec::new(),
        fields,
    })
}

/// The field of an attribute, which has no second field.
fn only_field(input: ParseStream<'_>) -> Result<Field> {
    let field: Field = input.parse()?;
    if input.is_empty() {
        return Ok(field);
    }
    let message = format!("expected `)` after field `{}`: write each field in a `#[shadow_field(...)]`", field.text());
    Err(input.error(message))
}

fn no_struct(what: &str, name: &syn::Ident) -> String {
    format!(
        "{what} has no place for shadow fields: put it into a struct that derives `Shadow`, or wrap it as `Shadowed<{name}>`"
    )
}

/// The member with the fields: the marked member, or else the member of type `ShadowFields`.
fn member(input: &DeriveInput, fields: &Fields, errors: &mut Errors) -> Option<Member> {
    let mut marked = Vec::new();
    let mut typed = Vec::new();
    for (index, field) in fields.iter().enumerate() {
        let member = match &field.ident {
            Some(ident) => Member::Named(ident.clone()),
            None => Member::Unnamed(Index { index: u32::try_from(index).unwrap_or(u32::MAX), span: field.ty.span() }),
        };
        if is_marked(&field.attrs, errors) {
            marked.push((member.clone(), &field.ty));
        }
        if is_shadow_fields(&field.ty) {
            typed.push((member, &field.ty));
        }
    }
    let candidates = if marked.is_empty() { typed } else { marked };
    if let [_, rest @ ..] = &*candidates {
        for (_, second) in rest {
            errors.push_at(
                second,
                "a struct has one `ShadowFields`: remove this one, or mark the right one `#[shadow(fields)]`",
            );
        }
    } else {
        let name = &input.ident;
        errors.push_at(name, format!("`{name}` has no place for its shadow fields: {}", place_in(fields)));
    }
    candidates.into_iter().next().map(|(member, _)| member)
}

/// What to write, so that a struct with these members has a place for its shadow fields.
fn place_in(members: &Fields) -> &'static str {
    match members {
        Fields::Named(_) => "add a member `shadow: ShadowFields`",
        Fields::Unnamed(_) => "add `ShadowFields` as the last member",
        Fields::Unit => "write `{ shadow: ShadowFields }` instead of `;`",
    }
}

fn is_marked(attributes: &[syn::Attribute], errors: &mut Errors) -> bool {
    let mut marked = false;
    for attribute in attributes.iter().filter(|attribute| attribute::is_shadow(attribute)) {
        attribute::each_option(attribute, "#[shadow(fields)]", errors, |meta| {
            if meta.path.is_ident("fields") {
                marked = true;
                return Ok(());
            }
            if meta.path.is_ident("clone") {
                return Err(meta.error(
                    "`clone` marks a shadow field, not a member: write `#[shadow_field(#[shadow(clone)] ...)]` before \
                     the struct",
                ));
            }
            Err(meta.error("unknown option: only `fields` can be written at a member"))
        });
    }
    marked
}

fn is_shadow_fields(member: &Type) -> bool {
    let Type::Path(path) = ungroup(member) else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "ShadowFields" && last.arguments.is_none())
}
