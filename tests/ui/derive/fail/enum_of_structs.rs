use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
enum Task {
    Sleeping { until: u64, shadow: ShadowFields },
    Running,
}

fn main() {
    let _ = Task::Running.newpid();
}
