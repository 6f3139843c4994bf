use std::sync::Mutex;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_update state: Mutex<()>)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.state();
}
