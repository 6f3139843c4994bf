//! The macros of [`shadow-runtime`](https://docs.rs/shadow-runtime): a declaration of shadow fields in, a field set and
//! its accessors out. Depend on `shadow-runtime`, which re-exports the macros.
//!
//! In: the tokens of a derive or of a `shadow!`. Out: the code of all correct parts, and the errors of the other parts.
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
mod type_text;

use proc_macro::TokenStream;

/// Makes a struct a host, and declares shadow fields for it.
///
/// The struct has one member of type `ShadowFields`, which holds the fields. The struct may be generic, and may be a
/// tuple struct. The macro finds the member by the name of its type. If the type has another name, such as an alias,
/// the attribute `#[shadow(fields)]` marks the member. Each `#[shadow_field(...)]` declares one field:
///
/// ```text
/// docs* attributes* visibility? policy name: Type (= initialiser)?
/// ```
///
/// The policy is `attach`, `get_or_attach`, `get_or_update` or `get_or_update(copy)`. Only `get_or_attach` takes an
/// initialiser, an expression in which `self` is the host; without an initialiser, the value starts as `Default`. The
/// accessors get the docs and the attributes of the field.
///
/// The attribute `#[shadow(clone)]` of a field, before the visibility and the policy, has a clone of the host carry a
/// clone of the value: `#[shadow_field(#[shadow(clone)] attach name: String)]`. A clone starts without any other field.
/// The value is `Clone`, and the host embeds its fields: a struct that derives `Shadow`, or a `Shadowed<T>`.
///
/// | policy | accessors of `f: V` on `&self` |
/// |---|---|
/// | `attach` | `f() -> Option<&V>`, `attach_f(V) -> Result<&V, AlreadyAttached<V>>` |
/// | `get_or_attach` | `f() -> &V`, `peek_f() -> Option<&V>`, `get_or_attach_f(\|\| V) -> &V`, `get_or_try_attach_f(\|\| Result<V, E>) -> Result<&V, E>` |
/// | `get_or_update`, `get_or_update(copy)` | `f() -> Option<V>`, `update_f(V) -> Option<V>`, `update_f_with(\|Option<&V>\| V) -> Option<V>`, `try_update_f_with(\|Option<&V>\| Result<V, E>) -> Result<Option<V>, E>`; the results of the updates are the previous value |
/// | `get_or_update`, without `(copy)` | also `take_f() -> Option<V>`: the value, which is detached |
///
/// | policy | accessors of `f: V` on `&mut self` |
/// |---|---|
/// | `get_or_attach` | `f_mut() -> &mut V`, `detach_f() -> Option<V>` |
/// | all others | `f_mut() -> Option<&mut V>`, `detach_f() -> Option<V>` |
///
/// `#[shadow(crate = path)]` on the struct is the path of the runtime, for a crate where the runtime is not
/// `::shadow_runtime`: another crate re-exports the runtime, or the dependency has another name.
#[proc_macro_derive(Shadow, attributes(shadow, shadow_field))]
pub fn derive_shadow(input: TokenStream) -> TokenStream {
    run(|errors| parse::derive(input.into(), errors).into_iter().collect())
}

/// Declares shadow fields for a type that is already a host, at the place of an item or of a statement.
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
#[proc_macro]
pub fn shadow(input: TokenStream) -> TokenStream {
    run(|errors| parse::blocks(input.into(), errors))
}

/// Parses, checks and expands. The output has the errors of all stages, beside the code of all correct parts.
fn run(parse: impl FnOnce(&mut errors::Errors) -> Vec<model::Declaration>) -> TokenStream {
    let mut errors = errors::Errors::default();
    let mut declarations = parse(&mut errors);
    check::check(&mut declarations, &mut errors);
    let mut output = errors.into_compile_errors();
    output.extend(declarations.iter().map(expand::expand));
    output.into()
}

#[cfg(test)]
mod golden;

#[cfg(test)]
mod tests {
    use proc_macro2::{TokenStream, TokenTree};

    use super::parse;
    use crate::golden;

    /// The expansion of `blocks`.
    fn expansion(blocks: &str) -> TokenStream {
        golden::expansion(|errors| parse::blocks(blocks.parse().unwrap(), errors))
    }

    /// The number of occurrences of `words` in the expansion of `blocks`.
    fn times(words: &str, blocks: &str) -> usize {
        expansion(blocks).to_string().matches(words).count()
    }

    /// A documented function, as rustdoc shows the function.
    #[derive(Default)]
    struct Page {
        /// The paragraphs.
        docs: Vec<String>,
        is_hidden: bool,
        signature: String,
    }

    /// The documented functions of an expansion.
    fn pages(tokens: TokenStream) -> Vec<Page> {
        let (mut pages, mut page, mut is_signature) = (Vec::new(), Page::default(), false);
        for token in tokens {
            match &token {
                TokenTree::Group(group) => {
                    let text = group.stream().to_string();
                    if let Some(doc) = text.strip_prefix("doc = ") {
                        page.docs.push(doc.trim_matches('"').trim().to_owned());
                    }
                    page.is_hidden |= text == "doc (hidden)";
                    pages.extend(self::pages(group.stream()));
                }
                TokenTree::Ident(word) if word == "fn" => is_signature = true,
                _ => {}
            }
            let text = token.to_string();
            if is_signature && (text == "where" || text == ";") {
                let page = std::mem::take(&mut page);
                pages.extend((!page.docs.is_empty()).then_some(page));
                is_signature = false;
            } else if is_signature {
                page.signature.push_str(&text);
                page.signature.push(' ');
            }
        }
        pages
    }

    const POLICIES: [(&str, usize); 4] =
        [("attach", 4), ("get_or_attach", 6), ("get_or_update", 7), ("get_or_update(copy)", 6)];

    #[test]
    fn the_docs_of_a_field_come_before_what_each_of_its_accessors_does() {
        for (policy, accessors) in POLICIES {
            for head in ["impl Task", "trait Fields for Task", "trait Fields for &'static Task"] {
                let blocks = format!("{head} {{ /// In my words.\n {policy} one: u8; {policy} other: u8; }}");
                let pages = pages(expansion(&blocks));
                assert_eq!(pages.len(), 2 * accessors, "{blocks}");
                let (first, second) = pages.split_at(accessors);
                for page in first {
                    assert_eq!(page.docs[..2], ["In my words.", ""], "{blocks}: {}", page.signature);
                    assert!(page.docs[2].contains("shadow field `one`"), "{blocks}: {:?}", page.docs);
                }
                assert!(second.iter().all(|page| page.docs[0].contains("shadow field `other`")), "{blocks}");
            }
        }
    }

    #[test]
    fn a_signature_has_no_names_of_the_macro() {
        for (policy, accessors) in POLICIES {
            for head in ["impl Task", "trait Fields for Task", "trait Fields for Arc<Task>"] {
                let pages = pages(expansion(&format!("{head} {{ {policy} one: u8; }}")));
                assert_eq!(pages.len(), accessors);
                for page in pages {
                    let words = page.signature.split([' ', '(', '<', '\'']);
                    // rustdoc shows `__rt::AlreadyAttached` as `AlreadyAttached`.
                    let hidden: Vec<_> = words.filter(|word| word.starts_with("__") && *word != "__rt").collect();
                    assert!(hidden.is_empty(), "{hidden:?} in {}", page.signature);
                    assert!(!page.signature.contains("for <"), "{}", page.signature);
                }
            }
        }
    }

    #[test]
    fn the_error_parameter_is_no_type_of_the_declaration() {
        assert_eq!(times("get_or_try_attach_one < E >", "impl Task { get_or_attach one: u8; }"), 1);
        for block in ["impl Task { get_or_attach one: E; }", "impl<E> Task<E> { get_or_attach one: u8; }"] {
            assert_eq!(times("get_or_try_attach_one < __E >", block), 1, "{block}");
        }
        assert_eq!(times("try_update_one_with < E >", "impl Task { get_or_update one: u8; }"), 1);
        assert_eq!(times("try_update_one_with < __E >", "impl Task { get_or_update one: E; }"), 1);
    }

    #[test]
    fn exclusive_accessors_of_shared_hosts_are_hidden() {
        for (policy, _) in POLICIES {
            for (host, is_shared) in
                [("Task", false), ("Shadowed<u8>", false), ("Arc<Task>", true), ("&'static Task", true)]
            {
                for page in pages(expansion(&format!("trait Fields for {host} {{ {policy} one: u8; }}"))) {
                    let is_exclusive = ["one_mut", "detach_one"].iter().any(|name| page.signature.contains(name));
                    assert_eq!(page.is_hidden, is_shared && is_exclusive, "{host}: {}", page.signature);
                }
            }
        }
    }

    #[test]
    fn only_fields_that_say_so_are_cloned_and_the_attribute_goes_no_further() {
        for (policy, _) in POLICIES {
            let plain = format!("impl Task {{ {policy} one: u8; }}");
            assert_eq!([times("CLONE_CARRIED", &plain), times("clone_into", &plain)], [0, 0], "{policy}");
            let one = format!("impl Task {{ {policy} other: u8; #[shadow(clone)] {policy} one: u8; }}");
            assert_eq!([times("CLONE_CARRIED", &one), times("clone_into", &one)], [1, 1], "{policy}");
            assert_eq!(
                [times("clone_into (& __set . one", &one), times("[1]", &one), times("# [shadow", &one)],
                [1, 1, 0],
                "{one}"
            );
        }
        // A value of a parameter of the host is a bound of the field set; any other value is its argument.
        let generic = "impl<T> Queue<T> { #[shadow(clone)] attach one: Vec<T>; #[shadow(clone)] attach two: u8; }";
        assert_eq!(
            times("< __V0 : __rt :: CarriedValue > __rt :: FieldSet for __FieldSet_A_one_A_two < __V0 , u8 >", generic),
            1
        );
    }

    #[test]
    fn the_docs_of_a_block_reach_what_it_declares() {
        for head in ["impl Task", "trait Fields for Task"] {
            assert_eq!(times("Of all.", &format!("/// Of all.\n {head} {{ attach one: u8; }}")), 1);
        }
    }

    #[test]
    fn the_docs_say_whether_a_getter_clones_or_copies() {
        for (policy, clones, copies) in [("get_or_update", 1, 0), ("get_or_update(copy)", 0, 1)] {
            let block = format!("impl Task {{ {policy} one: u8; }}");
            assert_eq!([times("a clone of", &block), times("a copy of", &block)], [clones, copies], "{block}");
        }
    }

    #[test]
    fn an_attribute_that_the_macro_would_write_is_left_to_who_writes_it() {
        let plain = "impl Task { attach one: u8; }";
        let inline = "impl Task { #[inline(never)] attach one: u8; }";
        assert_eq!(times("# [inline", inline), times("# [inline", plain));
        assert_eq!(times("# [inline (never)]", inline), 4);
        for (policy, tracks) in [("attach", 1), ("get_or_attach", 3), ("get_or_update", 4), ("get_or_update(copy)", 3)]
        {
            let all = times("pub fn", &format!("impl Task {{ pub {policy} one: u8; }}"));
            assert_eq!(times("# [track_caller]", &format!("impl Task {{ {policy} one: u8; }}")), tracks, "{policy}");
            let written = format!("impl Task {{ #[track_caller] {policy} one: u8; }}");
            assert_eq!(times("# [track_caller]", &written), all, "{policy}");
        }
    }
}
