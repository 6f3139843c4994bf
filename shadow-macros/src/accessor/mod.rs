//! The accessors of a field: names, arguments, outputs and bodies. One file per policy, each with a list of accessors;
//! `get_or_update` and `get_or_update(copy)` share a file.
//!
//! In: a field. Out: the accessors of the field, which `methods.rs` writes as methods of a type or of a trait.
//! Neighbour: `check.rs`, which compares the names of accessors.

mod attach;
mod get_or_attach;
mod get_or_update;
mod methods;

use proc_macro2::{Ident, Literal, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::Visibility;

pub(crate) use self::methods::{method_impl, trait_item};

use crate::model::{Declaration, Field, Form, mentions, self_in};
use crate::policy::Policy;

/// One method of a field.
pub(crate) struct Accessor {
    pub(crate) name: Ident,
    /// What the accessor does, in the docs after the user's docs.
    pub(crate) does: String,
    /// Sections of the docs, at their end.
    pub(crate) sections: &'static str,
    /// Names that a user may try instead, with `{}` for the field: the compiler then suggests the accessor.
    pub(crate) aliases: &'static [&'static str],
    pub(crate) access: Access,
    pub(crate) visibility: Visibility,
    /// Whether `#[track_caller]` is generated: an error or a panic of the accessor has the location of the call.
    pub(crate) track_caller: bool,
    pub(crate) generics: TokenStream,
    /// The arguments after `self`, each with its comma.
    pub(crate) arguments: TokenStream,
    pub(crate) output: TokenStream,
    /// The body: a call into the runtime, with [`Context::receiver`] as `self`.
    pub(crate) body: TokenStream,
    /// The identifier `self`, with the hygiene of the user's initialiser, which may use `self`.
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
    let is_static = declaration.static_ref().is_some();
    let runtime = match &declaration.form {
        Form::Derive { .. } | Form::Impl => quote!(__rt),
        Form::Trait { .. } => declaration.runtime.path.to_token_stream(),
    };
    let context = Context { declaration, runtime, field, is_static, index };
    match field.policy {
        Policy::Attach => attach::accessors(&context),
        Policy::GetOrAttach => get_or_attach::accessors(&context),
        Policy::GetOrUpdate | Policy::GetOrUpdateCopy => get_or_update::accessors(&context),
    }
}

/// The builder of accessors, for the files of this folder.
struct Context<'a> {
    declaration: &'a Declaration,
    /// The path of the runtime in a signature. A trait stands outside of the `const`, where `__rt` is not defined.
    runtime: TokenStream,
    field: &'a Field,
    /// Whether the host is a `&'static T`: then references are `'static`, and no access is exclusive.
    is_static: bool,
    index: usize,
}

impl Context<'_> {
    /// An accessor without arguments, output and body; the caller adds the missing parts.
    fn accessor(&self, access: Access, name: Ident, does: &str) -> Accessor {
        let text = self.field.text();
        Accessor {
            name,
            does: does.replace("{}", &format!("`{text}`")),
            sections: "",
            aliases: &[],
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

    /// Whether to generate `#[track_caller]`: unless the user has written the attribute at the field.
    fn tracks_caller(&self) -> bool {
        !self.field.has("track_caller")
    }

    /// `f_mut(&mut self) -> Option<&mut V>`, for a policy without an initialiser.
    fn get_mut(&self) -> Accessor {
        let value = &self.field.value;
        let does = "Borrows the value of shadow field {} exclusively, if a value is attached.";
        Accessor {
            output: quote!(::core::option::Option<&mut #value>),
            body: self.call(Access::Exclusive, "get_mut", &TokenStream::new()),
            ..self.accessor(Access::Exclusive, self.named("", "_mut"), does)
        }
    }

    /// `detach_f(&mut self) -> Option<V>`
    fn detach(&self) -> Accessor {
        let value = &self.field.value;
        let does = "Detaches and returns the value of shadow field {}, if a value is attached.";
        Accessor {
            output: quote!(::core::option::Option<#value>),
            body: self.call(Access::Exclusive, "detach", &TokenStream::new()),
            aliases: &["take_{}", "remove_{}"],
            ..self.accessor(Access::Exclusive, self.named("detach_", ""), does)
        }
    }

    /// An argument. The name has no underscores, since the docs show the name.
    fn argument(&self, name: &str) -> Ident {
        self.field.accessor(name)
    }

    /// The type parameter of an error: `E`, unless the declaration mentions another `E`.
    fn error_parameter(&self) -> Ident {
        let Declaration { generics, host, .. } = self.declaration;
        let value = &self.field.value;
        let where_clause = &generics.where_clause;
        let name = if mentions(&quote!(#generics #where_clause #host #value), "E") { "__E" } else { "E" };
        Ident::new(name, Span::call_site())
    }

    fn named(&self, prefix: &str, suffix: &str) -> Ident {
        self.field.accessor(&format!("{prefix}{}{suffix}", self.field.text()))
    }

    /// `&V`, or `&'static V`.
    fn shared_value(&self) -> TokenStream {
        let value = &self.field.value;
        if self.is_static { quote!(&'static #value) } else { quote!(&#value) }
    }

    /// A call of the runtime's function for this field, with `self` and `arguments`.
    fn call(&self, access: Access, function: &str, arguments: &TokenStream) -> TokenStream {
        self.call_inferring(&quote!(_), access, function, arguments)
    }

    /// As [`call`](Self::call), with `inferred` as the generic arguments that the compiler infers.
    fn call_inferring(
        &self,
        inferred: &TokenStream,
        access: Access,
        function: &str,
        arguments: &TokenStream,
    ) -> TokenStream {
        let is_static = self.is_static;
        let receiver = self.receiver();
        let host = match access {
            Access::Exclusive if is_static => return quote!(__rt::never_called()),
            Access::Shared if is_static => quote!(__rt::StaticHost::of(#receiver)),
            _ => receiver.to_token_stream(),
        };
        let module = self.field.accessor(self.field.policy.module());
        let function = self.field.accessor(function);
        let index = Literal::usize_unsuffixed(self.index);
        quote!(__rt::#module::#function::<__Declaration, #index, #inferred>(#host #arguments))
    }

    /// The path of the field's getter, which no method of the same name can shadow.
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

    /// `self`, with the hygiene of the initialiser, if the field has an initialiser.
    fn receiver(&self) -> Ident {
        let own = || Ident::new("self", Span::call_site());
        self.field.initialiser.as_ref().and_then(self_in).unwrap_or_else(own)
    }
}
