use shadow_runtime::shadow;

static CONFIG: u32 = 1;

shadow! {
    trait ConfigFields for &'static u32 {
        get_or_attach hits: u64;
    }
}

fn main() {
    let _ = (&CONFIG).detach_hits();
}
