use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(get_or_update newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

fn main() {
    Task { shadow: ShadowFields::new() }.get_or_attach_newpid(|| 1);
}
