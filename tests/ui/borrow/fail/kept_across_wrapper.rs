use shadow_runtime::{Shadowed, shadow};

shadow! {
    trait ListFields for Shadowed<Vec<u8>> {
        get_or_attach origin: String;
    }
}

fn main() {
    let mut list = Shadowed::new(vec![1]);
    let origin = list.origin();
    list = Shadowed::new(vec![2]);
    println!("{list:?} {origin}");
}
