use std::cell::Cell;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach state: Cell<u32>)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let _ = Task { shadow: ShadowFields::new() }.state();
}
