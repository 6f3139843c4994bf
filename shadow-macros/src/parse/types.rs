//! Types that contain constant expressions, such as `[u8; { let a = 1; a + 1 }]`.
//!
//! In: tokens of a type. Out: a type, as far as syn parses types. Without its `full` feature, syn parses few
//! expressions, so [`outline`] puts a `0` in place of an expression, for the syntax check. The model keeps the original
//! tokens.

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
    let outlined: Result<Type> = syn::parse2(outline(tokens.clone()));
    outlined.map(|_| Type::Verbatim(tokens)).map_err(|_| error)
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
pub(super) fn outline(tokens: TokenStream) -> TokenStream {
    let mut after_pound = false;
    tokens
        .into_iter()
        .map(|token| {
            let is_attribute = std::mem::take(&mut after_pound);
            match token {
                TokenTree::Group(group) if !is_attribute => TokenTree::Group(outline_group(&group)),
                TokenTree::Punct(punct) if punct.as_char() == '#' => {
                    after_pound = true;
                    TokenTree::Punct(punct)
                }
                token => token,
            }
        })
        .collect()
}

fn outline_group(group: &Group) -> Group {
    let stream = match group.delimiter() {
        Delimiter::Brace => quote!(0),
        Delimiter::Bracket => {
            let is_semicolon = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';');
            let element: TokenStream = group.stream().into_iter().take_while(|token| !is_semicolon(token)).collect();
            let length = group.stream().into_iter().any(|token| is_semicolon(&token)).then(|| quote!(; 0));
            let element = outline(element);
            quote!(#element #length)
        }
        Delimiter::Parenthesis | Delimiter::None => outline(group.stream()),
    };
    let mut outlined = Group::new(group.delimiter(), stream);
    outlined.set_span(group.span());
    outlined
}

/// The tokens of a struct, with `0` for each constant expression in the members.
pub(super) fn outline_members(item: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    // The last group has the members: the braces, or the parentheses of a tuple struct.
    let members = tokens.iter_mut().rev().find_map(|token| match token {
        TokenTree::Group(group) => Some(group),
        _ => None,
    });
    if let Some(members) = members {
        let mut outlined = Group::new(members.delimiter(), outline(members.stream()));
        outlined.set_span(members.span());
        *members = outlined;
    }
    tokens.into_iter().collect()
}
