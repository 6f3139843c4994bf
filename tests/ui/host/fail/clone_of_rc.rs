use std::rc::Rc;

use shadow_runtime::shadow;

struct Peer;

shadow! {
    trait PeerFields for Rc<Peer> {
        #[shadow(clone)]
        attach name: String;
    }
}

fn main() {}
