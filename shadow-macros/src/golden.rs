//! The golden expansion: what the macros make of the README's struct, as a file that people can read.
//!
//! In: the struct and the block in the README. Out: `tests/it/macros/expanded.rs`, which the tests compile and run. A
//! change of the expansion fails the comparison; `SHADOW_GOLDEN=overwrite` writes the file. The comparison ignores the
//! layout, so any version of rustfmt will do.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::{env, fs};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use crate::{check, errors::Errors, expand, model::Declaration, parse};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/it/macros/expanded.rs");

/// The command that writes the file.
const COMMAND: &str = "SHADOW_GOLDEN=overwrite cargo test -p shadow-macros golden";

/// The lines before the expansion.
const HEAD: &str = "\
// The golden expansion: the struct `Task` of the README, as the macros expand it. Generated: do not edit.
//
// `shadow-macros/src/golden.rs` compares this file with the expansion of today, and writes the file:
// `SHADOW_GOLDEN=overwrite cargo test -p shadow-macros golden`. `golden.rs` includes this file, and runs the code.

use std::sync::Mutex;
use std::time::Instant;

use shadow_runtime::ShadowFields;

";

/// The part of the README from the line that starts with `first` to the next line `}`.
fn part<'text>(readme: &'text str, first: &str) -> &'text str {
    let start = readme.find(first).unwrap_or_else(|| panic!("the README has no {first}"));
    let end = start + readme[start..].find("\n}\n").unwrap() + 2;
    &readme[start..end]
}

/// The expansion of declarations without faults.
pub(crate) fn expansion(parse: impl FnOnce(&mut Errors) -> Vec<Declaration>) -> TokenStream {
    let mut errors = Errors::default();
    let mut declarations = parse(&mut errors);
    check::check(&mut declarations, &mut errors);
    let errors = errors.into_compile_errors();
    assert!(errors.is_empty(), "{errors}");
    declarations.iter().map(expand::expand).collect()
}

/// The source of the golden file, before the layout.
fn generated() -> String {
    let readme = fs::read_to_string(README).unwrap();
    let stats = part(&readme, "#[derive(Default)]\nstruct Stats");
    let task = part(&readme, "#[derive(Shadow, Clone");
    let block = part(&readme, "shadow! {\n    impl Task {");
    let block = block.strip_prefix("shadow! {").and_then(|rest| rest.strip_suffix('}')).unwrap();
    let derived = expansion(|errors| parse::derive(task.parse().unwrap(), errors).into_iter().collect());
    let declared = expansion(|errors| parse::blocks(block.parse().unwrap(), errors));
    // The compiler leaves out what belongs to a derive.
    let task: String =
        task.lines().filter(|line| !line.starts_with("#[shadow_field")).fold(String::new(), |mut all, line| {
            let _ = writeln!(all, "{}", line.replace("derive(Shadow, ", "derive("));
            all
        });
    let parts = [stats, &task, "// #[derive(Shadow)]", &derived.to_string(), "// shadow!", &declared.to_string()];
    format!("{HEAD}{}\n", parts.join("\n\n"))
}

/// Lays the code out.
fn formatted(source: &str) -> String {
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.args(["--edition", "2024", "--config-path", concat!(env!("CARGO_MANIFEST_DIR"), "/..")]);
    let mut child = rustfmt.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("rustfmt is installed");
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The words of a text, without what a layout may add: a comma before a closing delimiter, and braces around one
/// expression.
fn words(tokens: TokenStream, words: &mut Vec<String>) {
    for token in tokens {
        let TokenTree::Group(group) = token else {
            words.push(token.to_string());
            continue;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::Brace if has_semicolon(group.stream()) => ("{", "}"),
            Delimiter::Brace | Delimiter::None => ("", ""),
        };
        words.push(open.to_owned());
        self::words(group.stream(), words);
        if words.last().is_some_and(|last| last == ",") {
            words.pop();
        }
        words.push(close.to_owned());
    }
}

fn has_semicolon(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ';'))
}

fn words_of(source: &str) -> Vec<String> {
    let mut all = Vec::new();
    words(source.parse().unwrap(), &mut all);
    all.retain(|word| !word.is_empty());
    all
}

#[test]
fn the_golden_expansion_is_that_of_today() {
    let source = generated();
    if env::var_os("SHADOW_GOLDEN").is_some_and(|value| value == "overwrite") {
        fs::write(GOLDEN, formatted(&source)).unwrap();
    }
    let golden = words_of(&fs::read_to_string(GOLDEN).unwrap_or_default());
    let today = words_of(&source);
    let Some(first) = (0..today.len().max(golden.len())).find(|&at| today.get(at) != golden.get(at)) else { return };
    let near =
        |words: &[String]| words[first.saturating_sub(12).min(words.len())..(first + 12).min(words.len())].join(" ");
    panic!(
        "the expansion of the README's struct has changed\n  golden: … {} …\n  today:  … {} …\n\
         if that is intended, `{COMMAND}`, and review the difference",
        near(&golden),
        near(&today),
    );
}
