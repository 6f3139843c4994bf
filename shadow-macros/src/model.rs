//! The model of a declaration: the same for the derive and for both blocks.
//!
//! In: what `parse` found. Out: what `check` judges and `expand` writes. Every part keeps its tokens, so that a later
//! stage can point at the source.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Attribute, Generics, Member, Path, Type, TypeReference, Visibility};

use crate::policy::Policy;

/// One `#[derive(Shadow)]`, or one `impl` or `trait` of a `shadow!`.
pub(crate) struct Declaration {
    /// Where the runtime is.
    pub(crate) runtime: Path,
    pub(crate) form: Form,
    /// The generics of the host's type, with their `where` clause.
    pub(crate) generics: Generics,
    /// The type that the fields are for.
    pub(crate) host: Type,
    /// `#[cfg]`, for all that the declaration expands to.
    pub(crate) conditions: Vec<Attribute>,
    /// The other attributes, docs too, for the trait, or for the `impl` with the accessors.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) fields: Vec<Field>,
}

/// What a declaration was written as.
pub(crate) enum Form {
    /// A struct that derives `Shadow`, and the member that holds its fields; `None` if none was found, which is an
    /// error already.
    Derive { member: Option<Member> },
    /// `impl Type { ... }`
    Impl,
    /// `trait Name for Type { ... }`
    Trait { visibility: Visibility, name: Ident },
}

/// One declared field.
pub(crate) struct Field {
    pub(crate) docs: Vec<Attribute>,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) policy: Policy,
    pub(crate) name: Ident,
    pub(crate) value: Type,
    pub(crate) initialiser: Option<TokenStream>,
}

impl Declaration {
    /// The host, if it is a `&'static T`, whose accessors take and return what is `'static`.
    pub(crate) fn fixed(&self) -> Option<&TypeReference> {
        match (&self.form, bare(&self.host)) {
            (Form::Trait { .. }, Type::Reference(reference)) => Some(reference),
            _ => None,
        }
    }
}

impl Field {
    /// The name in messages, and as a part of other names: without `r#`.
    pub(crate) fn word(&self) -> String {
        self.name.unraw().to_string()
    }

    /// Whether the user has written this attribute.
    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|own| own.path().is_ident(attribute))
    }

    /// A name of an accessor: where the field's name is, and the macro's own in all else, lints above all.
    pub(crate) fn accessor(&self, name: &str) -> Ident {
        Ident::new(name, self.generated_span())
    }

    /// The accessor that is called as the field is.
    pub(crate) fn getter(&self) -> Ident {
        let mut name = self.name.clone();
        name.set_span(self.generated_span());
        name
    }

    fn generated_span(&self) -> Span {
        Span::call_site().located_at(self.name.span())
    }
}

/// Generics for generated code: the lifetimes are declared with the macro's own span, since what a lint says of how
/// often generated code uses them does not concern the user.
pub(crate) fn generated(mut generics: Generics) -> Generics {
    for parameter in generics.lifetimes_mut() {
        let ident = &mut parameter.lifetime.ident;
        ident.set_span(Span::call_site().located_at(ident.span()));
    }
    generics
}

/// `self`, as the initialiser in `tokens` would say it: a method's `self` must come from the same place to be the same.
/// That is the place of a `self` in it, or else of its first word, since `self` may be in a format string.
pub(crate) fn self_in(tokens: &TokenStream) -> Option<Ident> {
    let is_self = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "self");
    let origin = find(tokens, &is_self).or_else(|| find(tokens, &|_| true))?;
    Some(Ident::new("self", origin.span()))
}

/// The first token, in groups too, that is not a group and is `wanted`.
fn find(tokens: &TokenStream, wanted: &impl Fn(&TokenTree) -> bool) -> Option<TokenTree> {
    tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Group(group) => find(&group.stream(), wanted),
        token => wanted(&token).then_some(token),
    })
}

/// What a type is, without the invisible groups that a `macro_rules!` puts around it, and without parentheses.
pub(crate) fn bare(mut parsed: &Type) -> &Type {
    loop {
        parsed = match parsed {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return parsed,
        };
    }
}

/// `Self`, where it does not mean the type that the user means: put there what does.
pub(crate) fn replace_self(tokens: TokenStream, host: &Type) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(ident) if ident == "Self" => host.to_token_stream(),
            TokenTree::Group(group) => {
                let inner = replace_self(group.stream(), host);
                let mut replaced = Group::new(group.delimiter(), inner);
                replaced.set_span(group.span());
                TokenTree::Group(replaced).into()
            }
            other => other.into(),
        })
        .collect()
}
