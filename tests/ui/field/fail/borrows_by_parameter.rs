use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach last: T)]
struct Task<T: Send + Sync> {
    first: T,
    shadow: ShadowFields,
}

fn main() {}
