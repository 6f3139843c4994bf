use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach name: &str)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
