use shadow_runtime::shadow;

struct Peer;

shadow! {
    trait PeerFields for Peer {
        attach name: String;
        get_or_update seen: u64;
    }
}

fn main() {
    Peer.name();
}
