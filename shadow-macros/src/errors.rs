//! The errors of one expansion, collected, for one report of all errors.
//!
//! In: a place in the source, and a message with the correct code. Out: a `compile_error!` for each error. Neighbours:
//! `parse/` and `check.rs`, which report errors; `lib.rs`, the owner of the collection.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// Collects errors. Only [`run`](crate::run) creates an `Errors`, and turns the `Errors` into tokens.
#[derive(Default)]
pub(crate) struct Errors {
    all: Option<syn::Error>,
}

impl Errors {
    /// Reports an error at `place`.
    pub(crate) fn push_at(&mut self, place: impl ToTokens, message: impl std::fmt::Display) {
        self.push(syn::Error::new_spanned(place, message));
    }

    /// Reports an error of the parser.
    pub(crate) fn push(&mut self, error: syn::Error) {
        match &mut self.all {
            Some(all) => all.combine(error),
            None => self.all = Some(error),
        }
    }

    /// The value of `result`; an error is collected.
    pub(crate) fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    pub(crate) fn into_compile_errors(self) -> TokenStream {
        self.all.map(syn::Error::into_compile_error).unwrap_or_default()
    }
}
