//! A macro sees the name of a type alone, so the compiler reports an alias.

use std::sync::Arc;

use shadow_runtime::shadow;

struct Peer;

type Shared = Arc<Peer>;

shadow! {
    trait PeerFields for Shared {
        #[shadow(clone)]
        attach name: String;
    }
}

fn main() {
    Arc::new(Peer).name();
}
