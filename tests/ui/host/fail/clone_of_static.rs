use shadow_runtime::shadow;

static CONFIG: u32 = 1;

shadow! {
    trait ConfigFields for &'static u32 {
        #[shadow(clone)]
        get_or_update reads: u64;
    }
}

fn main() {
    (&CONFIG).reads();
}
