use shadow_runtime::shadow;

shadow! {
    trait Fields<T: 'static> for &'static T {
        attach version: u32;
    }
}

fn main() {
    static UNIT: () = ();
    let _ = (&UNIT).version();
}
