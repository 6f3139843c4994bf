use shadow_runtime::raw;

const PS_LOCK: raw::Id<u32> = raw::Id::new(1);

fn main() {
    let _ = PS_LOCK.get(std::ptr::null());
}
