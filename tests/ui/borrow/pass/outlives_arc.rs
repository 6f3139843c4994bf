use std::sync::Arc;

use shadow_runtime::shadow;

shadow! {
    trait PeerFields for Arc<u32> {
        get_or_attach hits: u64;
    }
}

fn main() {
    let peer = Arc::new(1);
    let hits = *peer.hits();
    drop(peer);
    println!("{hits}");
}
