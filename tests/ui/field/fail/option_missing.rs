use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

#[derive(Shadow, Clone)]
#[shadow()]
#[shadow_field(#[shadow()] attach newpid: u32)]
struct Task {
    #[shadow()]
    shadow: ShadowFields,
}

shadow! {
    #[shadow()]
    trait ListFields for Shadowed<Vec<u8>> {
        #[shadow()]
        attach state: u8;
    }
}

fn main() {
    Task { shadow: ShadowFields::new() }.clone().newpid();
    Shadowed::new(vec![1]).state();
}
