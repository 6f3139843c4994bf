//! A field set that is about to be published is made by a host alone.
#![forbid(unsafe_code)]

use shadow_runtime::__private::Unpublished;

fn forged<S>() -> Unpublished<S> {
    Unpublished { key: 0, ..loop {} }
}

fn main() {}
