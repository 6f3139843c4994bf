use std::mem;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let (mut one, mut other) = (Task::default(), Task::default());
    let newpid = *one.newpid();
    mem::swap(&mut one, &mut other);
    println!("{newpid}");
}
