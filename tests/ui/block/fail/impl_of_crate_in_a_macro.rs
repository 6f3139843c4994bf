//! A message names a type as the user would write the type: no `$crate`.

use shadow_runtime::shadow;

pub struct Connection;

macro_rules! connection_fields {
    () => {
        shadow! {
            impl std::sync::Arc<$crate::Connection> {
                attach peer: String;
            }
        }
    };
}

connection_fields!();

fn main() {}
