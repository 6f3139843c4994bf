use shadow_runtime::Shadow;

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
struct Task;

fn main() {
    let _ = Task.newpid();
}
