use std::sync::Arc;

use shadow_runtime::ArcRef;

fn main() {
    let local = 1;
    let kept = ArcRef::new(Arc::new(2), |_| &local);
    println!("{kept} {local}");
}
