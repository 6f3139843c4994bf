use shadow_runtime::{Shadowed, shadow};

shadow! {
    trait Fields<T: Send + Sync + 'static, U: Send + Sync> for Shadowed<(T, U)> {
        attach count: u8;
        attach first: T;
        get_or_attach second: Option<U>;
    }
}

fn main() {}
