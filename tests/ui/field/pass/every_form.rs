//! Every form of a declaration. It is built, not only checked, so that errors that appear when code is generated do so
//! in the failing cases beside it.

use std::sync::Arc;

use shadow_runtime::{Shadow, ShadowFields, Shadowed, shadow};

#[derive(Shadow)]
#[shadow_field(attach newpid: u32)]
struct Task {
    shadow: ShadowFields,
}

static CONFIG: u32 = 1;

shadow! {
    impl Task { get_or_attach hits: u64; }
    trait ArcFields for Arc<u32> { get_or_update seen: u64; }
    trait CopiedFields for Arc<u32> { get_or_update(copy) copied: u64; }
    trait ListFields for Shadowed<Vec<u8>> { attach origin: String; }
    trait ClonedFields for Shadowed<Vec<u8>> { #[shadow(clone)] attach from: String; }
    trait ConfigFields for &'static u32 { get_or_attach reads: u64; }
}

fn main() {
    let task = Task { shadow: ShadowFields::new() };
    assert_eq!((task.newpid(), task.hits()), (None, &0));
    assert_eq!(Arc::new(1).update_seen(2), None);
    assert_eq!(Arc::new(1).update_copied(2), None);
    assert!(Shadowed::new(vec![1]).detach_origin().is_none());
    assert!(Shadowed::new(vec![1]).clone().from().is_none());
    assert_eq!((&CONFIG).reads(), &0);
}
