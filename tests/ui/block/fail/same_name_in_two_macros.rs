use shadow_runtime::{Shadow, ShadowFields, shadow};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    impl Task {
        get_or_update newpid: u32;
    }
}

fn main() {}
