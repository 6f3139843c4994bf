//! That the first cell of a field set is ready is said by the runtime alone.
#![forbid(unsafe_code)]

use shadow_runtime::__private::Found;

fn forged<S>(set: &S) -> Found<'_, S> {
    Found { set, first_ready: true }
}

fn main() {}
