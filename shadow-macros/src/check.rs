//! Checks the declarations of a macro call, and reports all faults.
//!
//! In: the model. Out: the errors, and the model without the faulty parts. So the compiler does not report a fault
//! again. Neighbours: `parse/`, for faults of syntax; `accessor/mod.rs`, with the names of
//! accessors; `expand/impls.rs`, with the bounds of value types: only the compiler can check the bounds.

use std::collections::BTreeMap;
use std::mem;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote};
use syn::{
    AngleBracketedGenericArguments, GenericArgument, GenericParam, Generics, Lifetime, PathArguments, Type,
    TypeParamBound, TypeReference, Visibility, WherePredicate, parse_quote,
};

use crate::accessor::accessors;
use crate::errors::Errors;
use crate::model::{Declaration, Field, Form, mentions, pointer, replace, ungroup};
use crate::type_text::type_text;

/// Checks the declarations of one derive, or of one `shadow!`.
pub(crate) fn check(declarations: &mut [Declaration], errors: &mut Errors) {
    let mut of_impls = BTreeMap::new();
    for declaration in declarations {
        clones(declaration, errors);
        host(declaration, errors);
        parameters(declaration, errors);
        if let Form::Trait { .. } = declaration.form {
            for field in &mut declaration.fields {
                visibility(field, errors);
            }
        }
        for field in &mut declaration.fields {
            attributes(field, errors);
            initialiser(field, errors);
            reject_borrows(&mut field.value, errors);
        }
        // The accessors of all `impl`s for a type are in a common namespace. Blocks with conditions may be
        // alternatives.
        let mut own = Names::new();
        let taken = if matches!(declaration.form, Form::Impl) && declaration.conditions.is_empty() {
            of_impls.entry(declaration.host.to_token_stream().to_string()).or_default()
        } else {
            &mut own
        };
        names(declaration, taken, errors);
    }
}

/// Reports a type that cannot be a host, and replaces the host or the form by a valid host or form.
fn host(declaration: &mut Declaration, errors: &mut Errors) {
    let host = &declaration.host;
    match (&declaration.form, ungroup(host), pointer(host)) {
        (Form::Impl | Form::Trait { .. }, _, Some(("Rc", object))) => errors.push_at(host, no_rc(object)),
        (Form::Impl, Type::Reference(_), _) | (Form::Impl, _, Some(_)) => {
            let host = type_text(host);
            let message =
                format!("an `impl` adds accessors to a type of this crate only: write `trait Name for {host}`");
            errors.push_at(&declaration.host, message);
            into_trait(declaration, &host);
            return;
        }
        (Form::Trait { .. }, Type::Reference(reference), _) => match static_fault(reference) {
            Some(message) => errors.push_at(reference, message),
            None => return,
        },
        _ => return,
    }
    let host = type_text(host);
    declaration.host = parse_quote!(&'static u8);
    into_trait(declaration, &host);
}

/// Reports `#[shadow(clone)]` at the fields of a host that is an `Arc<T>` or a reference, and removes the attributes.
fn clones(declaration: &mut Declaration, errors: &mut Errors) {
    if matches!(declaration.form, Form::Derive { .. }) {
        return;
    }
    let message = match (ungroup(&declaration.host), pointer(&declaration.host)) {
        (_, Some(("Arc", object))) => {
            let object = type_text(object);
            format!(
                "the clones of an `Arc` are one host, which already has the fields: remove `#[shadow(clone)]`, or \
                 declare the field for `Shadowed<{object}>`, whose clone is another host"
            )
        }
        (Type::Reference(_), _) => "the copies of a `&'static T` refer to one host, which already has the fields: \
                                    remove `#[shadow(clone)]`"
            .to_owned(),
        // The host is no host at all, which is an error of its own.
        (_, Some(("Rc", _))) => {
            declaration.fields.iter_mut().for_each(|field| field.clone = None);
            return;
        }
        _ => return,
    };
    for attribute in declaration.fields.iter_mut().filter_map(|field| field.clone.take()) {
        errors.push_at(attribute, &message);
    }
}

/// Turns an `impl` for a foreign type into a private trait. So the compiler does not report the fault again.
fn into_trait(declaration: &mut Declaration, host: &str) {
    if !matches!(declaration.form, Form::Impl) {
        return;
    }
    let host = host.replace(|other: char| !other.is_alphanumeric(), "_");
    let field = declaration.fields.first().map_or_else(String::new, Field::text);
    let name = Ident::new(&format!("__{host}_{field}"), Span::call_site());
    declaration.form = Form::Trait { visibility: Visibility::Inherited, name };
    for field in &mut declaration.fields {
        field.visibility = Visibility::Inherited;
    }
}

/// The fault of a reference, unless the reference is a `&'static T` of a sized `T`.
fn static_fault(reference: &TypeReference) -> Option<&'static str> {
    if reference.mutability.is_some() {
        Some("an exclusive reference is no host: write `&'static T`, or wrap the value in `Shadowed<T>`")
    } else if is_unsized(&reference.elem) {
        Some("only a `&'static T` of a sized `T` is a host: refer to a struct that holds it, or use `Arc<T>`")
    } else if !reference.lifetime.as_ref().is_some_and(is_static) {
        Some("a borrowed object is no host: write `&'static T`, or embed its fields by `#[derive(Shadow)]`")
    } else {
        None
    }
}

/// Reports each type or const parameter that the host type does not mention, and puts another type or value in its
/// place.
///
/// A bound may determine such a parameter, as `V` in `I: Iterator<Item = V>`. Only the compiler can tell, so the check
/// skips a parameter in a bound.
fn parameters(declaration: &mut Declaration, errors: &mut Errors) {
    if matches!(declaration.form, Form::Derive { .. }) {
        return;
    }
    let mut tokens = declaration.host.to_token_stream();
    bounds(&declaration.generics).for_each(|bound| bound.to_tokens(&mut tokens));
    // What to write in place of a parameter, and what the expansion has in place of it.
    let replacement = |parameter: &GenericParam| match parameter {
        GenericParam::Type(parameter) if !mentions(&tokens, &parameter.ident.to_string()) => Some((
            parameter.ident.clone(),
            "a type, as `Box<dyn Any + Send + Sync>` for values of any type",
            quote!(u8),
        )),
        GenericParam::Const(parameter) if !mentions(&tokens, &parameter.ident.to_string()) => {
            Some((parameter.ident.clone(), "a value", literal(&parameter.ty)))
        }
        _ => None,
    };
    let host = type_text(&declaration.host);
    for parameter in mem::take(&mut declaration.generics.params) {
        let Some((name, write, stand_in)) = replacement(&parameter) else {
            declaration.generics.params.push(parameter);
            continue;
        };
        errors.push_at(
            &name,
            format!(
                "`{name}` is not a part of the host type `{host}`, and a field has one type for each host type: in \
                 place of `{name}`, write {write}"
            ),
        );
        substitute(declaration, &name.to_string(), &stand_in);
    }
}

/// The bounds of all parameters, in the parameter list and in the `where` clause.
fn bounds(generics: &Generics) -> impl Iterator<Item = &TypeParamBound> {
    let of_list = generics.type_params().flat_map(|parameter| &parameter.bounds);
    let predicates = generics.where_clause.iter().flat_map(|clause| &clause.predicates);
    let of_clause = predicates.filter_map(|predicate| match predicate {
        WherePredicate::Type(predicate) => Some(&predicate.bounds),
        _ => None,
    });
    of_list.chain(of_clause.flatten())
}

/// A value of the type of a const parameter.
fn literal(of: &Type) -> TokenStream {
    match of.to_token_stream().to_string().as_str() {
        "bool" => quote!(false),
        "char" => quote!(' '),
        _ => quote!(0),
    }
}

/// Puts `stand_in` in place of a removed parameter, so that the compiler does not report the fault again.
fn substitute(declaration: &mut Declaration, name: &str, stand_in: &TokenStream) {
    if let Some(clause) = &mut declaration.generics.where_clause {
        let predicates = mem::take(&mut clause.predicates).into_iter();
        clause.predicates = predicates.filter(|predicate| !mentions(&predicate.to_token_stream(), name)).collect();
    }
    for field in &mut declaration.fields {
        if mentions(&field.value.to_token_stream(), name) {
            let value = replace(field.value.to_token_stream(), name, stand_in);
            field.value = syn::parse2(value).unwrap_or_else(|_| parse_quote!(u8));
        }
        field.initialiser = field.initialiser.take().map(|tokens| replace(tokens, name, stand_in));
    }
}

fn no_rc(object: &Type) -> String {
    let object = type_text(object);
    format!(
        "an `Rc` is not supported as a host: use `Arc<{object}>`, or declare the fields for `Shadowed<{object}>` and \
         put it into the `Rc`"
    )
}

fn is_unsized(object: &Type) -> bool {
    match ungroup(object) {
        Type::Slice(_) | Type::TraitObject(_) => true,
        Type::Path(path) => path.path.is_ident("str"),
        _ => false,
    }
}

fn visibility(field: &mut Field, errors: &mut Errors) {
    if !matches!(field.visibility, Visibility::Inherited) {
        errors.push_at(&field.visibility, "a field of a `trait` has no visibility of its own: write it before `trait`");
        field.visibility = Visibility::Inherited;
    }
}

/// Reports `cfg` at a field: a conditional field would change the field set, but the attributes of a field apply to the
/// accessors only.
fn attributes(field: &mut Field, errors: &mut Errors) {
    field.attributes.retain(|attribute| {
        let conditional = attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr");
        if conditional {
            errors.push_at(
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
        let (policy, name) = (field.policy.word(), field.text());
        let verb = if policy == "attach" { "attach" } else { "update" };
        errors.push_at(
            initialiser,
            format!(
                "`{policy}` takes no initialiser: `{verb}_{name}` takes the value; for a value of an initialiser, \
                 write `get_or_attach`"
            ),
        );
    }
}

/// Accessors, each with its field.
type Names = BTreeMap<String, String>;

/// Reports two fields with the same name, and two accessors with the same name, and removes the later field.
fn names(declaration: &mut Declaration, taken: &mut Names, errors: &mut Errors) {
    for field in mem::take(&mut declaration.fields) {
        let text = field.text();
        // For the names of the accessors: the index does not change a name.
        let accessors = accessors(declaration, &field, 0);
        let names: Vec<String> = accessors.iter().map(|accessor| accessor.name.to_string()).collect();
        match names.iter().find_map(|name| Some((name, taken.get(name)?))) {
            Some((_, owner)) if *owner == text => {
                errors.push_at(&field.name, format!("there is a field `{text}` already: rename one"));
            }
            Some((name, owner)) => errors.push_at(
                &field.name,
                format!("field `{text}` needs the name `{name}`, which field `{owner}` has already: rename one"),
            ),
            None => {
                taken.extend(names.into_iter().map(|name| (name, text.clone())));
                declaration.fields.push(field);
            }
        }
    }
}

/// Reports borrows in the type of a value, and makes their lifetimes `'static`.
///
/// The arguments of functions and of `dyn Fn(&T)` may have local lifetimes, so the check skips these arguments. The
/// compiler reports the remaining borrows.
fn reject_borrows(value: &mut Type, errors: &mut Errors) {
    match value {
        Type::Reference(reference) => {
            if reference.lifetime.as_ref().is_some_and(is_static) {
                reject_borrows(&mut reference.elem, errors);
            } else {
                errors.push_at(&*reference, BORROWS);
                reference.lifetime = Some(parse_quote!('static));
            }
        }
        Type::Path(path) => {
            let qself = path.qself.iter_mut().map(|qself| &mut *qself.ty);
            qself.for_each(|inner| reject_borrows(inner, errors));
            for segment in &mut path.path.segments {
                if let PathArguments::AngleBracketed(arguments) = &mut segment.arguments {
                    reject_borrows_in(arguments, errors);
                }
            }
        }
        Type::Tuple(tuple) => tuple.elems.iter_mut().for_each(|inner| reject_borrows(inner, errors)),
        Type::Array(array) => reject_borrows(&mut array.elem, errors),
        Type::Slice(slice) => reject_borrows(&mut slice.elem, errors),
        Type::Paren(paren) => reject_borrows(&mut paren.elem, errors),
        Type::Group(group) => reject_borrows(&mut group.elem, errors),
        Type::TraitObject(object) => {
            for bound in &mut object.bounds {
                if let TypeParamBound::Lifetime(lifetime) = bound {
                    reject_borrow(lifetime, errors);
                }
            }
        }
        _ => {}
    }
}

fn reject_borrows_in(arguments: &mut AngleBracketedGenericArguments, errors: &mut Errors) {
    for argument in &mut arguments.args {
        match argument {
            GenericArgument::Lifetime(lifetime) => reject_borrow(lifetime, errors),
            GenericArgument::Type(inner) => reject_borrows(inner, errors),
            _ => {}
        }
    }
}

fn reject_borrow(lifetime: &mut Lifetime, errors: &mut Errors) {
    if !is_static(lifetime) {
        errors.push_at(&*lifetime, BORROWS);
        *lifetime = parse_quote!('static);
    }
}

fn is_static(lifetime: &Lifetime) -> bool {
    lifetime.ident == "static"
}

const BORROWS: &str = "a shadow field cannot borrow, since its host may outlive the borrowed value: own the value, as in \
                       `String`, `Arc<str>` or `Box<[T]>`";
