//! The host of a derive: the traits by which the runtime finds the `ShadowFields` of the struct.
//!
//! In: a declaration, of a derive. Out: impls of `Embeds`, `Host` and `ExclusiveHost`. Neighbour: `host/embedded.rs` of
//! the runtime, with the functions that the methods call.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::model::{Declaration, Form};

pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Form::Derive { member } = &declaration.form else { return TokenStream::new() };
    let Declaration { host, generics, .. } = declaration;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    // The parser has reported a missing member. The struct is a host anyway, to avoid further errors.
    let (fields, fields_mut) = match member {
        Some(member) => (
            quote_spanned!(Span::call_site().located_at(member.span())=> __rt::embedded::exactly(&__host.#member)),
            quote!(::core::option::Option::Some(&mut __host.#member)),
        ),
        None => (quote!(loop {}), quote!(loop {})),
    };
    quote! {
        #[automatically_derived]
        impl #impl_generics __rt::embedded::Embeds for #host #where_clause {
            #[inline]
            fn fields(__host: &Self) -> &__rt::ShadowFields {
                #fields
            }
        }
        #[automatically_derived]
        // SAFETY: P1 to P3 hold, since all methods act on the same `ShadowFields`, a member of the host.
        unsafe impl #impl_generics __rt::Host for #host #where_clause {
            #[inline]
            fn find<__S: __rt::FieldSet + 'static>(__host: &Self) -> ::core::option::Option<__rt::Found<'_, __S>> {
                __rt::embedded::find(__host)
            }
            #[inline]
            fn find_or_insert<__S: __rt::FieldSet + 'static>(__host: &Self) -> &__S {
                __rt::embedded::find_or_insert(__host)
            }
            #[inline]
            fn new_first<__S: __rt::FieldSet + 'static>(
                __host: &Self,
            ) -> ::core::option::Option<__rt::Unpublished<__S>> {
                __rt::embedded::new_first(__host)
            }
            #[inline]
            unsafe fn insert_first<__S: __rt::FieldSet + 'static>(
                __host: &Self,
                __new: __rt::Unpublished<__S>,
            ) -> ::core::result::Result<&__S, __rt::Unpublished<__S>> {
                // SAFETY: by the contract `__new` comes from `new_first` of this host, with a ready first cell.
                unsafe { __rt::embedded::insert_first(__host, __new) }
            }
            #[inline]
            fn identity(__host: &Self) -> __rt::Identity {
                __rt::embedded::identity(__host)
            }
            #[inline]
            fn fields_mut(__host: &mut Self) -> ::core::option::Option<&mut __rt::ShadowFields> {
                #fields_mut
            }
        }
        #[automatically_derived]
        impl #impl_generics __rt::ExclusiveHost for #host #where_clause {}
    }
}
