//! The accessors of a `get_or_attach` field.

use quote::quote;

use crate::accessor::{Access, Accessor, Context};

const PANICS: &str = "# Panics\n\nIf the initialiser does, or asks for this very field.";

pub(super) fn accessors(context: &Context<'_>) -> Vec<Accessor> {
    let (value, shared) = (&context.field.value, context.shared_value());
    let none = quote!();
    let getter = context.field.getter();
    let initial = if let Some(initialiser) = &context.field.initialiser {
        quote!(|| { #initialiser })
    } else {
        quote!(|| <#value as __rt::InitialValue>::initial())
    };
    let get_mut = context.call(Access::Exclusive, "get_mut", &none);
    let (receiver, getter_path) = (context.receiver(), context.getter_path());
    let attach_first = (!context.fixed).then(|| quote!(let _ = #getter_path(#receiver);));
    vec![
        Accessor {
            sections: PANICS,
            output: shared.clone(),
            body: context.call(Access::Shared, "get_or_attach", &quote!(, #initial)),
            ..context.accessor(
                Access::Shared,
                getter,
                "The shadow field {}, attached with its initial value if it was not.",
            )
        },
        Accessor {
            output: quote!(::core::option::Option<#shared>),
            body: context.call(Access::Shared, "peek", &none),
            ..context.accessor(Access::Shared, context.named("peek_", ""), "The shadow field {}, if it is attached.")
        },
        Accessor {
            sections: PANICS,
            arguments: quote!(__init: impl ::core::ops::FnOnce() -> #value,),
            output: shared.clone(),
            body: context.call(Access::Shared, "get_or_attach", &quote!(, __init)),
            ..context.accessor(
                Access::Shared,
                context.named("get_or_attach_", ""),
                "The shadow field {}, attached with what the closure returns if it was not.",
            )
        },
        Accessor {
            sections: "# Errors\n\nWhat the closure returns; then nothing is attached.\n\n\
                       # Panics\n\nIf the closure does, or asks for this very field.",
            generics: quote!(<__E>),
            arguments: quote!(__init: impl ::core::ops::FnOnce() -> ::core::result::Result<#value, __E>,),
            output: quote!(::core::result::Result<#shared, __E>),
            body: context.call_inferring(&quote!(_, _), Access::Shared, "get_or_try_attach", &quote!(, __init)),
            ..context.accessor(
                Access::Shared,
                context.named("get_or_try_attach_", ""),
                "The shadow field {}, attached with what the closure returns if it was not and the closure succeeds.",
            )
        },
        Accessor {
            sections: PANICS,
            output: quote!(&mut #value),
            body: quote!(#attach_first #get_mut),
            ..context.accessor(
                Access::Exclusive,
                context.named("", "_mut"),
                "The shadow field {}, to be changed, attached with its initial value if it was not.",
            )
        },
        context.detach(),
    ]
}
