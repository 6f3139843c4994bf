//! A field set has no cells but those of the runtime.
#![forbid(unsafe_code)]

use shadow_runtime::__private::FieldCell;

struct Evil;

impl FieldCell for Evil {
    fn is_attached(&self) -> bool {
        true
    }
}

fn main() {}
