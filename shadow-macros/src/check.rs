//! What a declaration may not say, all of it reported.
//!
//! In: the model. Out: the errors, and the model without what is wrong, so that the compiler does not report it again.

use std::collections::BTreeMap;
use std::mem;

use syn::{
    AngleBracketedGenericArguments, GenericArgument, Lifetime, PathArguments, Type, TypeParamBound, Visibility,
    parse_quote,
};

use crate::accessor::accessors;
use crate::errors::Errors;
use crate::model::{Declaration, Field, Form, bare};

pub(crate) fn check(declaration: &mut Declaration, errors: &mut Errors) {
    if let Form::Trait { .. } = declaration.form {
        host(&mut declaration.host, errors);
        for field in &mut declaration.fields {
            visibility(field, errors);
        }
    }
    for field in &mut declaration.fields {
        attributes(field, errors);
        initialiser(field, errors);
        own(&mut field.value, errors);
    }
    names(declaration, errors);
}

/// A reference is a host only if it is a `&'static T` of a sized `T`.
fn host(host: &mut Type, errors: &mut Errors) {
    let Type::Reference(reference) = bare(host) else { return };
    if reference.mutability.is_some() {
        errors
            .at(reference, "an exclusive reference is no host: write `&'static T`, or wrap the value in `Shadowed<T>`");
    } else if is_unsized(&reference.elem) {
        errors.at(
            reference,
            "only a `&'static T` of a sized `T` is a host: refer to a struct that holds it, or use `Arc<T>`",
        );
    } else if !reference.lifetime.as_ref().is_some_and(is_static) {
        errors.at(
            reference,
            "a borrowed object is no host: write `&'static T`, or embed its fields by `#[derive(Shadow)]`",
        );
    } else {
        return;
    }
    // Some host, so that the trait is there.
    *host = parse_quote!(&'static u8);
}

fn is_unsized(object: &Type) -> bool {
    match bare(object) {
        Type::Slice(_) | Type::TraitObject(_) => true,
        Type::Path(path) => path.path.is_ident("str"),
        _ => false,
    }
}

fn visibility(field: &mut Field, errors: &mut Errors) {
    if !matches!(field.visibility, Visibility::Inherited) {
        errors.at(&field.visibility, "a field of a `trait` has no visibility of its own: write it before `trait`");
        field.visibility = Visibility::Inherited;
    }
}

/// A field that is there or not would change the field set, which its attributes do not reach.
fn attributes(field: &mut Field, errors: &mut Errors) {
    field.attributes.retain(|attribute| {
        let conditional = attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr");
        if conditional {
            errors.at(
                attribute,
                "one field cannot be conditional: write it in a `shadow!` of its own with `#[cfg(...)]` before its \
                 `impl` or `trait`, or as `#[cfg_attr(..., shadow_field(...))]`",
            );
        }
        !conditional
    });
}

fn initialiser(field: &mut Field, errors: &mut Errors) {
    if field.policy.takes_initialiser() {
        return;
    }
    if let Some(initialiser) = field.initialiser.take() {
        let (policy, name) = (field.policy.word(), field.word());
        let verb = if policy == "attach" { "attach" } else { "update" };
        errors.at(
            initialiser,
            format!(
                "`{policy}` takes no initialiser: the value is given to `{verb}_{name}`; for a value that is made when \
                 it is first asked for, write `get_or_attach`"
            ),
        );
    }
}

/// Two fields of one name, or two that need one name for their accessors. The later one is left out.
fn names(declaration: &mut Declaration, errors: &mut Errors) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for field in mem::take(&mut declaration.fields) {
        let word = field.word();
        let accessors = accessors(declaration, &field, 0);
        let names: Vec<String> = accessors.iter().map(|accessor| accessor.name.to_string()).collect();
        match names.iter().find_map(|name| Some((name, taken.get(name)?))) {
            Some((_, owner)) if *owner == word => {
                errors.at(&field.name, format!("there is a field `{word}` already: give this one another name"));
            }
            Some((name, owner)) => errors.at(
                &field.name,
                format!("field `{word}` needs the name `{name}`, which field `{owner}` has already: rename one"),
            ),
            None => {
                taken.extend(names.into_iter().map(|name| (name, word.clone())));
                declaration.fields.push(field);
            }
        }
    }
}

/// Reports what borrows in the type of a value, and makes it `'static`.
///
/// Functions and `dyn Fn(&T)` may name lifetimes of their own, so their arguments are not looked at; what is missed
/// here, the compiler finds.
fn own(value: &mut Type, errors: &mut Errors) {
    match value {
        Type::Reference(reference) => {
            if reference.lifetime.as_ref().is_some_and(is_static) {
                own(&mut reference.elem, errors);
            } else {
                errors.at(&*reference, BORROWS);
                reference.lifetime = Some(parse_quote!('static));
            }
        }
        Type::Path(path) => {
            let qself = path.qself.iter_mut().map(|qself| &mut *qself.ty);
            qself.for_each(|inner| own(inner, errors));
            for segment in &mut path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    own_arguments(arguments, errors);
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|inner| own(inner, errors)),
        Type::Array(array) => own(&mut array.elem, errors),
        Type::Slice(slice) => own(&mut slice.elem, errors),
        Type::Paren(paren) => own(&mut paren.elem, errors),
        Type::Group(group) => own(&mut group.elem, errors),
        Type::TraitObject(object) => {
            for bound in &mut object.bounds {
                if let TypeParamBound::Lifetime(lifetime) = bound {
                    own_lifetime(lifetime, errors);
                }
            }
        }
        _ => {}
    }
}

fn own_arguments(arguments: &mut AngleBracketedGenericArguments, errors: &mut Errors) {
    for argument in &mut arguments.args {
        match argument {
            GenericArgument::Lifetime(lifetime) => own_lifetime(lifetime, errors),
            GenericArgument::Type(inner) => own(inner, errors),
            _ => {}
        }
    }
}

fn own_lifetime(lifetime: &mut Lifetime, errors: &mut Errors) {
    if !is_static(lifetime) {
        errors.at(&*lifetime, BORROWS);
        *lifetime = parse_quote!('static);
    }
}

fn is_static(lifetime: &Lifetime) -> bool {
    lifetime.ident == "static"
}

const BORROWS: &str = "a shadow field cannot borrow, since nothing says that it goes before what it borrows from: own the \
                       value, as in `String`, `Arc<str>` or `Box<[T]>`";
