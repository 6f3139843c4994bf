use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(attach state: T)]
struct Task<T: shadow_runtime::bounds::Value + 'static> {
    shadow: ShadowFields,
    _example: Option<T>,
}

fn main() {
    let _ = Task { shadow: ShadowFields::new(), _example: Some(1) }.state();
}
