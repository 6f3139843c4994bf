//! What the runtime believes of a field set cannot be said by safe code.
#![forbid(unsafe_code)]

use shadow_runtime::__private::{FieldCell, Field, FieldSet};

struct Evil;

impl FieldSet for Evil {
    fn init(_: *mut Self) {}

    fn fields() -> &'static [Field] {
        &[]
    }

    fn each(&self, _: &mut dyn FnMut(&dyn FieldCell)) {}

    fn each_mut(&mut self, _: &mut dyn FnMut(&mut dyn FieldCell)) {}
}

fn main() {}
