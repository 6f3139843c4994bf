//! The accessors of an `attach` field.

use quote::quote;

use crate::accessor::{Access, Accessor, Context};

pub(super) fn accessors(context: &Context<'_>) -> Vec<Accessor> {
    let (runtime, value, shared) = (&context.runtime, &context.field.value, context.shared_value());
    let none = quote!();
    vec![
        Accessor {
            output: quote!(::core::option::Option<#shared>),
            body: context.call(Access::Shared, "get", &none),
            ..context.accessor(Access::Shared, context.field.getter(), "The shadow field {}, if it is attached.")
        },
        Accessor {
            sections: "# Errors\n\nIf it is attached already: the error hands the value back.",
            track_caller: !context.field.has("track_caller"),
            arguments: quote!(__value: #value,),
            output: quote!(::core::result::Result<#shared, #runtime::AlreadyAttached<#value>>),
            body: context.call(Access::Shared, "attach", &quote!(, __value)),
            ..context.accessor(Access::Shared, context.named("attach_", ""), "Attaches the shadow field {}, once.")
        },
        context.get_mut(),
        context.detach(),
    ]
}
