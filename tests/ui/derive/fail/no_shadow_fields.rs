use shadow_runtime::Shadow;

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
struct Task {
    pid: u32,
}

fn main() {
    let task = Task { pid: 1 };
    let _ = (task.newpid(), task.pid);
}
