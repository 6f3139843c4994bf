use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let mut task = Task { shadow: ShadowFields::new() };
    let newpid = task.newpid();
    task.detach_newpid();
    println!("{newpid}");
}
