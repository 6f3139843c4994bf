use std::rc::Rc;

use shadow_runtime::raw;

const PS_LOCK: raw::Id<Rc<u32>> = raw::Id::new(1);

fn main() {
    let _ = unsafe { PS_LOCK.get(std::ptr::null()) };
}
