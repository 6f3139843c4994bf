//! A macro sees the name of a type alone, so the compiler reports an alias.

use std::rc::Rc;

use shadow_runtime::shadow;

struct Peer;

type Shared = Rc<Peer>;

shadow! {
    trait PeerFields for Shared {
        attach name: String;
    }
}

fn main() {}
