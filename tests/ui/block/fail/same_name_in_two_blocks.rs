use shadow_runtime::{Shadow, ShadowFields, shadow};

#[derive(Shadow)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    impl Task {
        attach newpid: u32;
    }
    impl Task {
        get_or_update newpid: u32;
    }
}

fn main() {}
