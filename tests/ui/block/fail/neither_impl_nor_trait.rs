use shadow_runtime::shadow;

shadow! {
    struct PeerFields {
        attach name: String;
    }
}

fn main() {}
