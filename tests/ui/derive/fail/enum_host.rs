use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
enum Task {
    Sleeping(ShadowFields),
}

fn main() {}
