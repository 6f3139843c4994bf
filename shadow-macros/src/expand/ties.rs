//! The ties: the traits that connect the fields with their host, by field set, policy and value type.
//!
//! Only `type Value = ...` requires the bounds of the policy. So the compiler reports an unfit value type once, at the
//! type in the user's source.

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
    quote! {
        #[automatically_derived]
        impl #impl_generics __rt::Declares<__Declaration> for #host #where_clause {
            type Set = __FieldSet<#(#values),*>;
        }
        #(#ties)*
    }
}

/// The host type of the runtime: `Fixed<T>` for a `&'static T`, and otherwise the declared type.
fn host(declaration: &Declaration) -> TokenStream {
    match declaration.fixed() {
        Some(reference) => {
            let object: &Type = &reference.elem;
            quote!(__rt::Fixed<#object>)
        }
        None => declaration.host.to_token_stream(),
    }
}

/// The type of a value. A tie of a `&'static T` replaces `Self`, which would be the runtime's `Fixed<T>`.
fn value(declaration: &Declaration, field: &Field) -> TokenStream {
    let value = field.value.to_token_stream();
    if declaration.fixed().is_some() { replace_self(value, &declaration.host) } else { value }
}
