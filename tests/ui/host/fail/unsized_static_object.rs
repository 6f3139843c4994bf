use shadow_runtime::shadow;

trait Call: Sync {}

shadow! {
    trait CallFields for &'static dyn Call {
        attach origin: String;
    }
}

fn main() {}
