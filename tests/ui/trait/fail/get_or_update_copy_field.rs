//! That a cell is that of a field cannot be said by safe code.
#![forbid(unsafe_code)]

use shadow_runtime::__private::{GetOrUpdateCopy, GetOrUpdateCopyField, Declares};

struct Evil;
struct Declaration;

impl GetOrUpdateCopyField<Declaration, 0> for Evil {
    type Value = u32;

    fn cell(_: &<Self as Declares<Declaration>>::Set) -> &GetOrUpdateCopy<u32>
    where
        Self: Declares<Declaration>,
    {
        loop {}
    }

    fn cell_mut(_: &mut <Self as Declares<Declaration>>::Set) -> &mut GetOrUpdateCopy<u32>
    where
        Self: Declares<Declaration>,
    {
        loop {}
    }
}

fn main() {}
