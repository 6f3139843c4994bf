//! Checks a declaration, and reports all faults.
//!
//! In: the model. Out: the errors, and the model without the faulty parts, so that the compiler does not report a fault
//! again.

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

/// Reports a reference that is not a `&'static T` of a sized `T`.
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
    // A valid host, for the expansion of the trait.
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

/// Reports `cfg` at a field: a conditional field would change the field set, but the attributes of a field apply to the
/// accessors only.
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

/// Reports two fields of one name, and two accessors of one name, and removes the later field.
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

/// Reports borrows in the type of a value, and makes their lifetimes `'static`.
///
/// Functions and `dyn Fn(&T)` may name lifetimes of their own, so this check skips their arguments. The compiler
/// reports the remaining borrows.
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
