//! What makes a struct that derives `Shadow` a host: the runtime learns where its `ShadowFields` are.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::parse_quote;
use syn::spanned::Spanned;

use crate::model::{Declaration, Form};

pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Form::Derive { member } = &declaration.form else { return TokenStream::new() };
    let Declaration { host, generics, .. } = declaration;
    let (impl_generics, _, where_clause) = generics.split_for_impl();
    let mut exclusive_generics = generics.clone();
    exclusive_generics.params.insert(0, parse_quote!('__unused));
    let (exclusive_generics, ..) = exclusive_generics.split_for_impl();
    // Without a member there is an error already; the host is there all the same, so that nothing else fails.
    let (fields, fields_mut) = match member {
        Some(member) => (
            quote_spanned!(Span::call_site().located_at(member.span())=> __rt::embedded::exactly(&__host.#member)),
            quote!(&mut __host.#member),
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
        impl #impl_generics __rt::Host for #host #where_clause {
            #[inline]
            fn look<__S: __rt::FieldSet + 'static>(__host: &Self) -> ::core::option::Option<&__S> {
                __rt::embedded::look(__host)
            }
            #[inline]
            fn reach<__S: __rt::FieldSet + 'static>(__host: &Self) -> &__S {
                __rt::embedded::reach(__host)
            }
            #[inline]
            fn embedded(__host: &Self) -> ::core::option::Option<&__rt::ShadowFields> {
                ::core::option::Option::Some(<Self as __rt::embedded::Embeds>::fields(__host))
            }
            #[inline]
            fn identity(__host: &Self) -> __rt::Identity {
                __rt::embedded::identity(__host)
            }
        }
        #[automatically_derived]
        impl #exclusive_generics __rt::ExclusiveHost<'__unused> for #host #where_clause {
            #[inline]
            fn fields_mut(__host: &mut Self) -> &mut __rt::ShadowFields {
                #fields_mut
            }
        }
    }
}
