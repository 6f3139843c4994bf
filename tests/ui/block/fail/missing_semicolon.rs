use std::sync::Arc;

use shadow_runtime::shadow;

shadow! {
    trait PeerFields for Arc<u32> {
        attach name: String
        get_or_update seen: u64;
    }
}

fn main() {}
