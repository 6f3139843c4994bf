use shadow_runtime::{Shadowed, shadow};

shadow! {
    trait TaskFields for Shadowed<u32> {
        get_or_make lock: Vec<u32> = vec![0; 2];
        attach newpid: u32;
        hits: u32;
    }
}

fn main() {
    let _ = Shadowed::new(1).newpid();
}
