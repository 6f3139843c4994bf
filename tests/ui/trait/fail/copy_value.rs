//! Safe code cannot say that bytes of a value are a copy: the trait is unsafe.
#![forbid(unsafe_code)]

use std::rc::Rc;

use shadow_runtime::bounds::CopyValue;

struct Evil(Rc<u8>);

impl CopyValue for Evil {
    fn copy_value(&self) -> Self {
        loop {}
    }
}

fn main() {}
