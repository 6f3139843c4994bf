//! The accessors of an `attach` field.
//!
//! In: the context of a field. Out: a list of accessors. Neighbours: `mod.rs`, the shared parts of all policies;
//! `methods.rs`, the code of the accessors; `accessor/attach.rs` of the runtime, the target of the calls.

use quote::quote;

use crate::accessor::{Access, Accessor, Context};

pub(super) fn accessors(context: &Context<'_>) -> Vec<Accessor> {
    let (runtime, value, shared) = (&context.runtime, &context.field.value, context.shared_value());
    let (argument, none) = (context.argument("value"), quote!());
    vec![
        Accessor {
            output: quote!(::core::option::Option<#shared>),
            body: context.call(Access::Shared, "get", &none),
            aliases: &["get_{}", "peek_{}"],
            ..context.accessor(
                Access::Shared,
                context.field.getter(),
                "Borrows the value of shadow field {}, if a value is attached.",
            )
        },
        Accessor {
            sections: "# Errors\n\nIf a value is attached already: the error returns `value`.",
            track_caller: context.tracks_caller(),
            arguments: quote!(#argument: #value,),
            output: quote!(::core::result::Result<#shared, #runtime::AlreadyAttached<#value>>),
            body: context.call(Access::Shared, "attach", &quote!(, #argument)),
            aliases: &["set_{}", "update_{}", "get_or_attach_{}"],
            ..context.accessor(
                Access::Shared,
                context.named("attach_", ""),
                "Attaches `value` to shadow field {}, and borrows the attached value.",
            )
        },
        context.get_mut(),
        context.detach(),
    ]
}
