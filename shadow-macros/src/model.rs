//! The model of a declaration: the same for the derive and for both blocks.
//!
//! In: the output of `parse/`. Out: the input of `check.rs`, `expand/` and `accessor/`. Every part keeps its tokens, so
//! that a later stage can point at the source. The second half of the file has questions about tokens that several
//! stages ask, such as `pointer`.

use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{
    Attribute, GenericArgument, Generics, Member, Path, PathArguments, Type, TypePath, TypeReference, Visibility,
};

use crate::policy::Policy;

/// One `#[derive(Shadow)]`, or one `impl` or `trait` of a `shadow!`.
pub(crate) struct Declaration {
    pub(crate) runtime: Runtime,
    pub(crate) form: Form,
    /// The generics of the host's type, with their `where` clause.
    pub(crate) generics: Generics,
    /// The type of the hosts.
    pub(crate) host: Type,
    /// The `#[cfg]` attributes, for the whole expansion.
    pub(crate) conditions: Vec<Attribute>,
    /// All other attributes, including docs, for the trait, or for the `impl` with the accessors.
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) fields: Vec<Field>,
}

/// The path of the runtime, from `#[shadow(crate = path)]`, or the default.
pub(crate) struct Runtime {
    pub(crate) path: Path,
    pub(crate) is_default: bool,
}

/// The syntactic form of a declaration.
pub(crate) enum Form {
    /// A struct that derives `Shadow`, and the member of type `ShadowFields`; `None` after an error about a missing
    /// member.
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
    /// The `#[shadow(clone)]` of the field: a clone of the host carries the value.
    pub(crate) clone: Option<Attribute>,
}

impl Declaration {
    /// The host type, if the host type is a `&'static T`. Accessors of such a host take and return `'static`
    /// references.
    pub(crate) fn static_ref(&self) -> Option<&TypeReference> {
        match (&self.form, ungroup(&self.host)) {
            (Form::Trait { .. }, Type::Reference(reference)) => Some(reference),
            _ => None,
        }
    }

    /// Whether the host is a `&'static T` or an `Arc<T>` by its tokens, so that no code borrows the host exclusively.
    pub(crate) fn is_shared(&self) -> bool {
        self.static_ref().is_some() || pointer(&self.host).is_some_and(|(name, _)| name == "Arc")
    }
}

impl Field {
    /// The name without `r#`, for messages and as a part of other names.
    pub(crate) fn text(&self) -> String {
        self.name.unraw().to_string()
    }

    /// Whether the user has written this attribute.
    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|own| own.path().is_ident(attribute))
    }

    /// The name of an accessor, with call-site hygiene and the location of the field's name: errors point to the field,
    /// and lints treat the accessor as generated code.
    pub(crate) fn accessor(&self, name: &str) -> Ident {
        Ident::new(name, self.call_site_span())
    }

    /// The accessor with the name of the field.
    pub(crate) fn getter(&self) -> Ident {
        let mut name = self.name.clone();
        name.set_span(self.call_site_span());
        name
    }

    /// The span of generated code for this field.
    pub(crate) fn call_site_span(&self) -> Span {
        Span::call_site().located_at(self.name.span())
    }
}

/// Generics for generated code. The lifetimes have the macro's own span, since lints about the uses of a lifetime in
/// generated code do not concern the user.
pub(crate) fn with_call_site(mut generics: Generics) -> Generics {
    for parameter in generics.lifetimes_mut() {
        let ident = &mut parameter.lifetime.ident;
        ident.set_span(Span::call_site().located_at(ident.span()));
    }
    generics
}

/// `self`, with the hygiene of the initialiser `tokens`: only a `self` parameter with the span of the initialiser's
/// `self` resolves there. The span is that of a `self` in `tokens`, or else of the first token, since `self` may be in
/// a format string.
pub(crate) fn self_in(tokens: &TokenStream) -> Option<Ident> {
    let is_self = |token: &TokenTree| matches!(token, TokenTree::Ident(ident) if ident == "self");
    let origin = find(tokens, &is_self).or_else(|| find(tokens, &|_| true))?;
    Some(Ident::new("self", origin.span()))
}

/// Whether the tokens have the identifier `name`.
pub(crate) fn mentions(tokens: &TokenStream, name: &str) -> bool {
    find(tokens, &|token| matches!(token, TokenTree::Ident(ident) if ident == name)).is_some()
}

/// The first `wanted` token that is not a group, searched depth-first through groups.
fn find(tokens: &TokenStream, wanted: &impl Fn(&TokenTree) -> bool) -> Option<TokenTree> {
    tokens.clone().into_iter().find_map(|token| match token {
        TokenTree::Group(group) => find(&group.stream(), wanted),
        token => wanted(&token).then_some(token),
    })
}

/// The type without parentheses, and without the invisible groups of a `macro_rules!`.
pub(crate) fn ungroup(mut parsed: &Type) -> &Type {
    loop {
        parsed = match parsed {
            Type::Group(group) => &group.elem,
            Type::Paren(paren) => &paren.elem,
            _ => return parsed,
        };
    }
}

/// The name and the argument of an `Arc<T>`, `Rc<T>` or `Shadowed<T>`. A macro sees the tokens of a type, and cannot
/// resolve a path. So only the usual paths of std and of the runtime are recognised, and an alias is not.
pub(crate) fn pointer(host: &Type) -> Option<(&'static str, &Type)> {
    let Type::Path(TypePath { qself: None, path, .. }) = ungroup(host) else { return None };
    let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    let name = match &*names.join("::") {
        "Arc" | "sync::Arc" | "std::sync::Arc" | "alloc::sync::Arc" => "Arc",
        "Rc" | "rc::Rc" | "std::rc::Rc" | "alloc::rc::Rc" => "Rc",
        "Shadowed" | "shadow_runtime::Shadowed" => "Shadowed",
        _ => return None,
    };
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else { return None };
    match arguments.args.first()? {
        GenericArgument::Type(object) if arguments.args.len() == 1 => Some((name, object)),
        _ => None,
    }
}

/// The tokens with `host` for each `Self`, for a context in which `Self` is not the host.
pub(crate) fn replace_self(tokens: TokenStream, host: &Type) -> TokenStream {
    replace(tokens, "Self", &host.to_token_stream())
}

/// The tokens with `by` for each identifier `name`.
pub(crate) fn replace(tokens: TokenStream, name: &str, by: &TokenStream) -> TokenStream {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Ident(ident) if ident == name => by.clone(),
            TokenTree::Group(group) => {
                let inner = replace(group.stream(), name, by);
                let mut replaced = Group::new(group.delimiter(), inner);
                replaced.set_span(group.span());
                TokenTree::Group(replaced).into()
            }
            other => other.into(),
        })
        .collect()
}
