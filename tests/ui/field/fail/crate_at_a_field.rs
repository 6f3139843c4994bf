use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(#[shadow(crate = shadow_runtime)] attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.newpid();
}
