use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_update(copy) newpid: u32 = 7)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
