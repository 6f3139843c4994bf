use shadow_runtime::shadow;

struct Peer;

shadow! {
    trait PeerFields for std::sync::Arc<Peer> {
        attach name: String;
    }
}

fn main() {}
