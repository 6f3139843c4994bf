use std::sync::atomic::AtomicU64;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_update state: AtomicU64)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.state();
}
