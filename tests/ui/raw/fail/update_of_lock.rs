use std::sync::Mutex;

use shadow_runtime::raw;

const PS_LOCK: raw::UpdateId<Mutex<()>> = raw::UpdateId::new(1);

fn main() {
    let _ = unsafe { PS_LOCK.get_or_update(std::ptr::null(), Mutex::new(())) };
}
