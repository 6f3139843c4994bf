//! Hosts with fields of several declarations, compiled as in a user's program. The recognition of a node must not
//! depend on inlining, so this test is worth running with optimisation, too.

use shadow_runtime::{Shadow, ShadowFields, shadow};

#[derive(Shadow, Default)]
#[shadow_field(get_or_attach first: u64 = 1)]
struct Host {
    shadow: ShadowFields,
}

shadow! { impl Host { get_or_attach second: u64; } }
shadow! { impl Host { attach third: u64; } }
shadow! { impl Host { get_or_update fourth: u64; } }

#[test]
fn a_field_is_found_again_whatever_is_attached_after_it() {
    let host = Host::default();
    let first = host.first();
    let second = host.get_or_attach_second(|| 2);
    assert!(host.attach_third(3).is_ok());
    assert_eq!(host.update_fourth(4), None);
    assert!(std::ptr::eq(first, host.first()));
    assert!(std::ptr::eq(second, host.get_or_attach_second(|| unreachable!("it is attached"))));
    assert!(host.attach_third(5).is_err());
    assert_eq!(host.update_fourth(6), Some(4));
    assert_eq!(format!("{:?}", host.shadow), r#"ShadowFields {"first", "second", "third", "fourth"}"#);
}
