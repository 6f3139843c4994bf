use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.attach_newpid(1);
}
