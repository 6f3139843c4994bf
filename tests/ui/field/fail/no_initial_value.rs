use shadow_runtime::{Shadow, ShadowFields};

struct Stats;

#[derive(Shadow)]
#[shadow_field(get_or_attach stats: Stats)]
struct Task {
    shadow: ShadowFields,
}

fn main() {}
