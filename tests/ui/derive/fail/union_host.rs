use std::mem::ManuallyDrop;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
union Task {
    shadow: ManuallyDrop<ShadowFields>,
}

fn main() {}
