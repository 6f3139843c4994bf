//! `#[derive(Shadow)]` with `#[shadow_field(...)]`.
//!
//! In: the struct. Out: a declaration, even after an error, so that the correct parts expand.

use proc_macro2::TokenStream;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields, Index, Member, Type, parse_quote};

use crate::errors::Errors;
use crate::model::{Declaration, Form, bare, generated};
use crate::parse::attribute;
use crate::parse::types::outline_members;

pub(crate) fn derive(input: TokenStream, errors: &mut Errors) -> Option<Declaration> {
    let input: DeriveInput = errors.keep(syn::parse2(outline_members(input)))?;
    let name = &input.ident;
    let member = match &input.data {
        Data::Struct(data) => member(&input, &data.fields, errors),
        Data::Enum(data) => {
            errors.at(data.enum_token, no_struct("an enum", name));
            None
        }
        Data::Union(data) => {
            errors.at(data.union_token, no_struct("a union", name));
            None
        }
    };
    let (_, type_generics, _) = input.generics.split_for_impl();
    let fields = input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("shadow_field"))
        .filter_map(|attribute| errors.keep(attribute.parse_args()))
        .collect();
    Some(Declaration {
        runtime: attribute::runtime(&input.attrs, errors),
        form: Form::Derive { member },
        host: parse_quote!(#name #type_generics),
        generics: generated(input.generics.clone()),
        conditions: Vec::new(),
        attributes: Vec::new(),
        fields,
    })
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
            errors.at(
                second,
                "a struct has one `ShadowFields`: remove this one, or mark the right one `#[shadow(fields)]`",
            );
        }
    } else {
        let name = &input.ident;
        errors.at(name, format!("`{name}` has no place for its shadow fields: add a member `shadow: ShadowFields`"));
    }
    candidates.into_iter().next().map(|(member, _)| member)
}

fn is_marked(attributes: &[syn::Attribute], errors: &mut Errors) -> bool {
    let mut marked = false;
    for attribute in attributes.iter().filter(|attribute| attribute::is_shadow(attribute)) {
        let parsed = attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("fields") {
                marked = true;
                return Ok(());
            }
            Err(meta.error("unknown option: only `fields` can be written at a member"))
        });
        errors.keep(parsed);
    }
    marked
}

fn is_shadow_fields(member: &Type) -> bool {
    let Type::Path(path) = bare(member) else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "ShadowFields" && last.arguments.is_none())
}
