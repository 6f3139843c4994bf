//! The accessors of a `get_or_attach` field.
//!
//! In: the context of a field. Out: a list of accessors. Neighbours: `mod.rs`, the shared parts of all policies;
//! `methods.rs`, the code of the accessors; `accessor/get_or_attach.rs` of the runtime, the target of the calls.

use quote::quote;

use crate::accessor::{Access, Accessor, Context};

const INITIALISER_PANICS: &str = "# Panics\n\nIf the initialiser panics, or requests this field itself.";
const INIT_PANICS: &str = "# Panics\n\nIf `init` panics, or requests this field itself.";

pub(super) fn accessors(context: &Context<'_>) -> Vec<Accessor> {
    let shared = context.shared_value();
    let initial = match (&context.field.initialiser, &context.field.value) {
        (Some(initialiser), _) => quote!(|| { #initialiser }),
        (None, value) => quote!(|| <#value as __rt::InitialValue>::initial()),
    };
    vec![
        Accessor {
            sections: INITIALISER_PANICS,
            track_caller: context.tracks_caller(),
            output: shared.clone(),
            body: context.call(Access::Shared, "get_or_attach", &quote!(, #initial)),
            aliases: &["get_{}"],
            ..context.accessor(
                Access::Shared,
                context.field.getter(),
                "Borrows the value of shadow field {}; attaches the initial value first, if no value is attached.",
            )
        },
        Accessor {
            output: quote!(::core::option::Option<#shared>),
            body: context.call(Access::Shared, "peek", &quote!()),
            ..context.accessor(
                Access::Shared,
                context.named("peek_", ""),
                "Borrows the value of shadow field {}, if a value is attached. Attaches no value.",
            )
        },
        get_or_attach(context),
        get_or_try_attach(context),
        get_mut(context),
        context.detach(),
    ]
}

/// `get_or_attach_f(&self, init) -> &V`
fn get_or_attach(context: &Context<'_>) -> Accessor {
    let (value, argument) = (&context.field.value, context.argument("init"));
    Accessor {
        sections: INIT_PANICS,
        track_caller: context.tracks_caller(),
        arguments: quote!(#argument: impl ::core::ops::FnOnce() -> #value,),
        output: context.shared_value(),
        body: context.call(Access::Shared, "get_or_attach", &quote!(, #argument)),
        aliases: &["attach_{}", "set_{}", "update_{}"],
        ..context.accessor(
            Access::Shared,
            context.named("get_or_attach_", ""),
            "Borrows the value of shadow field {}; attaches the result of `init` first, if no value is attached.",
        )
    }
}

/// `get_or_try_attach_f<E>(&self, init) -> Result<&V, E>`
fn get_or_try_attach(context: &Context<'_>) -> Accessor {
    let (value, shared, argument) = (&context.field.value, context.shared_value(), context.argument("init"));
    let error = context.error_parameter();
    Accessor {
        sections: "# Errors\n\nIf `init` fails: returns the error of `init`, and attaches no value.\n\n\
                   # Panics\n\nIf `init` panics, or requests this field itself.",
        track_caller: context.tracks_caller(),
        generics: quote!(<#error>),
        arguments: quote!(#argument: impl ::core::ops::FnOnce() -> ::core::result::Result<#value, #error>,),
        output: quote!(::core::result::Result<#shared, #error>),
        body: context.call_inferring(&quote!(_, _), Access::Shared, "get_or_try_attach", &quote!(, #argument)),
        ..context.accessor(
            Access::Shared,
            context.named("get_or_try_attach_", ""),
            "Borrows the value of shadow field {}; attaches the value of `init` first, if no value is attached.",
        )
    }
}

/// `f_mut(&mut self) -> &mut V`
fn get_mut(context: &Context<'_>) -> Accessor {
    let value = &context.field.value;
    let (receiver, getter_path) = (context.receiver(), context.getter_path());
    let attach_first = (!context.is_static).then(|| quote!(let _ = #getter_path(#receiver);));
    let get_mut = context.call(Access::Exclusive, "get_mut", &quote!());
    Accessor {
        sections: INITIALISER_PANICS,
        output: quote!(&mut #value),
        body: quote!(#attach_first #get_mut),
        ..context.accessor(
            Access::Exclusive,
            context.named("", "_mut"),
            "Borrows the value of shadow field {} exclusively; attaches the initial value first, if no value is \
             attached.",
        )
    }
}
