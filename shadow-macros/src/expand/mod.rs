//! The code of a declaration: one `const _` with all hidden items, and for a `trait` block a trait beside the `const`.
//!
//! In: a checked declaration. Out: tokens, in this order: the trait, the host of a derive, the field set, the trait
//! impls of the host, the accessors. Neighbours: `accessor/methods.rs`, which writes the trait and the accessors;
//! `lib.rs`, the caller.
//!
//! In the `const`, `__rt` is the runtime's `__private`. All other paths are absolute, and all names of generated items
//! begin with two underscores, but for a name that is a hint. Generated tokens have the macro's own span, so that lints
//! skip generated code. Tokens of the user, and tokens at the target of an error, have the user's span.

mod embedded;
mod field_set;
mod impls;

use proc_macro2::TokenStream;
use quote::quote;

use crate::accessor::{method_impl, trait_item};
use crate::model::Declaration;

pub(crate) fn expand(declaration: &Declaration) -> TokenStream {
    let (conditions, runtime) = (&declaration.conditions, &declaration.runtime.path);
    let hint = declaration.runtime.is_default.then(hint);
    let embedded = embedded::expand(declaration);
    let trait_item = trait_item(declaration);
    let (field_set, impls, accessors) = if declaration.fields.is_empty() {
        (TokenStream::new(), TokenStream::new(), TokenStream::new())
    } else {
        (field_set::expand(declaration), impls::expand(declaration), method_impl(declaration))
    };
    quote! {
        #trait_item

        #(#conditions)*
        const _: () = {
            use #runtime::__private as __rt;
            #hint

            #embedded
            #field_set
            #impls
            #accessors
        };
    }
}

/// A hint for a crate without `::shadow_runtime`.
///
/// If the compiler cannot resolve the import of `__rt`, the compilation ends after name resolution, and the message has
/// no room for a hint. So the hint is a name in a second message. The function `write_attribute_shadow_crate_path` of
/// `__rt` and the module here have the same name. With `__rt`, the expression below resolves to the function. Without
/// `__rt`, the expression resolves to the module, and the compiler reports a name of the wrong kind, and quotes the
/// name.
fn hint() -> TokenStream {
    quote! {
        mod write_attribute_shadow_crate_path {}
        const _: fn() = {
            use __rt::*;
            write_attribute_shadow_crate_path
        };
    }
}
