use std::sync::Arc;

use shadow_runtime::shadow;

shadow! {
    trait ListFields<T> for Arc<Vec<T>> {
        attach name: String;
    }
}

fn main() {
    let _ = Arc::new(vec![1]).name();
}
