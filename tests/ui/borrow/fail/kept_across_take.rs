use std::mem;

use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let mut task = Task::default();
    let newpid = task.newpid();
    drop(mem::take(&mut task));
    println!("{newpid}");
}
