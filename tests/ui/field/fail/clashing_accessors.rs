use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach stats: u32)]
#[shadow_field(attach stats_mut: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
