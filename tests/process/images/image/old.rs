//! The first version of the source, which the tests load first.

use std::fmt::{self, Write};
use std::sync::Arc;

use shadow_runtime::shadow;

use crate::{Host, Life, What};

mod member {
    use super::*;

    pub(super) struct Value {
        pub(super) member: [usize; 3],
        pub(super) _life: Life,
    }

    shadow! { pub(super) trait Fields for Host { get_or_attach value: Value = Value { member: [1, 2, 3], _life: Life::new() }; } }
}

mod policy {
    use super::*;

    shadow! { pub(super) trait Fields for Host { attach at: u64; } }
}

mod order {
    use super::*;

    shadow! { pub(super) trait Second for Host { attach name: String; } }
}

mod many {
    use super::*;

    shadow! {
        pub(super) trait One for Host { attach one: Life; }
        pub(super) trait Two for Host { attach two: Life; }
        pub(super) trait Three for Host { attach three: Life; }
        pub(super) trait Four for Host { attach four: Life; }
    }
}

shadow! {
    trait Beside for Arc<u64> { attach beside: String; }
    trait Fixed for &'static u64 { attach fixed: String; }
}

use many::{Four as _, One as _, Three as _, Two as _};
use member::Fields as _;
use order::Second;
use policy::Fields as _;

pub(crate) fn attach(host: &Host, what: What) {
    match what {
        What::Member => {
            host.value();
        }
        What::Policy => assert!(host.attach_at(7).is_ok()),
        What::Order => {
            assert!(Second::attach_name(host, "second of old".to_owned()).is_ok());
        }
        What::Many => {
            assert!(host.attach_one(Life::new()).is_ok());
            assert!(host.attach_two(Life::new()).is_ok());
            assert!(host.attach_three(Life::new()).is_ok());
            assert!(host.attach_four(Life::new()).is_ok());
        }
    }
}

pub(crate) fn look(host: &Host, what: What, text: &mut impl Write) -> fmt::Result {
    match what {
        What::Member => write!(text, "{:?}", host.peek_value().map(|value| value.member)),
        What::Policy => write!(text, "{:?}", host.at()),
        What::Order => write!(text, "second {:?}", Second::name(host)),
        What::Many => write!(text, "{}", u8::from(host.one().is_some()) + u8::from(host.four().is_some())),
    }
}

pub(crate) fn attach_beside(shared: &Arc<u64>, fixed: &'static u64) -> bool {
    shared.attach_beside("old".to_owned()).is_ok() && fixed.attach_fixed("old".to_owned()).is_ok()
}
