use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32 = 7)]
#[shadow_field(get_or_make lock: u32)]
#[shadow_field(attach name: &str)]
#[shadow_field(get_or_attach hits: u32)]
#[shadow_field(attach hits: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
