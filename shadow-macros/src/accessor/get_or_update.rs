//! The accessors of a `get_or_update` field, and of a `get_or_update(copy)` field.

use quote::quote;

use crate::accessor::{Access, Accessor, Context};
use crate::policy::Policy;

pub(super) fn accessors(context: &Context<'_>) -> Vec<Accessor> {
    let value = &context.field.value;
    let none = quote!();
    let newest = match context.field.policy {
        Policy::GetOrUpdateCopy => "A copy of the newest value of the shadow field {}, if it is attached.",
        _ => "A clone of the newest value of the shadow field {}, if it is attached.",
    };
    let maybe = quote!(::core::option::Option<#value>);
    vec![
        Accessor {
            output: maybe.clone(),
            body: context.call(Access::Shared, "get", &none),
            ..context.accessor(Access::Shared, context.field.getter(), newest)
        },
        Accessor {
            arguments: quote!(__value: #value,),
            output: maybe.clone(),
            body: context.call(Access::Shared, "update", &quote!(, __value)),
            ..context.accessor(
                Access::Shared,
                context.named("update_", ""),
                "Replaces the value of the shadow field {}, or attaches it, and returns the previous one.",
            )
        },
        Accessor {
            arguments: quote!(__next: impl ::core::ops::FnMut(::core::option::Option<&#value>) -> #value,),
            output: maybe.clone(),
            body: context.call(Access::Shared, "update_with", &quote!(, __next)),
            ..context.accessor(
                Access::Shared,
                context.named("update_", "_with"),
                "Replaces the value of the shadow field {} by what the closure makes of it, and returns the previous \
                 one. The closure runs again if another update came between. It must not update the field itself: that is \
                 a panic.",
            )
        },
        context.get_mut(),
        context.detach(),
    ]
}
