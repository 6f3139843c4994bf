use std::sync::Arc;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

struct Session;

#[derive(Shadow)]
struct Task {
    shadow: ShadowFields,
}

shadow! {
    trait Extension<V> for Arc<Session> {
        attach extension: V;
    }
    trait Recent<T, V> for Shadowed<Vec<T>>
    where
        T: Clone + Send + Sync + 'static,
        V: Clone + Default,
    {
        get_or_update last: T;
        get_or_attach extra: Vec<V> = vec![V::default()];
    }
    impl<const N: usize> Task {
        attach buffer: [u8; N];
    }
}

fn main() {
    let session = Arc::new(Session);
    let _ = session.attach_extension(1);
    let list = Shadowed::new(vec![1]);
    list.update_last(2);
    println!("{:?}", list.extra());
    let task = Task { shadow: ShadowFields::new() };
    let _ = task.buffer();
}
