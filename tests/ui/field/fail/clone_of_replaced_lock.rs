use std::sync::Mutex;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Clone)]
#[shadow_field(#[shadow(clone)] get_or_update state: Mutex<()>)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.state();
}
