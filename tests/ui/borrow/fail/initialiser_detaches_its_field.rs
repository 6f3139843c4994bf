use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    let mut task = Task::default();
    let mut other = Task::default();
    let newpid = *task.get_or_attach_newpid(|| {
        task.detach_newpid();
        1
    });
    println!("{newpid} {} {}", task.newpid_mut(), other.newpid_mut());
}
