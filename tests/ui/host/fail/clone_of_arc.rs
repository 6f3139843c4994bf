use std::sync::Arc;

use shadow_runtime::shadow;

struct Peer;

shadow! {
    trait PeerFields for Arc<Peer> {
        #[shadow(clone)]
        attach name: String;
        get_or_attach hits: u64;
    }
}

fn main() {
    let peer = Arc::new(Peer);
    (peer.name(), peer.hits());
}
