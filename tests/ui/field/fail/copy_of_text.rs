use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_update(copy) state: String)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.state();
}
