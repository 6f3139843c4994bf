use shadow_runtime::{Shadow, ShadowFields, shadow};

trait Call: Send + Sync {}

#[derive(Shadow)]
#[shadow_field(attach array: [&'a str; 2])]
#[shadow_field(attach slice: Box<[&'a str]>)]
#[shadow_field(attach tuple: (u8, &'a str))]
#[shadow_field(attach object: Box<dyn Call + 'a>)]
#[shadow_field(attach parentheses: &'static (dyn Call + 'a))]
#[shadow_field(attach projected: <&'a str as ToOwned>::Owned)]
struct Task<'a> {
    text: &'a str,
    shadow: ShadowFields,
}

macro_rules! fields_of {
    ($host:ty, $value:ty) => {
        shadow! {
            impl $host {
                attach variable: $value;
            }
        }
    };
}

fields_of!(Task<'_>, &str);

fn main() {}
