//! The accessors of a field: what they are called, take and return. One file per policy, each a list;
//! `get_or_update` and `get_or_update(copy)` share theirs.
//!
//! In: a field. Out: its accessors, which `expand/accessors.rs` writes as methods of a type or of a trait.

mod attach;
mod get_or_attach;
mod get_or_update;

use proc_macro2::{Ident, Literal, TokenStream};
use quote::{ToTokens, quote};
use syn::Visibility;

use crate::model::{Declaration, Field, Form, self_in};
use crate::policy::Policy;

/// One method that a field gets.
pub(crate) struct Accessor {
    pub(crate) name: Ident,
    /// What it does, in one line; the user's own docs follow.
    pub(crate) doc: String,
    /// Sections of its docs, after the user's.
    pub(crate) sections: &'static str,
    pub(crate) access: Access,
    pub(crate) visibility: Visibility,
    pub(crate) track_caller: bool,
    pub(crate) generics: TokenStream,
    /// The arguments after `self`, each with its comma.
    pub(crate) arguments: TokenStream,
    pub(crate) output: TokenStream,
    /// The call that it is, with `self` as [`Context::receiver`].
    pub(crate) body: TokenStream,
    /// What `self` is called, which matters where the user's initialiser says `self`.
    pub(crate) receiver: Ident,
}

/// How an accessor borrows its host.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Shared,
    Exclusive,
}

/// The accessors of `field`, which is field number `index` of `declaration`.
pub(crate) fn accessors(declaration: &Declaration, field: &Field, index: usize) -> Vec<Accessor> {
    let fixed = declaration.fixed().is_some();
    let runtime = match &declaration.form {
        Form::Derive { .. } | Form::Impl => quote!(__rt),
        Form::Trait { .. } => declaration.runtime.to_token_stream(),
    };
    let context = Context { declaration, runtime, field, fixed, index };
    match field.policy {
        Policy::Attach => attach::accessors(&context),
        Policy::GetOrAttach => get_or_attach::accessors(&context),
        Policy::GetOrUpdate | Policy::GetOrUpdateCopy => get_or_update::accessors(&context),
    }
}

/// What the files of this folder write their lists with.
struct Context<'a> {
    declaration: &'a Declaration,
    /// Where the runtime is in a signature: that of a trait stands outside of what knows `__rt`.
    runtime: TokenStream,
    field: &'a Field,
    /// Whether the host is a `&'static T`: then what is returned is `'static`, and nothing is exclusive.
    fixed: bool,
    index: usize,
}

impl Context<'_> {
    /// An accessor that takes and returns nothing yet.
    fn accessor(&self, access: Access, name: Ident, does: &str) -> Accessor {
        let word = self.field.word();
        Accessor {
            name,
            doc: does.replace("{}", &format!("`{word}`")),
            sections: "",
            access,
            visibility: self.field.visibility.clone(),
            track_caller: false,
            generics: TokenStream::new(),
            arguments: TokenStream::new(),
            output: TokenStream::new(),
            body: TokenStream::new(),
            receiver: self.receiver(),
        }
    }

    /// `f_mut(&mut self) -> Option<&mut V>`, where there is nothing to attach.
    fn get_mut(&self) -> Accessor {
        let value = &self.field.value;
        let does = "The shadow field {}, to be changed, if it is attached.";
        Accessor {
            output: quote!(::core::option::Option<&mut #value>),
            body: self.call(Access::Exclusive, "get_mut", &TokenStream::new()),
            ..self.accessor(Access::Exclusive, self.named("", "_mut"), does)
        }
    }

    /// `detach_f(&mut self) -> Option<V>`
    fn detach(&self) -> Accessor {
        let value = &self.field.value;
        let does = "Detaches the shadow field {} and returns its value, if it is attached.";
        Accessor {
            output: quote!(::core::option::Option<#value>),
            body: self.call(Access::Exclusive, "detach", &TokenStream::new()),
            ..self.accessor(Access::Exclusive, self.named("detach_", ""), does)
        }
    }

    fn named(&self, prefix: &str, suffix: &str) -> Ident {
        self.field.accessor(&format!("{prefix}{}{suffix}", self.field.word()))
    }

    /// `&V`, or `&'static V`.
    fn shared_value(&self) -> TokenStream {
        let value = &self.field.value;
        if self.fixed { quote!(&'static #value) } else { quote!(&#value) }
    }

    /// A call of the runtime's function for this field, with `self` and then `arguments`.
    fn call(&self, access: Access, function: &str, arguments: &TokenStream) -> TokenStream {
        self.call_inferring(&quote!(_), access, function, arguments)
    }

    /// The same, for a function that has other type parameters than the host to be inferred.
    fn call_inferring(
        &self,
        inferred: &TokenStream,
        access: Access,
        function: &str,
        arguments: &TokenStream,
    ) -> TokenStream {
        let fixed = self.fixed;
        let receiver = self.receiver();
        let host = match access {
            Access::Exclusive if fixed => return quote!(__rt::never_called()),
            Access::Shared if fixed => quote!(__rt::Fixed::of(#receiver)),
            _ => receiver.to_token_stream(),
        };
        let module = self.field.accessor(self.field.policy.module());
        let function = self.field.accessor(function);
        let index = Literal::usize_unsuffixed(self.index);
        quote!(__rt::#module::#function::<__Declaration, #index, #inferred>(#host #arguments))
    }

    /// The field's getter as a path, so that no method of the same name comes before it.
    fn getter_path(&self) -> TokenStream {
        let getter = self.field.getter();
        match &self.declaration.form {
            Form::Derive { .. } | Form::Impl => quote!(Self::#getter),
            Form::Trait { name, .. } => {
                let (_, generics, _) = self.declaration.generics.split_for_impl();
                quote!(<Self as #name #generics>::#getter)
            }
        }
    }

    /// `self`; if there is an initialiser, then as it would say it.
    fn receiver(&self) -> Ident {
        let own = || Ident::new("self", proc_macro2::Span::call_site());
        self.field.initialiser.as_ref().and_then(self_in).unwrap_or_else(own)
    }
}
