//! Types that contain constant expressions, such as `[u8; { let a = 1; a + 1 }]`.
//!
//! In: the tokens of a type. Out: a type, parsed by syn if possible, and otherwise verbatim. Without its `full`
//! feature, syn parses few expressions, so [`stub_exprs`] puts a `0` in place of an expression, for the syntax check.
//! The model keeps the original tokens. Neighbours: `field.rs`, for the type of a value; `derive.rs`, for the members
//! of a struct.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::quote;
use syn::parse::ParseStream;
use syn::parse::discouraged::Speculative;
use syn::{Error, Result, Token, Type};

/// The type of field `name`.
pub(super) fn value_type(name: &Ident, input: ParseStream<'_>) -> Result<Type> {
    let ahead = input.fork();
    let error = match ahead.parse() {
        Ok(understood) => {
            input.advance_to(&ahead);
            return Ok(understood);
        }
        Err(error) => error,
    };
    let tokens = up_to_the_end(input)?;
    if tokens.is_empty() {
        return Err(Error::new(name.span(), format!("expected a type after `{name}:`")));
    }
    let stubbed: Result<Type> = syn::parse2(stub_exprs(tokens.clone()));
    stubbed.map(|_| Type::Verbatim(tokens)).map_err(|_| error)
}

/// The tokens of a type, up to the first `=` or `;` outside of angle brackets, or up to the end.
fn up_to_the_end(input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    let mut depth = 0_usize;
    let mut after_dash = false;
    while !input.is_empty() && !(depth == 0 && (input.peek(Token![=]) || input.peek(Token![;]))) {
        let token: TokenTree = input.parse()?;
        let mark = if let TokenTree::Punct(punct) = &token { Some(punct.as_char()) } else { None };
        match mark {
            Some('<') => depth += 1,
            // Not the `>` of `->`.
            Some('>') if !after_dash => depth = depth.saturating_sub(1),
            _ => {}
        }
        after_dash = mark == Some('-');
        tokens.extend([token]);
    }
    Ok(tokens)
}

/// The tokens, with `0` for each constant expression: for the content of braces, and for the length of an array.
pub(super) fn stub_exprs(tokens: TokenStream) -> TokenStream {
    let mut after_pound = false;
    tokens
        .into_iter()
        .map(|token| {
            let is_attribute = std::mem::take(&mut after_pound);
            match token {
                TokenTree::Group(group) if !is_attribute => TokenTree::Group(stub_group(&group)),
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    after_pound = true;
                    TokenTree::Punct(punct)
                }
                token => token,
            }
        })
        .collect()
}

fn stub_group(group: &Group) -> Group {
    let stream = match group.delimiter() {
        Delimiter::Brace => quote!(0),
        Delimiter::Bracket => {
            let is_semicolon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';');
            let element: TokenStream = group.stream().into_iter().take_while(|token| !is_semicolon(token)).collect();
            let length = group.stream().into_iter().any(|token| is_semicolon(&token)).then(|| quote!(; 0));
            let element = stub_exprs(element);
            quote!(#element #length)
        }
        Delimiter::Parenthesis | Delimiter::None => stub_exprs(group.stream()),
    };
    let mut stubbed = Group::new(group.delimiter(), stream);
    stubbed.set_span(group.span());
    stubbed
}

/// The tokens of a struct, with `0` for each constant expression in the members; the tokens of an enum, without its
/// variants, which no stage reads.
pub(super) fn stub_members(item: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let is_enum = tokens.iter().any(|token| matches!(token, TokenTree::Ident(word) if word == "enum"));
    // The last group has the members: the braces, or the parentheses of a tuple struct.
    let members = tokens.iter_mut().rev().find_map(|token| match token {
        TokenTree::Group(group) => Some(group),
        _ => None,
    });
    if let Some(members) = members {
        let stream = if is_enum { TokenStream::new() } else { stub_exprs(members.stream()) };
        let mut stubbed = Group::new(members.delimiter(), stream);
        stubbed.set_span(members.span());
        *members = stubbed;
    }
    tokens.into_iter().collect()
}
