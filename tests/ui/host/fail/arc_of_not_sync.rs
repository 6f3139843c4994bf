use std::cell::Cell;
use std::sync::Arc;

use shadow_runtime::shadow;

shadow! {
    trait CellFields for Arc<Cell<u32>> {
        attach name: String;
    }
}

fn main() {}
