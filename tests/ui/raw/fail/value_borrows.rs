use shadow_runtime::raw::Id;

fn main() {
    let text = String::from("text");
    let object = (&raw const text).cast();
    // SAFETY: the object outlives its fields, and no reference to a value is kept.
    unsafe {
        Id::new(1).attach(object, &*text).unwrap();
        Id::<&str>::new(1).detach(object).unwrap();
    }
}
