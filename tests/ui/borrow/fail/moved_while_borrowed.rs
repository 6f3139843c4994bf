use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let task = Task::default();
    let newpid = task.newpid();
    let moved = Box::new(task);
    println!("{newpid} {}", moved.newpid());
}
