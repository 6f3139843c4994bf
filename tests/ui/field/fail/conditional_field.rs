use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(#[cfg(unix)] attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
