//! The text of a type, as people write a type: `Arc<TcpStream>`, and not `Arc < TcpStream >`, the output of `Display`.
//!
//! In: tokens. Out: text, for messages, reports and docs. Neighbours: `check.rs` and `parse/`, for messages;
//! `expand/field_set.rs`, for the names in reports; `accessor/methods.rs`, for docs.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// The text of a type.
pub(crate) fn type_text(tokens: &impl ToTokens) -> String {
    let mut text = String::new();
    write(tokens.to_token_stream(), &mut text);
    text
}

fn write(tokens: TokenStream, text: &mut String) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::Brace => ("{ ", " }"),
                    Delimiter::None => ("", ""),
                };
                if ["dyn", "mut", "const", "as", "for"].iter().any(|word| text.ends_with(word)) {
                    text.push(' ');
                }
                text.push_str(open);
                write(group.stream(), text);
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match punct.as_char() {
                mark @ (',' | ';') => text.extend([mark, ' ']),
                mark @ ('+' | '=') => text.extend([' ', mark, ' ']),
                '-' => text.push_str(" -"),
                '>' if text.ends_with('-') => text.push_str("> "),
                '\'' => separate(text, "'"),
                mark => text.push(mark),
            },
            // A `macro_rules!` writes `$crate` for its own crate.
            word => separate(text, word.to_string().trim_start_matches('$')),
        }
    }
}

/// Writes a word, with a space between two words.
fn separate(text: &mut String, word: &str) {
    if text.ends_with(|last: char| last.is_alphanumeric() || last == '_' || last == '>') {
        text.push(' ');
    }
    text.push_str(word);
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::{TokenStream, type_text};

    #[test]
    fn types_read_as_they_are_written() {
        for text in [
            "u32",
            "Arc<TcpStream>",
            "&'static Config",
            "Mutex<HashMap<String, Vec<u8>>>",
            "Arc<dyn Fn(u8, &str) -> bool + Send + 'static>",
            "[u8; 32]",
            "(A, B)",
            "crate::net::Connection<'a, T>",
            "<T as Iterator>::Item",
            "*const ()",
            "dyn for<'a> Fn(&'a u8)",
            "fn(u8) -> [u8; 4]",
            "fn() -> &'static str",
        ] {
            assert_eq!(type_text(&TokenStream::from_str(text).unwrap()), text);
        }
    }
}
