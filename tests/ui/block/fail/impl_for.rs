use shadow_runtime::shadow;

struct Connection;

shadow! {
    impl ConnectionFields for std::sync::Arc<Connection> {
        attach peer: String;
    }
}

fn main() {}
