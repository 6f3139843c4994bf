use shadow_runtime::shadow;

shadow! {
    trait TextFields for &'static [u8] {
        attach origin: String;
    }
}

fn main() {}
