//! The accessors of a `get_or_update` field, and of a `get_or_update(copy)` field.
//!
//! In: the context of a field. Out: a list of accessors. Neighbours: `mod.rs`, the shared parts of all policies;
//! `methods.rs`, the code of the accessors; `accessor/get_or_update.rs` of the runtime, the target of the calls.

use quote::quote;

use crate::accessor::{Access, Accessor, Context};
use crate::policy::Policy;

pub(super) fn accessors(context: &Context<'_>) -> Vec<Accessor> {
    let field_value = &context.field.value;
    let (value, next) = (context.argument("value"), context.argument("next"));
    let newest = match context.field.policy {
        Policy::GetOrUpdateCopy => "Returns a copy of the newest value of shadow field {}, if a value is attached.",
        _ => "Returns a clone of the newest value of shadow field {}, if a value is attached.",
    };
    let maybe = quote!(::core::option::Option<#field_value>);
    let mut accessors = vec![
        Accessor {
            output: maybe.clone(),
            body: context.call(Access::Shared, "get", &quote!()),
            aliases: &["get_{}", "peek_{}"],
            ..context.accessor(Access::Shared, context.field.getter(), newest)
        },
        Accessor {
            sections: "# Panics\n\nInside of a closure that computes the next value of this field.",
            track_caller: context.tracks_caller(),
            arguments: quote!(#value: #field_value,),
            output: maybe.clone(),
            body: context.call(Access::Shared, "update", &quote!(, #value)),
            aliases: &["set_{}", "attach_{}", "get_or_attach_{}"],
            ..context.accessor(
                Access::Shared,
                context.named("update_", ""),
                "Replaces the value of shadow field {} by `value`, and returns the previous value. Attaches `value`, \
                 if no value is attached.",
            )
        },
        Accessor {
            sections: "# Panics\n\nIf `next` panics, or updates this field itself.",
            track_caller: context.tracks_caller(),
            arguments: quote!(#next: impl ::core::ops::FnMut(::core::option::Option<&#field_value>) -> #field_value,),
            output: maybe.clone(),
            body: context.call(Access::Shared, "update_with", &quote!(, #next)),
            ..context.accessor(
                Access::Shared,
                context.named("update_", "_with"),
                "Replaces the value of shadow field {} by the result of `next`, and returns the previous value. \
                 `next` gets the newest value, or `None` if no value is attached. If another thread updates the field \
                 meanwhile, `next` runs again.",
            )
        },
        try_update_with(context),
    ];
    if context.field.policy == Policy::GetOrUpdateCopy {
        accessors.extend([context.get_mut(), context.detach()]);
    } else {
        // The alias `take_f` of `detach_f` is the name of an accessor here.
        let detach = Accessor { aliases: &["remove_{}"], ..context.detach() };
        accessors.extend([take(context), context.get_mut(), detach]);
    }
    accessors
}

/// `take_f(&self) -> Option<V>`
fn take(context: &Context<'_>) -> Accessor {
    let value = &context.field.value;
    Accessor {
        sections: "# Panics\n\nInside of a closure that computes the next value of this field.",
        track_caller: context.tracks_caller(),
        output: quote!(::core::option::Option<#value>),
        body: context.call(Access::Shared, "take", &quote!()),
        ..context.accessor(
            Access::Shared,
            context.named("take_", ""),
            "Takes the value of shadow field {}, if a value is attached; no value is attached then. While another \
             thread clones the value, the result is a clone.",
        )
    }
}

/// `try_update_f_with<E>(&self, next) -> Result<Option<V>, E>`
fn try_update_with(context: &Context<'_>) -> Accessor {
    let (value, next, error) = (&context.field.value, context.argument("next"), context.error_parameter());
    let result = quote!(::core::result::Result<#value, #error>);
    Accessor {
        sections: "# Errors\n\nIf `next` fails: returns the error of `next`, and keeps the value.\n\n\
                   # Panics\n\nIf `next` panics, or updates this field itself.",
        track_caller: context.tracks_caller(),
        generics: quote!(<#error>),
        arguments: quote!(#next: impl ::core::ops::FnMut(::core::option::Option<&#value>) -> #result,),
        output: quote!(::core::result::Result<::core::option::Option<#value>, #error>),
        body: context.call_inferring(&quote!(_, _), Access::Shared, "try_update_with", &quote!(, #next)),
        ..context.accessor(
            Access::Shared,
            context.named("try_update_", "_with"),
            "Replaces the value of shadow field {} by the result of `next`, unless `next` fails, and returns the \
             previous value. `next` gets the newest value, or `None` if no value is attached. If another thread \
             updates the field meanwhile, `next` runs again.",
        )
    }
}
