use std::sync::Arc;

use shadow_runtime::shadow;

struct Connection;

shadow! {
    trait ConnectionFields for Arc<Connection> {
        attach peer: String,
        get_or_attach hits: u64;
    }
}

fn main() {
    let connection = Arc::new(Connection);
    let _ = (connection.peer(), connection.hits());
}
