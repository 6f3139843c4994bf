//! `shadow! { impl ... }` and `shadow! { trait ... for ... }`.
//!
//! In: any number of blocks. Out: a declaration for each block. Neighbours: `field.rs`, the grammar of a field;
//! `attribute.rs`, the attributes of a block.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Generics, Result, Token, Type, Visibility, braced};

use crate::errors::Errors;
use crate::model::{Declaration, Field, Form, with_call_site};
use crate::parse::attribute::{is_shadow, runtime, with_options};
use crate::type_text::type_text;

pub(crate) fn blocks(input: TokenStream, errors: &mut Errors) -> Vec<Declaration> {
    let mut declarations = Vec::new();
    let parser = |input: ParseStream<'_>| {
        while !input.is_empty() {
            declarations.push(block(input, errors)?);
        }
        Ok(())
    };
    let parsed = parser.parse2(input);
    errors.ok(parsed);
    declarations
}

/// The head of a block, before its fields.
struct Head {
    form: Form,
    generics: Generics,
    host: Type,
}

fn block(input: ParseStream<'_>, errors: &mut Errors) -> Result<Declaration> {
    let attributes = input.call(Attribute::parse_outer)?;
    let runtime = runtime(&attributes, errors);
    let attributes = attributes.into_iter().filter(|attribute| !is_shadow(attribute));
    let (conditions, attributes) = attributes.partition(|attribute| attribute.path().is_ident("cfg"));
    let head = if input.peek(Token![impl]) { impl_head(input)? } else { trait_head(input)? };
    let content;
    braced!(content in input);
    let mut fields = Vec::new();
    while !content.is_empty() {
        match content.parse::<Field>() {
            Ok(field) => {
                if content.parse::<Option<Token![;]>>()?.is_none() {
                    errors.push(content.error(format!("expected `;` after field `{}`", field.text())));
                    content.parse::<Option<Token![,]>>()?;
                }
                fields.push(with_options(field, errors));
            }
            Err(error) => {
                errors.push(error);
                skip_field(&content)?;
            }
        }
    }
    Ok(Declaration {
        runtime,
        form: head.form,
        generics: with_call_site(head.generics),
        host: head.host,
        conditions,
        attributes,
        fields,
    })
}

/// `impl<generics> Type where ...`
fn impl_head(input: ParseStream<'_>) -> Result<Head> {
    input.parse::<Token![impl]>()?;
    let mut generics: Generics = input.parse()?;
    let host = input.parse()?;
    if input.peek(Token![for]) {
        let name = type_text(&host);
        return Err(input.error(format!("an `impl` has no `for`: write `trait {name} for`")));
    }
    generics.where_clause = input.parse()?;
    Ok(Head { form: Form::Impl, generics, host })
}

/// `visibility trait Name<generics> for Type where ...`
fn trait_head(input: ParseStream<'_>) -> Result<Head> {
    let visibility: Visibility = input.parse()?;
    if !input.peek(Token![trait]) {
        return Err(input.error("expected `impl Type { ... }` or `trait Name for Type { ... }`"));
    }
    input.parse::<Token![trait]>()?;
    let name: Ident = input.parse()?;
    let mut generics: Generics = input.parse()?;
    if !input.peek(Token![for]) {
        return Err(
            input.error(format!("expected `for`: say what `{name}` is for, as in `trait {name} for Arc<Type>`"))
        );
    }
    input.parse::<Token![for]>()?;
    let host = input.parse()?;
    generics.where_clause = input.parse()?;
    Ok(Head { form: Form::Trait { visibility, name }, generics, host })
}

/// Skips to the token after the next `;`.
fn skip_field(content: ParseStream<'_>) -> Result<()> {
    while !content.is_empty() {
        if content.parse::<Option<Token![;]>>()?.is_some() {
            break;
        }
        content.parse::<TokenTree>()?;
    }
    Ok(())
}
