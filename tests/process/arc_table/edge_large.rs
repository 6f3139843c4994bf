//! Field sets are constructed in place: a small field needs no stack space for a large value of the same set.
//!
//! Each case runs on a stack of a sixteenth of the size of one value, also without optimisation. A stack overflow ends
//! the process.

use std::sync::Arc;
use std::thread;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, registry, shadow};

use support::alone;

const LARGE: usize = 4 << 20;
const STACK: usize = 256 << 10;

type Large = [u8; LARGE];

/// An embedded host, which also stands for a foreign type in an `Arc` and in a static.
#[derive(Shadow)]
#[shadow_field(get_or_attach small: u8 = 1)]
#[shadow_field(attach large: Large)]
#[shadow_field(get_or_attach initialised: Large = [0; LARGE])]
#[shadow_field(get_or_update updated: Large)]
#[shadow_field(get_or_update(copy) copied: Large)]
struct Host {
    /// A zero-sized static cannot be a host.
    _size: u8,
    shadow: ShadowFields,
}

impl Host {
    const fn new() -> Self {
        Self { _size: 0, shadow: ShadowFields::new() }
    }
}

/// Declares two field sets with large values of all policies. The first field is small in `$first`, large in `$second`.
macro_rules! large_sets {
    ($host:ty: $first:ident, $second:ident) => {
        shadow! {
            pub(crate) trait $first for $host {
                get_or_attach little: u8 = 2;
                attach lot: Large;
                get_or_attach initial_lot: Large = [0; LARGE];
                get_or_update updated_lot: Large;
                get_or_update(copy) copied_lot: Large;
            }
            pub(crate) trait $second for $host {
                get_or_update(copy) copied_heap: Large;
                attach heap: Large;
                get_or_attach initial_heap: Large = [0; LARGE];
                get_or_update updated_heap: Large;
                attach last: u8;
                get_or_update newest: u8;
                get_or_update(copy) copy: u8;
            }
        }
    };
}

mod embedded {
    use super::*;
    large_sets!(Host: First, Second);
}
mod shadowed {
    use super::*;
    large_sets!(Shadowed<u8>: First, Second);
}
mod shared {
    use super::*;
    large_sets!(Arc<Host>: First, Second);
}
mod unsized_ {
    use super::*;
    large_sets!(Arc<str>: First, Second);
}
mod fixed {
    use super::*;
    large_sets!(&'static Host: First, Second);
}

/// Runs `steps` on a stack smaller than one large value.
fn on_a_small_stack(steps: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK).spawn(steps).unwrap().join().unwrap();
}

/// Uses the small fields of both sets of a host, in both orders of first use.
macro_rules! use_the_small_fields {
    ($module:ident, $host:expr) => {
        use $module::{First as _, Second as _};
        on_a_small_stack(|| {
            for second_first in [false, true] {
                let host = $host(second_first);
                if second_first {
                    assert_eq!(host.update_newest(1), None);
                }
                assert_eq!(host.little(), &2);
                assert_eq!(host.attach_last(3).unwrap(), &3);
                assert_eq!(host.update_newest(4), second_first.then_some(1));
                assert_eq!(host.update_copy(5), None);
                assert_eq!((host.lot(), host.heap(), host.peek_initial_lot()), (None, None, None));
                assert_eq!((host.newest(), host.copy()), (Some(4), Some(5)));
            }
            registry().sweep();
        });
    };
}

#[test]
fn the_small_fields_of_a_set_with_large_ones_need_no_stack_for_those_in_an_embedded_host() {
    let _alone = alone();
    use_the_small_fields!(embedded, |_| Host::new());
}

#[test]
fn nor_in_a_wrapper() {
    let _alone = alone();
    use_the_small_fields!(shadowed, |_| Shadowed::new(1));
}

#[test]
fn nor_beside_an_arc() {
    let _alone = alone();
    use_the_small_fields!(shared, |_| Arc::new(Host::new()));
}

#[test]
fn nor_beside_an_arc_of_an_unsized_type() {
    let _alone = alone();
    use_the_small_fields!(unsized_, |_| Arc::<str>::from("host"));
}

#[test]
fn nor_beside_a_static() {
    // Two hosts, one for each order.
    static HOSTS: [Host; 2] = [Host::new(), Host::new()];
    let _alone = alone();
    use_the_small_fields!(fixed, |second| &HOSTS[usize::from(second)]);
}

#[test]
fn nor_where_a_derive_declares_them() {
    let _alone = alone();
    on_a_small_stack(|| {
        let mut host = Host::new();
        assert_eq!(host.small(), &1);
        assert_eq!((host.large(), host.peek_initialised()), (None, None));
        assert_eq!(format!("{:?}", host.shadow), r#"ShadowFields {"small"}"#);
        *host.small_mut() += 1;
        assert_eq!(host.detach_small(), Some(2));
    });
}

/// The attach of a large value takes stack space for a few copies. The value is in the field set.
#[test]
#[expect(clippy::large_stack_arrays, reason = "on a stack that has the room")]
fn a_large_value_that_is_attached_needs_the_stack_for_some_of_it() {
    use shared::First as _;
    let _alone = alone();
    let host = Arc::new(Host::new());
    let small = Arc::clone(&host);
    on_a_small_stack(move || assert_eq!(small.little(), &2));
    let large = move || {
        let first = std::ptr::from_ref(host.little()).addr();
        let value = host.attach_lot([7; LARGE]).unwrap();
        assert!(std::ptr::from_ref(value).addr().abs_diff(first) < 5 * LARGE);
        assert_eq!((value[LARGE - 1], host.initial_lot()[LARGE - 1]), (7, 0));
    };
    thread::Builder::new().stack_size(32 * LARGE).spawn(large).unwrap().join().unwrap();
}
