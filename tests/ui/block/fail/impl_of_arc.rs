use std::sync::Arc;

use shadow_runtime::shadow;

struct Connection;

shadow! {
    impl Arc<Connection> {
        pub get_or_attach hits: u64;
    }
}

fn main() {
    let _ = Arc::new(Connection).hits();
}
