//! The accessors: methods of the host's own type, or of the declared trait.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::accessor::{Access, Accessor, accessors};
use crate::model::{Declaration, Field, Form};
use crate::words::words;

/// The `impl` with the accessors.
pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Declaration { host, generics, attributes, .. } = declaration;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let methods = each(declaration, |field, accessor| {
        let (head, body) = (head(declaration, accessor), &accessor.body);
        let documentation = match declaration.form {
            Form::Trait { .. } => None,
            Form::Derive { .. } | Form::Impl => Some(documentation(field, accessor)),
        };
        let inline = (!field.has("inline")).then(|| quote!(#[inline]));
        quote! {
            #documentation
            #inline
            #head {
                #body
            }
        }
    });
    let head = match &declaration.form {
        Form::Trait { name, .. } => quote!(impl #impl_generics #name #type_generics for #host),
        Form::Derive { .. } | Form::Impl => quote!(#(#attributes)* impl #impl_generics #host),
    };
    let lints = lints(declaration);
    let refuse_zero_sized = refuse_zero_sized(declaration);
    quote! {
        #lints
        #head #where_clause {
            #methods
        }
        #refuse_zero_sized
    }
}

/// Attributes against the lints that also check generated code.
fn lints(declaration: &Declaration) -> TokenStream {
    let mut all = declaration.attributes.iter().chain(declaration.fields.iter().flat_map(|field| &field.attributes));
    // Accessors call one another, and implement the trait.
    let deprecated = all.any(|attribute| attribute.path().is_ident("deprecated")).then(|| quote!(#[allow(deprecated)]));
    match declaration.form {
        Form::Trait { .. } => quote!(#deprecated),
        Form::Derive { .. } | Form::Impl => {
            quote!(#deprecated #[allow(clippy::impl_trait_in_params, reason = "it reads better in the docs")])
        }
    }
}

/// The declared trait, for a `trait` block.
pub(super) fn trait_item(declaration: &Declaration) -> TokenStream {
    let Form::Trait { visibility, name } = &declaration.form else { return TokenStream::new() };
    let Declaration { host, generics, conditions, attributes, .. } = declaration;
    let where_clause = &generics.where_clause;
    let documented = attributes.iter().any(|attribute| attribute.path().is_ident("doc"));
    let own_docs = (!documented).then(|| {
        let text = format!("Shadow fields of `{}`.", words(host));
        quote!(#[doc = #text])
    });
    let methods = each(declaration, |field, accessor| {
        let (documentation, head) = (documentation(field, accessor), head(declaration, accessor));
        quote!(#documentation #head;)
    });
    let lints = lints(declaration);
    quote! {
        #(#conditions)*
        #(#attributes)*
        #own_docs
        #lints
        #visibility trait #name #generics: ::core::marker::Sized #where_clause {
            #methods
        }
    }
}

/// The tokens that `write` returns for all accessors of all fields.
fn each(declaration: &Declaration, write: impl Fn(&Field, &Accessor) -> TokenStream) -> TokenStream {
    let mut tokens = TokenStream::new();
    for (index, field) in declaration.fields.iter().enumerate() {
        let accessors = accessors(declaration, field, index);
        tokens.extend(accessors.iter().map(|accessor| write(field, accessor)));
    }
    tokens
}

/// The docs of an accessor (the one-line summary, the user's docs, the sections), and the other attributes of the
/// field.
fn documentation(field: &Field, accessor: &Accessor) -> TokenStream {
    let (docs, attributes, doc) = (&field.docs, &field.attributes, &accessor.doc);
    let gap = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
    let sections = (!accessor.sections.is_empty()).then(|| {
        let sections = accessor.sections;
        quote!(#[doc = ""] #[doc = #sections])
    });
    quote!(#[doc = #doc] #gap #(#docs)* #sections #(#attributes)*)
}

/// `fn name<generics>(self, arguments) -> output where ...`
fn head(declaration: &Declaration, accessor: &Accessor) -> TokenStream {
    let Accessor { name, generics, arguments, output, receiver, .. } = accessor;
    let runtime = &declaration.runtime;
    let fixed = declaration.fixed().is_some();
    let derived = matches!(declaration.form, Form::Derive { .. });
    let track_caller = accessor.track_caller.then(|| quote!(#[track_caller]));
    let (borrow, bound) = match accessor.access {
        Access::Shared if fixed => (None, None),
        Access::Shared => (Some(quote!(&)), None),
        // The `for<'__unused>` makes the bound generic. So the compiler checks the bound at a call of the accessor, and
        // not at the declaration, which may be for a shared host, or for a type that is not a host.
        Access::Exclusive => {
            let bound = (!derived).then(|| quote!(where for<'__unused> Self: #runtime::ExclusiveHost<'__unused>));
            (Some(quote!(&mut)), bound)
        }
    };
    let visibility = &accessor.visibility;
    quote!(#track_caller #visibility fn #name #generics(#borrow #receiver, #arguments) -> #output #bound)
}

/// Refuses a zero-sized static at the declaration, if the declaration has no generics. For a generic type, the runtime
/// refuses the static on use.
fn refuse_zero_sized(declaration: &Declaration) -> Option<TokenStream> {
    let object = &declaration.fixed()?.elem;
    let known = declaration.generics.params.is_empty();
    known.then(|| quote_spanned!(object.span()=> const _: () = __rt::refuse_zero_sized::<#object>();))
}
