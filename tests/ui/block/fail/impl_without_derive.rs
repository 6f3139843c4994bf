use shadow_runtime::shadow;

struct Peer;

shadow! {
    impl Peer {
        attach name: String;
    }
}

fn main() {}
