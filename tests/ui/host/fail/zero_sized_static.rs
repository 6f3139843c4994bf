use shadow_runtime::shadow;

struct Driver;

shadow! {
    trait DriverFields for &'static Driver {
        attach version: u32;
    }
}

fn main() {}
