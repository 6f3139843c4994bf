use shadow_runtime::{Shadowed, shadow};

shadow! {
    trait ListFields for Shadowed<Vec<u8>> {
        get_or_attach origin: String;
    }
}

fn main() {
    let list = Shadowed::new(vec![1]);
    let origin = list.origin().clone();
    let list = Shadowed::into_inner(list);
    println!("{list:?} {origin}");
}
