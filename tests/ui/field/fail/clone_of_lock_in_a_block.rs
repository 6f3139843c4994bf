use std::sync::Mutex;

use shadow_runtime::{Shadowed, shadow};

shadow! {
    trait ListFields for Shadowed<Vec<u8>> {
        #[shadow(clone)]
        attach state: Mutex<()>;
    }
}

fn main() {
    Shadowed::new(vec![1]).state();
}
