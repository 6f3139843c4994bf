//! The code of a declaration: one `const _` with all hidden items, and for a `trait` block a trait beside the `const`.
//!
//! In: a checked declaration. Out: tokens, in this order: the trait, the host of a derive, the field set, the ties
//! between fields and host, the accessors.
//!
//! In the `const`, `__rt` is the runtime's `__private`. All other paths are absolute, and all names of generated items
//! begin with two underscores. Generated tokens have the macro's own span, so that lints skip generated code. Tokens of
//! the user, and tokens at the target of an error, have the user's span.

mod accessors;
mod embedded;
mod field_set;
mod ties;

use proc_macro2::TokenStream;
use quote::quote;

use crate::model::Declaration;

pub(crate) fn expand(declaration: &Declaration) -> TokenStream {
    let (conditions, runtime) = (&declaration.conditions, &declaration.runtime);
    let embedded = embedded::expand(declaration);
    let trait_item = accessors::trait_item(declaration);
    let (field_set, ties, accessors) = if declaration.fields.is_empty() {
        (TokenStream::new(), TokenStream::new(), TokenStream::new())
    } else {
        (field_set::expand(declaration), ties::expand(declaration), accessors::expand(declaration))
    };
    quote! {
        #trait_item

        #(#conditions)*
        const _: () = {
            use #runtime::__private as __rt;

            #embedded
            #field_set
            #ties
            #accessors
        };
    }
}
