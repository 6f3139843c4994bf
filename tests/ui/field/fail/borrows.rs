use std::borrow::Cow;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach line: Option<Cow<'a, str>>)]
struct Task<'a> {
    text: &'a str,
    shadow: ShadowFields,
}

fn main() {}
