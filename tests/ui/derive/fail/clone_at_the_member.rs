use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Clone)]
#[shadow_field(attach newpid: u32)]
struct Task {
    #[shadow(clone)]
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.clone().newpid();
}
