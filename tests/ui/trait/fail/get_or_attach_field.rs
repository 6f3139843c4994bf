//! That a cell is that of a field cannot be said by safe code.
#![forbid(unsafe_code)]

use shadow_runtime::__private::{GetOrAttach, GetOrAttachField, Declares};

struct Evil;
struct Declaration;

impl GetOrAttachField<Declaration, 0> for Evil {
    type Value = u32;

    fn cell(_: &<Self as Declares<Declaration>>::Set) -> &GetOrAttach<u32>
    where
        Self: Declares<Declaration>,
    {
        loop {}
    }

    fn cell_mut(_: &mut <Self as Declares<Declaration>>::Set) -> &mut GetOrAttach<u32>
    where
        Self: Declares<Declaration>,
    {
        loop {}
    }
}

fn main() {}
