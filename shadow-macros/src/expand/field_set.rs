//! The field set: the hidden struct with one cell per field, and what the runtime asks of it.
//!
//! It is generic over its value types alone, so that neither the host's generics nor what they borrow reach it.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};

use crate::model::Declaration;
use crate::words::words;

pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Declaration { runtime, host, fields, .. } = declaration;
    let values: Vec<Ident> = (0..fields.len()).map(value_parameter).collect();
    let members: Vec<Ident> = fields.iter().map(super::super::model::Field::getter).collect();
    let cells: Vec<Ident> = fields.iter().map(|field| field.policy.cell()).collect();
    let count = fields.len();
    let host = words(host);
    let declared = fields.iter().zip(&cells).map(|(field, policy)| {
        let (name, value) = (field.word(), words(&field.value));
        // All of the call has the span of the user's name for the field: `Field::new` notes where it is called.
        let runtime_here = respan(runtime.to_token_stream(), field.name.span());
        quote_spanned! {field.name.span()=>
            #runtime_here::__private::Field::new(#host, #name, #value, #runtime_here::__private::Policy::#policy)
        }
    });
    quote! {
        struct __Declaration;

        pub struct __FieldSet<#(#values),*> {
            #(#members: #runtime::__private::#cells<#values>,)*
        }

        #[automatically_derived]
        impl<#(#values: 'static),*> #runtime::__private::FieldSet for __FieldSet<#(#values),*> {
            fn empty() -> Self {
                Self { #(#members: #runtime::__private::#cells::new(),)* }
            }
            fn fields() -> &'static [#runtime::__private::Field] {
                static FIELDS: [#runtime::__private::Field; #count] = [#(#declared,)*];
                &FIELDS
            }
            fn each(&self, __visit: &mut dyn ::core::ops::FnMut(&dyn #runtime::__private::Cell)) {
                #(__visit(&self.#members);)*
            }
            fn each_mut(&mut self, __visit: &mut dyn ::core::ops::FnMut(&mut dyn #runtime::__private::Cell)) {
                #(__visit(&mut self.#members);)*
            }
        }
    }
}

/// The field set's type parameter for the value of field number `index`.
fn value_parameter(index: usize) -> Ident {
    Ident::new(&format!("__V{index}"), Span::call_site())
}

fn respan(tokens: TokenStream, span: Span) -> TokenStream {
    let respan = |mut token: TokenTree| {
        token.set_span(span);
        token
    };
    tokens.into_iter().map(respan).collect()
}
