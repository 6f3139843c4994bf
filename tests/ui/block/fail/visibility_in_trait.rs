use std::sync::Arc;

use shadow_runtime::shadow;

shadow! {
    trait PeerFields for Arc<u32> {
        pub attach name: String;
    }
}

fn main() {}
