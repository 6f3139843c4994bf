//! The grammar of one field, in the attribute and in the block:
//!
//! ```text
//! docs* attributes* visibility? policy name: Type (= initialiser)?
//! ```
//!
//! The caller interprets `#[shadow(clone)]` among the attributes (`attribute.rs`). The policy is a word; `(copy)` may
//! follow `get_or_update`.
//!
//! In: the tokens of a field, up to the `;` in a block, or up to the end in an attribute. Out: a field of the model.
//! Neighbours: `block.rs` and `derive.rs`, the callers; `types.rs`, the type of the value; `policy.rs`, the policy's
//! word.

use proc_macro2::{Group, Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Result, Token, token};

use crate::model::Field;
use crate::parse::attribute::split_docs;
use crate::parse::types::value_type;
use crate::policy::Policy;

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (docs, attributes) = split_docs(input.call(Attribute::parse_outer)?);
        let visibility = input.parse()?;
        let policy = policy(input)?;
        let name: Ident = input.parse()?;
        let colon = |error: Error| Error::new(error.span(), format!("expected `:` and a type after `{name}`"));
        input.parse::<Token![:]>().map_err(colon)?;
        let value = value_type(&name, input)?;
        let initialiser = input.parse::<Option<Token![=]>>()?.map(|equals| initialiser(equals, input)).transpose()?;
        Ok(Self { docs, attributes, visibility, policy, name, value, initialiser, clone: None })
    }
}

fn policy(input: ParseStream<'_>) -> Result<Policy> {
    let words = Policy::WORDS;
    let word = input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), format!("expected {words}")))?;
    if input.peek(Token![:]) {
        return Err(Error::new(word.span(), format!("`{word}` has no policy: write {words} before its name")));
    }
    let unknown = || Error::new(word.span(), format!("unknown policy `{word}`: write {words}"));
    let policy = Policy::from_word(&word).ok_or_else(unknown)?;
    if input.peek(token::Paren) { of_copies(policy, input) } else { Ok(policy) }
}

/// Parses the parentheses behind a policy's word: `copy`, and only behind `get_or_update`.
fn of_copies(policy: Policy, input: ParseStream<'_>) -> Result<Policy> {
    let group: Group = input.parse()?;
    let Some(of_copies) = policy.of_copies() else {
        let message = format!("`{0}` takes nothing in parentheses: write `{0}` alone", policy.word());
        return Err(Error::new(group.span(), message));
    };
    let mut inner = group.stream().into_iter();
    let first = inner.next();
    let wrong = if matches!(&first, Some(TokenTree::Ident(word)) if word == "copy") { inner.next() } else { first };
    if wrong.is_none() && !group.stream().is_empty() {
        return Ok(of_copies);
    }
    let (with, without) = (of_copies.word(), policy.word());
    let place = wrong.map_or_else(|| group.span(), |token| token.span());
    let message = format!(
        "only `copy` can stand in these parentheses: write `{with}` for values that are `Copy`, or `{without}` for \
         values that are `Clone`"
    );
    Err(Error::new(place, message))
}

/// The tokens of the initialiser, unparsed: only the compiler parses the expression, so syn needs no feature `full`.
fn initialiser(equals: Token![=], input: ParseStream<'_>) -> Result<TokenStream> {
    let mut tokens = TokenStream::new();
    while !input.is_empty() && !input.peek(Token![;]) {
        tokens.extend([input.parse::<TokenTree>()?]);
    }
    if tokens.is_empty() {
        return Err(Error::new(equals.span, "expected an initialiser after `=`, or no `=` for `Default`"));
    }
    Ok(tokens)
}
