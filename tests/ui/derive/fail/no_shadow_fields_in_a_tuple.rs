use shadow_runtime::Shadow;

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
struct Task(u32);

fn main() {
    let task = Task(1);
    let _ = (task.newpid(), task.0);
}
