use std::sync::Arc;

use shadow_runtime::ArcRef;

fn ignore(_: &u8) {}

// The host's type has the lifetime as a parameter, and a longer lifetime may replace it afterwards.
fn keep(local: &'static u8) -> ArcRef<fn(&'static u8), u8> {
    ArcRef::new(Arc::new(ignore as fn(_)), |_| local)
}

fn main() {
    println!("{}", keep(&1));
}
