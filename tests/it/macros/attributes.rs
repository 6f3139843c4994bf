//! Attributes of a field other than docs: the macro copies the attributes to the accessors of the field only.
#![deny(deprecated, unfulfilled_lint_expectations)]

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

#[test]
fn attributes_are_carried_to_every_accessor() {
    #[derive(Shadow, Default)]
    #[shadow_field(#[deprecated = "use `new`"] attach old: u8)]
    #[shadow_field(#[deprecated = "use `new`"] get_or_attach older: u8)]
    #[shadow_field(#[deprecated = "use `new`"] get_or_update oldest: u8)]
    #[shadow_field(attach new: u8)]
    struct Aging {
        shadow: ShadowFields,
    }
    let mut host = Aging::default();
    host.attach_new(1).unwrap();
    assert_eq!(host.new(), Some(&1));
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.attach_old(1);
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.old();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.old_mut();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.detach_old();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.older();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.peek_older();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.get_or_attach_older(|| 1);
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.get_or_try_attach_older(|| Err(()));
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.older_mut();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.detach_older();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.update_oldest(1);
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.update_oldest_with(|_| 1);
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.oldest();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.oldest_mut();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.detach_oldest();
}

#[test]
fn attributes_are_carried_to_every_accessor_of_a_trait() {
    shadow! {
        trait AgingFields for Shadowed<i64> {
            /// Docs and attributes may stand in any order.
            #[deprecated]
            /// They are told apart.
            get_or_attach outdated: u8;
        }
    }
    let mut host = Shadowed::new(1_i64);
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.outdated();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.peek_outdated();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.get_or_attach_outdated(|| 1);
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.get_or_try_attach_outdated(|| Err(()));
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.outdated_mut();
    #[expect(deprecated, reason = "it is what is tested")]
    let _ = host.detach_outdated();
}
