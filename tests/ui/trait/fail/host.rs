//! What accessors believe of a host cannot be said by safe code.
#![forbid(unsafe_code)]

use shadow_runtime::Host;
use shadow_runtime::__private::{FieldSet, Found, Identity, Unpublished};

struct Evil;

impl Host for Evil {
    fn find<S: FieldSet + 'static>(_: &Self) -> Option<Found<'_, S>> {
        None
    }

    fn find_or_insert<S: FieldSet + 'static>(_: &Self) -> &S {
        loop {}
    }

    fn new_first<S: FieldSet + 'static>(_: &Self) -> Option<Unpublished<S>> {
        None
    }

    fn insert_first<S: FieldSet + 'static>(_: &Self, new: Unpublished<S>) -> Result<&S, Unpublished<S>> {
        Err(new)
    }

    fn identity(_: &Self) -> Identity {
        loop {}
    }
}

fn main() {}
