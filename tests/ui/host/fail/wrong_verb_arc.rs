use std::sync::Arc;

use shadow_runtime::shadow;

struct Connection;

shadow! {
    trait ConnectionFields for Arc<Connection> {
        get_or_attach hits: u64;
    }
}

fn main() {
    Arc::new(Connection).attach_hits(1);
}
