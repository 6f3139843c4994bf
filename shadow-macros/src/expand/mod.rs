//! From the model to tokens: one `const _` that holds all that is hidden, and a trait beside it if one was declared.
//!
//! In: a declaration that was checked. Out: what this file's [`expand`] puts together, in this order: the field set,
//! the host of a derive, the facts that tie fields to the host, the accessors.
//!
//! `__rt` is the runtime's `__private` in there. All other names are absolute, and those that generated code introduces
//! begin with two underscores. Spans are the macro's own, so that no lint looks at generated code, but for what the
//! user wrote, and where an error is to point.

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
