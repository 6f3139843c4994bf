use shadow_runtime::bounds::Value;
use shadow_runtime::{Shadow, ShadowFields};

#[derive(Shadow)]
#[shadow_field(#[shadow(clone)] attach state: T)]
struct Task<T: Value + 'static> {
    shadow: ShadowFields,
    _example: Option<T>,
}

fn main() {
    let _ = Task { shadow: ShadowFields::new(), _example: Some(1) }.state();
}
