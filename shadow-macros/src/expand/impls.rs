//! The trait impls of the host: `Declares` names the field set, and one trait per field names its policy and its value
//! type.
//!
//! In: a declaration with at least one field. Out: the impls. Neighbours: `field_set.rs`, the field set; `accessor/` of
//! the runtime, with the trait of each policy.
//!
//! Only `type Value = ...` requires the bounds of the policy. So the compiler reports an unfit value type once, at the
//! type in the user's source.

use proc_macro2::{Literal, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Type, TypeParamBound};

use crate::expand::field_set::depends_on_host;
use crate::model::{Declaration, Field, mentions, replace_self};

pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Declaration { generics, fields, .. } = declaration;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let host = host(declaration);
    let values: Vec<TokenStream> = fields.iter().map(|field| value(declaration, field)).collect();
    let field_impls = fields.iter().zip(&values).enumerate().map(|(index, (field, value))| {
        let (field_trait, cell, member) = (field.policy.field_trait(), field.policy.cell(), field.getter());
        let index = Literal::usize_unsuffixed(index);
        quote! {
            #[automatically_derived]
            // SAFETY: `cell` and `cell_mut` always return the same member of the field set. Members are in the order of
            // the fields, and the set is `repr(C)`, so the cell of field 0 is the first cell.
            unsafe impl #impl_generics __rt::#field_trait<__Declaration, #index> for #host #where_clause {
                type Value = #value;
                #[inline]
                fn cell(__set: &<Self as __rt::Declares<__Declaration>>::Set) -> &__rt::#cell<Self::Value> {
                    &__set.#member
                }
                #[inline]
                fn cell_mut(__set: &mut <Self as __rt::Declares<__Declaration>>::Set) -> &mut __rt::#cell<Self::Value> {
                    &mut __set.#member
                }
            }
        }
    });
    let set = set(declaration, &values);
    let carries = fields.iter().any(|field| field.clone.is_some()).then(|| {
        quote! {
            #[automatically_derived]
            impl #impl_generics __rt::Carries<__Declaration> for #host #where_clause {}
        }
    });
    quote! {
        #[automatically_derived]
        impl #impl_generics __rt::Declares<__Declaration> for #host #where_clause {
            type Set = #set;
        }
        #(#field_impls)*
        #carries
    }
}

/// The field set of these values. If the bound `'static` of a type parameter is missing, or the bound of a value with
/// `#[shadow(clone)]` that depends on a parameter, the compiler points to this type, from the first token to the last.
/// So the tokens have the locations of the values of such parameters and fields.
fn set(declaration: &Declaration, values: &[TokenStream]) -> TokenStream {
    let is_static =
        |bound: &TypeParamBound| matches!(bound, TypeParamBound::Lifetime(bound) if bound.ident == "static");
    let parameters = declaration.generics.type_params().filter(|parameter| !parameter.bounds.iter().any(is_static));
    let users = parameters.filter_map(|parameter| {
        let name = parameter.ident.to_string();
        values.iter().position(|value| mentions(value, &name))
    });
    let clones = (0..values.len()).filter(|&index| {
        let field = &declaration.fields[index];
        field.clone.is_some() && depends_on_host(declaration, &field.value)
    });
    let users: Vec<usize> = users.chain(clones).collect();
    let span = |user: Option<&usize>, token: fn(TokenStream) -> Option<TokenTree>| {
        let token = user.and_then(|user| token(values[*user].clone()));
        token.map_or_else(Span::call_site, |token| Span::call_site().located_at(token.span()))
    };
    let first = span(users.iter().min(), |value| value.into_iter().next());
    let last = span(users.iter().max(), |value| value.into_iter().last());
    let mut name = super::field_set::name(declaration);
    name.set_span(first);
    let end = quote_spanned!(last=> >);
    quote!(#name<#(#values),* #end)
}

/// The host type of the runtime: `StaticHost<T>` for a `&'static T`, and otherwise the declared type.
fn host(declaration: &Declaration) -> TokenStream {
    match declaration.static_ref() {
        Some(reference) => {
            let object: &Type = &reference.elem;
            quote!(__rt::StaticHost<#object>)
        }
        None => declaration.host.to_token_stream(),
    }
}

/// The type of a value. An impl for a `&'static T` replaces `Self`, which would be the runtime's `StaticHost<T>`.
fn value(declaration: &Declaration, field: &Field) -> TokenStream {
    let value = field.value.to_token_stream();
    if declaration.static_ref().is_some() { replace_self(value, &declaration.host) } else { value }
}
