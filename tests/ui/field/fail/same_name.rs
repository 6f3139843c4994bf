use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
#[shadow_field(get_or_update newpid: u64)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
