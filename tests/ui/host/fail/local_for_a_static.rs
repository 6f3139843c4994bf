use shadow_runtime::shadow;

shadow! {
    trait NumberFields for &'static u32 {
        get_or_attach reads: u64;
    }
}

fn main() {
    let number = &std::process::id();
    println!("{}", number.reads());
}
