use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow(krate = other)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
