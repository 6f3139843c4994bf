use shadow_runtime::shadow;

shadow! {
    trait NameFields for &str {
        attach origin: String;
    }
}

fn main() {}
