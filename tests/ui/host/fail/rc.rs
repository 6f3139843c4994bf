use shadow_runtime::shadow;

struct Peer;

shadow! {
    trait PeerFields for std::rc::Rc<Peer> {
        attach name: String;
    }
}

fn main() {}
