use shadow_runtime::shadow;

shadow! {
    trait PeerFields {
        attach name: String;
    }
}

fn main() {}
