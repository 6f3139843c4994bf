use std::sync::Arc;

use shadow_runtime::ArcRef;

fn main() {
    let local = 1;
    let kept = ArcRef::new(Arc::new(2), |host| &**host);
    println!("{kept} {local}");
}
