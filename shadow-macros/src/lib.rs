//! The macros of [`shadow-runtime`](https://docs.rs/shadow-runtime): a declaration of shadow fields in, a field set and
//! its accessors out. Depend on `shadow-runtime`, which re-exports the macros.
//!
//! The stages of an expansion, one module after another:
//!
//! ```text
//! attribute or block → parse (one field grammar) → model → check (all errors, collected) → expand
//! ```
//!
//! The macros do not depend on storage: the runtime implements the accessors, and generated code only calls the
//! runtime.
#![forbid(unsafe_code)]

mod accessor;
mod check;
mod errors;
mod expand;
mod model;
mod parse;
mod policy;
mod words;

use proc_macro::TokenStream;

/// Makes a struct a host, and declares shadow fields for it.
///
/// The struct embeds its fields in one member of type `ShadowFields`. The macro finds the member by its type, or by the
/// mark `#[shadow(fields)]`. Each `#[shadow_field(...)]` declares one field:
///
/// ```text
/// docs* visibility? policy name: Type (= initialiser)?
/// ```
///
/// The policy is `attach`, `get_or_attach`, `get_or_update` or `get_or_update(copy)`. Only `get_or_attach` takes an
/// initialiser, an expression in which `self` is the host; without an initialiser, the value starts as `Default`. The
/// accessors get the docs and the attributes of the field.
///
/// | policy | accessors of `f: V` |
/// |---|---|
/// | `attach` | `f`, `attach_f`, `f_mut`, `detach_f` |
/// | `get_or_attach` | `f`, `peek_f`, `get_or_attach_f`, `get_or_try_attach_f`, `f_mut`, `detach_f` |
/// | `get_or_update`, `get_or_update(copy)` | `f`, `update_f`, `update_f_with`, `f_mut`, `detach_f` |
///
/// `#[shadow(crate = path)]` on the struct is the path of the runtime, for crates that re-export the runtime.
///
/// The documentation of `shadow-runtime` has the examples.
#[proc_macro_derive(Shadow, attributes(shadow, shadow_field))]
pub fn derive_shadow(input: TokenStream) -> TokenStream {
    run(|errors| parse::derive(input.into(), errors).into_iter().collect())
}

/// Declares shadow fields for a type that is already a host.
///
/// ```text
/// shadow! {
///     impl<generics> Type where ... { fields }
///     visibility trait Name<generics> for Type where ... { fields }
/// }
/// ```
///
/// `impl` adds accessors to a type of this crate that derives `Shadow`. `trait` makes an extension trait, for types of
/// other crates, `Shadowed<T>`, `Arc<T>` and `&'static T`. A field has the grammar of `#[shadow_field(...)]`, and ends
/// with a semicolon; in a `trait`, a field has no visibility of its own. `#[shadow(crate = path)]` before an `impl` or
/// a `trait` is the path of the runtime.
///
/// The documentation of `shadow-runtime` has the examples.
#[proc_macro]
pub fn shadow(input: TokenStream) -> TokenStream {
    run(|errors| parse::blocks(input.into(), errors))
}

/// Parses, checks and expands. The output has the errors of all stages, beside the code of all correct parts.
fn run(parse: impl FnOnce(&mut errors::Errors) -> Vec<model::Declaration>) -> TokenStream {
    let mut errors = errors::Errors::default();
    let mut declarations = parse(&mut errors);
    for declaration in &mut declarations {
        check::check(declaration, &mut errors);
    }
    let mut output = errors.into_compile_errors();
    output.extend(declarations.iter().map(expand::expand));
    output.into()
}

#[cfg(test)]
mod tests {
    use super::{check, errors::Errors, expand, parse};

    /// The number of occurrences of `words` in the expansion of `blocks`.
    fn times(words: &str, blocks: &str) -> usize {
        let mut errors = Errors::default();
        let mut declarations = parse::blocks(blocks.parse().unwrap(), &mut errors);
        for declaration in &mut declarations {
            check::check(declaration, &mut errors);
        }
        assert!(errors.into_compile_errors().is_empty());
        declarations.iter().map(|declaration| expand::expand(declaration).to_string().matches(words).count()).sum()
    }

    #[test]
    fn the_docs_of_a_field_reach_each_of_its_accessors() {
        for (policy, accessors) in
            [("attach", 4), ("get_or_attach", 6), ("get_or_update", 5), ("get_or_update(copy)", 5)]
        {
            for head in ["impl Task", "trait Fields for Task", "trait Fields for &'static Task"] {
                let blocks = format!("{head} {{ /// In my words.\n {policy} one: u8; {policy} other: u8; }}");
                assert_eq!(times("In my words.", &blocks), accessors, "{blocks}");
            }
        }
    }

    #[test]
    fn the_docs_of_a_block_reach_what_it_declares() {
        for head in ["impl Task", "trait Fields for Task"] {
            assert_eq!(times("Of all.", &format!("/// Of all.\n {head} {{ attach one: u8; }}")), 1);
        }
    }

    #[test]
    fn an_empty_line_parts_what_stands_in_the_docs_and_nothing_else() {
        for (field, empty_lines) in [
            ("attach one: u8;", 1),
            ("/// In my words.\n attach one: u8;", 5),
            ("get_or_update one: u8;", 0),
            ("/// In my words.\n get_or_update one: u8;", 5),
        ] {
            assert_eq!(times("# [doc = \"\"]", &format!("impl Task {{ {field} }}")), empty_lines, "{field}");
        }
    }

    #[test]
    fn the_docs_say_whether_a_getter_clones_or_copies() {
        for (policy, clones, copies) in [("get_or_update", 1, 0), ("get_or_update(copy)", 0, 1)] {
            let block = format!("impl Task {{ {policy} one: u8; }}");
            assert_eq!([times("A clone of", &block), times("A copy of", &block)], [clones, copies], "{block}");
        }
    }

    #[test]
    fn an_attribute_that_the_macro_would_write_is_left_to_who_writes_it() {
        let plain = "impl Task { attach one: u8; }";
        let inline = "impl Task { #[inline(never)] attach one: u8; }";
        assert_eq!(times("# [inline", inline), times("# [inline", plain));
        assert_eq!(times("# [inline (never)]", inline), 4);
        assert_eq!(times("# [track_caller]", plain), 1);
        assert_eq!(times("# [track_caller]", "impl Task { #[track_caller] attach one: u8; }"), 4);
    }
}
