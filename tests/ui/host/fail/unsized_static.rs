use shadow_runtime::shadow;

shadow! {
    trait NameFields for &'static str {
        attach origin: String;
    }
}

fn main() {}
