//! What a value is cannot be said by anybody else: the trait has no name outside of the runtime.
#![forbid(unsafe_code)]

use std::rc::Rc;

struct Evil(Rc<u8>);

impl shadow_runtime::__private::Copied for Evil {}

fn main() {}
