//! The grammar of one field, in the attribute and in the block:
//!
//! ```text
//! docs* visibility? policy name: Type (= initialiser)?
//! ```
//!
//! In: its tokens, up to the `;` in a block, up to the end in an attribute. Out: a field of the model.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Result, Token};

use crate::model::Field;
use crate::parse::attribute::split_docs;
use crate::parse::types::value_type;
use crate::policy::Policy;

impl Parse for Field {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let (docs, attributes) = split_docs(input.call(Attribute::parse_outer)?);
        let visibility = input.parse()?;
        let policy = policy(input)?;
        let name = input.parse()?;
        input.parse::<Token![:]>()?;
        let value = value_type(&name, input)?;
        let initialiser = input.parse::<Option<Token![=]>>()?.map(|equals| initialiser(equals, input)).transpose()?;
        Ok(Self { docs, attributes, visibility, policy, name, value, initialiser })
    }
}

fn policy(input: ParseStream<'_>) -> Result<Policy> {
    let words = Policy::WORDS;
    let word = input.call(Ident::parse_any).map_err(|error| Error::new(error.span(), format!("expected {words}")))?;
    if input.peek(Token![:]) {
        return Err(Error::new(word.span(), format!("`{word}` has no policy: write {words} before its name")));
    }
    Policy::from_word(&word).ok_or_else(|| Error::new(word.span(), format!("unknown policy `{word}`: write {words}")))
}

/// Kept as tokens: what an expression is, is the compiler's business, and syn need not be built for it.
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
