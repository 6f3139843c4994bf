use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
