use std::sync::Mutex;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Clone)]
#[shadow_field(#[shadow(clone)] attach before: u8)]
#[shadow_field(#[shadow(clone)] get_or_attach state: Mutex<()>)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let task = Task { shadow: ShadowFields::new() };
    task.state();
    task.clone().peek_state();
}
