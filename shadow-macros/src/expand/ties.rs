//! What ties the fields to their host: that it has this field set, and what each field's value is.
//!
//! `type Value = ...` is the one place where the compiler asks whether a value is fit for its policy; so one that is
//! not is reported once, where the user wrote it.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::Type;

use crate::model::{Declaration, Field, replace_self};

pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Declaration { generics, fields, .. } = declaration;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let host = host(declaration);
    let values: Vec<TokenStream> = fields.iter().map(|field| value(declaration, field)).collect();
    let ties = fields.iter().zip(&values).enumerate().map(|(index, (field, value))| {
        let (field_trait, cell, member) = (field.policy.field_trait(), field.policy.cell(), field.getter());
        let index = Literal::usize_unsuffixed(index);
        quote! {
            #[automatically_derived]
            // SAFETY: each of these gives out one member of the field set, the same each time, and members are in the
            // order of the fields.
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
    quote! {
        #[automatically_derived]
        impl #impl_generics __rt::Declares<__Declaration> for #host #where_clause {
            type Set = __FieldSet<#(#values),*>;
        }
        #(#ties)*
    }
}

/// The type that the runtime takes for the host: of a `&'static T`, what it refers to.
fn host(declaration: &Declaration) -> TokenStream {
    match declaration.fixed() {
        Some(reference) => {
            let object: &Type = &reference.elem;
            quote!(__rt::Fixed<#object>)
        }
        None => declaration.host.to_token_stream(),
    }
}

/// The type of a value. In a tie of a `&'static T`, `Self` would be the runtime's type instead.
fn value(declaration: &Declaration, field: &Field) -> TokenStream {
    let value = field.value.to_token_stream();
    if declaration.fixed().is_some() { replace_self(value, &declaration.host) } else { value }
}
