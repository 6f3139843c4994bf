use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Clone)]
#[shadow(clone)]
#[shadow_field(attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.clone().newpid();
}
