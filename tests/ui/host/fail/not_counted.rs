use std::sync::Arc;

use shadow_runtime::{counted_host, shadow};

struct Handle(Arc<u8>);

counted_host!(Handle);

shadow! {
    trait HandleFields for Handle {
        attach name: String;
    }
}

fn main() {
    Handle(Arc::new(1)).name();
}
