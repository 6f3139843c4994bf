use shadow_runtime::shadow;

shadow! {
    trait NameFields for &'static mut u32 {
        attach origin: String;
    }
}

fn main() {}
