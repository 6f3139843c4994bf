//! Safe code cannot say that a type is a value: the trait is unsafe, and one implementation covers all types.
#![forbid(unsafe_code)]

use shadow_runtime::bounds::Value;

struct Evil(*const u8);

impl Value for Evil {}

fn main() {}
