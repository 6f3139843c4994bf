//! The code of accessors, as methods of the host's own type, or of the declared trait.
//!
//! In: a declaration. Out: the declared trait, and the `impl` with the methods. Neighbours: `mod.rs`, with the
//! accessors of a field; `expand/mod.rs`, the caller.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::Visibility;
use syn::spanned::Spanned;

use crate::accessor::{Access, Accessor, accessors};
use crate::model::{Declaration, Field, Form};
use crate::type_text::type_text;

/// The `impl` with the accessors.
pub(crate) fn method_impl(declaration: &Declaration) -> TokenStream {
    let Declaration { host, generics, attributes, .. } = declaration;
    let (impl_generics, type_generics, where_clause) = generics.split_for_impl();
    let methods = each(declaration, |field, accessor| {
        let (signature, body) = (signature(declaration, field, accessor, &TokenStream::new()), &accessor.body);
        let documentation = match declaration.form {
            Form::Trait { .. } => None,
            Form::Derive { .. } | Form::Impl => Some(documentation(declaration, field, accessor)),
        };
        let inline = (!field.has("inline")).then(|| quote!(#[inline]));
        quote! {
            #documentation
            #inline
            #signature {
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
pub(crate) fn trait_item(declaration: &Declaration) -> TokenStream {
    let Form::Trait { visibility, name } = &declaration.form else { return TokenStream::new() };
    let Declaration { host, generics, conditions, attributes, .. } = declaration;
    let runtime = &declaration.runtime.path;
    let where_clause = &generics.where_clause;
    let documented = attributes.iter().any(|attribute| attribute.path().is_ident("doc"));
    let own_docs = (!documented).then(|| {
        let text = format!("Shadow fields of `{}`.", type_text(host));
        quote!(#[doc = #text])
    });
    let methods = each(declaration, |field, accessor| {
        let documentation = documentation(declaration, field, accessor);
        // The impl has no such bound, so the compiler checks the bound at a call of the accessor, and not at the
        // declaration, which may be for a shared host.
        let bound = match accessor.access {
            Access::Exclusive => quote_spanned!(field.call_site_span()=> Self: #runtime::ExclusiveHost),
            Access::Shared => TokenStream::new(),
        };
        let signature = signature(declaration, field, accessor, &bound);
        quote!(#documentation #signature;)
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

/// The docs of an accessor (the user's docs, what the accessor does, the sections), and the other attributes of the
/// field.
fn documentation(declaration: &Declaration, field: &Field, accessor: &Accessor) -> TokenStream {
    let Field { docs, attributes, .. } = field;
    let Accessor { does, sections, .. } = accessor;
    let gap = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
    let sections = (!sections.is_empty()).then(|| quote!(#[doc = ""] #[doc = #sections]));
    // No call of an exclusive accessor of a shared host compiles. The accessor exists for the sake of the message.
    let is_hidden = accessor.access == Access::Exclusive && declaration.is_shared();
    let hidden = is_hidden.then(|| quote!(#[doc(hidden)]));
    let name = field.text();
    let aliases = accessor.aliases.iter().map(|alias| alias.replace("{}", &name));
    quote!(#(#docs)* #gap #[doc = #does] #sections #(#[doc(alias = #aliases)])* #hidden #(#attributes)*)
}

/// `visibility fn name<generics>(self, arguments) -> output`, and `where bound` in a declared trait.
///
/// All tokens but types have the location of the field's name. The signature ends with a `where`, even an empty one, so
/// that the signature begins and ends at the name, and the compiler points to the name.
fn signature(declaration: &Declaration, field: &Field, accessor: &Accessor, bound: &TokenStream) -> TokenStream {
    let Accessor { name, generics, arguments, output, receiver, access, .. } = accessor;
    let span = field.call_site_span();
    let track_caller = accessor.track_caller.then(|| quote!(#[track_caller]));
    let mut visibility = accessor.visibility.clone();
    match &mut visibility {
        Visibility::Public(public) => public.span = span,
        Visibility::Restricted(restricted) => restricted.pub_token.span = span,
        Visibility::Inherited => {}
    }
    let borrow = match access {
        Access::Shared if declaration.static_ref().is_some() => None,
        Access::Shared => Some(quote_spanned!(span=> &)),
        Access::Exclusive => Some(quote_spanned!(span=> &mut)),
    };
    quote_spanned! {span=>
        #track_caller #visibility fn #name #generics(#borrow #receiver, #arguments) -> #output where #bound
    }
}

/// Refuses a zero-sized static at the declaration, if the declaration has no generics. For a generic type, the runtime
/// refuses the static on use.
fn refuse_zero_sized(declaration: &Declaration) -> Option<TokenStream> {
    let object = &declaration.static_ref()?.elem;
    let known = declaration.generics.params.is_empty();
    known.then(|| quote_spanned!(object.span()=> const _: () = __rt::refuse_zero_sized::<#object>();))
}
