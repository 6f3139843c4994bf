//! The field set: the hidden struct with one cell per field, and its implementation of the runtime's `FieldSet`.
//!
//! In: a declaration with at least one field. Out: the types `__Declaration` and `__FieldSet…`. Neighbours: `impls.rs`,
//! which relates the host to these types; `field_set.rs` of the runtime, the trait.
//!
//! The name of a field set lists the policies and the names of the fields. For a debugger, the constants `_` of a
//! module are one scope, so two types of the scope differ by their names alone. With the value types, which are generic
//! arguments, the name determines the layout. So a debugger finds the layout of a set by the name
//! (`debugger/gdb.py` of the runtime's core).
//!
//! A field set is generic over the value types alone, so that the host's generics and lifetimes do not reach the field
//! set. The cells are in the order of the declaration, since the runtime has a shortcut for the first cell.

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{GenericParam, Type};

use crate::model::{Declaration, Field, mentions};
use crate::type_text::type_text;

pub(super) fn expand(declaration: &Declaration) -> TokenStream {
    let Declaration { host, fields, .. } = declaration;
    let values: Vec<Ident> = (0..fields.len()).map(value_parameter).collect();
    let members: Vec<Ident> = fields.iter().map(Field::getter).collect();
    let cells: Vec<Ident> = fields.iter().map(|field| field.policy.cell()).collect();
    let count = fields.len();
    let set = name(declaration);
    let arguments = fields.iter().zip(&values).map(|field| argument(field, declaration));
    let (arguments, parameters): (Vec<_>, Vec<_>) = arguments.unzip();
    let parameters = parameters.into_iter().flatten();
    let clone_carried = clone_carried(fields, &arguments);
    let host = type_text(host);
    let declared = fields.iter().zip(&cells).map(|(field, policy)| {
        let (name, value) = (field.text(), type_text(&field.value));
        let size = size_of_value(declaration, &field.value);
        // The span of the user's field: `Field::new` records the location of its caller.
        quote_spanned! {field.name.span()=>
            __rt::Field::new(::core::module_path!(), #host, #name, #value, __rt::Policy::#policy, #size)
        }
    });
    quote! {
        struct __Declaration;

        #[repr(C)]
        pub struct #set<#(#values),*> {
            #(#members: __rt::#cells<#values>,)*
        }

        #[automatically_derived]
        // SAFETY: D1 to D3 hold. `init` initialises every member, and all members are cells. `each` and `each_mut`
        // visit every member once, in the order of `FIELDS`, a static with one item per member.
        unsafe impl<#(#parameters),*> __rt::FieldSet for #set<#(#arguments),*> {
            unsafe fn init(__place: *mut Self) {
                #(
                    // SAFETY: by the contract of `init`, `__place` is valid for writes of the set, and so of the
                    // member.
                    unsafe { __rt::#cells::init(&raw mut (*__place).#members) };
                )*
            }
            fn fields() -> &'static [__rt::Field] {
                static FIELDS: [__rt::Field; #count] = [#(#declared,)*];
                &FIELDS
            }
            fn each(&self, __visit: &mut dyn ::core::ops::FnMut(&dyn __rt::FieldCell)) {
                #(__visit(&self.#members);)*
            }
            fn each_mut(&mut self, __visit: &mut dyn ::core::ops::FnMut(&mut dyn __rt::FieldCell)) {
                #(__visit(&mut self.#members);)*
            }
            #clone_carried
        }
    }
}

/// The impl's argument of the field set for a field, and whether the argument is a parameter of the impl, which may
/// have a bound.
///
/// A value that is cloned is the argument itself, so that a missing `Clone` is one error at the type of the value. If
/// the value depends on a parameter of the host, the bound of a parameter is required where the host names the set.
fn argument((field, value): (&Field, &Ident), declaration: &Declaration) -> (TokenStream, Option<TokenStream>) {
    if field.clone.is_none() {
        return (quote!(#value), Some(quote!(#value)));
    }
    if depends_on_host(declaration, &field.value) {
        let bound = Ident::new(field.policy.clone_bound().0, Span::call_site());
        return (quote!(#value), Some(quote!(#value: __rt::#bound)));
    }
    (field.value.to_token_stream(), None)
}

/// The function that clones the fields with `#[shadow(clone)]`, in the order of the declaration. `arguments` are those
/// of [`argument`]. The name of the function that clones a value is in a closure: as an argument, the function would be
/// a second place at which the compiler reports a missing bound.
fn clone_carried(fields: &[Field], arguments: &[TokenStream]) -> Option<TokenStream> {
    let clones = fields.iter().zip(arguments).enumerate().filter(|(_, (field, _))| field.clone.is_some());
    let clones = clones.map(|(index, (field, argument))| {
        let (member, cell, index) = (field.getter(), field.policy.cell(), Literal::usize_unsuffixed(index));
        let (bound, function) = field.policy.clone_bound();
        let (bound, function) = (Ident::new(bound, Span::call_site()), Ident::new(function, Span::call_site()));
        quote! {
            __rt::#cell::clone_into(
                &__set.#member,
                |__value| <#argument as __rt::#bound>::#function(__value),
                &<Self as __rt::FieldSet>::fields()[#index],
                || &mut __new.set_mut().#member,
            );
        }
    });
    let clones: Vec<TokenStream> = clones.collect();
    (!clones.is_empty()).then(|| {
        quote! {
            const CLONE_CARRIED: ::core::option::Option<__rt::CloneCarried<Self>> =
                ::core::option::Option::Some(|__set, __new| {
                    #(#clones)*
                });
        }
    })
}

/// The size of the value, for the report. A field set has one static for all its value types, so a type that depends on
/// a parameter of the host has no size there.
fn size_of_value(declaration: &Declaration, value: &Type) -> TokenStream {
    if depends_on_host(declaration, value) {
        quote!(::core::option::Option::None)
    } else {
        quote!(::core::option::Option::Some(::core::mem::size_of::<#value>()))
    }
}

/// Whether the type of a value has another meaning outside of an `impl` for the host.
pub(super) fn depends_on_host(declaration: &Declaration, value: &Type) -> bool {
    let tokens = value.to_token_stream();
    let mut parameters = declaration.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Const(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) => None,
    });
    mentions(&tokens, "Self") || parameters.any(|parameter| mentions(&tokens, &parameter.to_string()))
}

/// The type parameter of the field set for the value of field number `index`.
fn value_parameter(index: usize) -> Ident {
    Ident::new(&format!("__V{index}"), Span::call_site())
}

/// The most characters of a name of a field set. A longer name ends with a hash: symbols contain the name.
const LONGEST: usize = 64;

/// The name of the field set: the initials of the policy and the name of each field, as in `_GOA_lock`.
pub(super) fn name(declaration: &Declaration) -> Ident {
    let fields = declaration.fields.iter().map(|field| {
        let mut policy = field.policy.cell().to_string();
        policy.retain(char::is_uppercase);
        format!("_{policy}_{}", field.text())
    });
    Ident::new(&shortened(format!("__FieldSet{}", fields.collect::<String>())), Span::call_site())
}

/// Replaces the end of a long name by a hash of the name.
fn shortened(name: String) -> String {
    if name.chars().count() <= LONGEST {
        return name;
    }
    // FNV-1a: the hash must be the same in each build.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let start: String = name.chars().take(LONGEST - 17).collect();
    format!("{start}_{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, shortened};

    #[test]
    fn a_long_name_is_cut_and_two_long_names_stay_two() {
        let short = "é".repeat(LONGEST);
        assert_eq!(shortened(short.clone()), short);
        let long = ["a", "b"].map(|end| shortened(short.clone() + end));
        assert!(long.iter().all(|name| name.chars().count() == LONGEST), "{long:?}");
        assert_ne!(long[0], long[1]);
    }
}
