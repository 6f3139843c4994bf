use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_attach newpid: u32 = "seven")]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
